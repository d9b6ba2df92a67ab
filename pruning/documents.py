"""What files of JSON have in common: types of their fields, and one sentence for what is wrong in one."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

FROZEN = ConfigDict(frozen=True, extra="forbid", strict=True)
MOST_CHARS = 64_000_000  # a scan of 1,000 keys at 20 ratios is 4 MB

Count = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]

T = TypeVar("T", bound=BaseModel)


def read_json(kind: type[T], text: str, name: str, most: int = MOST_CHARS) -> T:
    """Validate what was kept as JSON.

    Args:
        kind: what it is to be.
        text: the JSON.
        name: what to call it in a sentence: "recipe".
        most: characters that are read at most.
    Raises:
        ValueError: one sentence saying what is wrong and where.
    """
    if len(text) > most:
        raise ValueError(f"The {name} has {len(text):,} characters; at most {most:,} are read.")
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = " > ".join(str(part)[:80] for part in first["loc"]) or "the file"
        message = first["msg"].removeprefix("Value error, ").rstrip(".")  # of pydantic, or one of ours
        raise ValueError(f"The {name} is not valid at {where}: {message}.") from None
