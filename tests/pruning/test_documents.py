"""One sentence says what is wrong in a file of JSON, and where."""

import re
from typing import Self

import pytest
from pydantic import BaseModel, model_validator

from pruning.documents import FROZEN, Finite, Share, read_json


class Paper(BaseModel):
    model_config = FROZEN

    shares: dict[str, Share]
    saved: Finite = 0.0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.shares) > 2:
            raise ValueError("Two shares are enough; leave some out.")
        return self


def test_a_file_comes_back() -> None:
    paper = Paper(shares={"a": 0.5}, saved=-1.0)
    assert read_json(Paper, paper.model_dump_json(), "paper") == paper


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '{"shares": {"a": 2}}',
            "The paper is not valid at shares > a: Input should be less than or equal to 1.",
        ),
        ('{"shares": {}, "more": 1}', "The paper is not valid at more: Extra inputs are not permitted."),
        ('{"shares": {"a": 0, "b": 0, "c": 0}}', "at the file: Two shares are enough; leave some out."),
        ("nonsense", "The paper is not valid at the file: Invalid JSON"),
        (" " * 101, "The paper has 101 characters; at most 100 are read."),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        read_json(Paper, text, "paper", most=100)
    assert "\n" not in str(caught.value)
    assert not str(caught.value).endswith("..")
