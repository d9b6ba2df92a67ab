"""The frame around the pages: choice of model, undo across pages, hostile addresses and uploads."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from opened import session_of
from safetensors.torch import save as as_safetensors
from streamlit.testing.v1 import AppTest

import pruning
from ui import uploads
from ui.shell import PAGES, data_dir_argument


@pytest.mark.parametrize("name", PAGES)
def test_every_page_works_on_first_open(open_page: Any, name: str) -> None:
    app = open_page(name)
    assert app.title[0].value == PAGES[name]
    assert not app.error


def test_a_chosen_model_stays_across_pages(open_page: Any) -> None:
    app = open_page("model")
    app.selectbox("model-choice").set_value("digits-mlp").run()
    assert session_of(app).model == "digits-mlp"
    app.switch_page("pages/weights.py").run()
    assert app.selectbox("model-choice").value == "digits-mlp"
    assert app.query_params["model"] == "digits-mlp"


def test_an_address_restores_the_decisions(open_page: Any) -> None:
    first = open_page("model", model="digits-mlp")
    session = session_of(first)
    keys = [group.id for group in pruning.find_groups(*dense("digits-mlp"))]
    session.history = session.history.__class__(
        session.draft.__class__(criterion="l1", scope="global", ratios={keys[0]: 0.37})
    )
    first.run()
    query = dict(first.query_params)
    second = session_of(open_page("prune", **query))
    assert second.model == "digits-mlp"
    assert second.ratios == {keys[0]: 0.37}
    assert (second.criterion, second.scope) == ("l1", "global")


@pytest.mark.parametrize(
    "query",
    [
        {"model": "no-such-model"},
        {"model": "../../secrets"},
        {"model": "digits-mlp", "w": "0123456789abcdef01234567"},
        {"model": "digits-mlp", "r": "AAAA"},
        {"model": "digits-mlp", "r": "%%%", "c": "nothing", "g": "x", "m": "-4", "seed": "1e9", "o": "<b>"},
        {"model": "digits-mlp", "c": "bn_scale", "g": "weight"},
    ],
)
def test_a_hostile_address_opens_the_app(open_page: Any, query: dict[str, str]) -> None:
    app = open_page("prune", **query)
    assert not app.exception
    assert session_of(app).ratios == {}
    assert session_of(app).weights is None


def test_unknown_model_is_said(open_page: Any) -> None:
    app = open_page("model", model="no-such-model")
    assert any("unknown model" in note.value for note in app.info)


def upload(app: AppTest, data: bytes, name: str = "weights.safetensors") -> AppTest:
    return app.file_uploader("weights-file").set_value((name, data, "application/octet-stream")).run()


def test_good_weights_are_taken_and_found_again(open_page: Any) -> None:
    app = open_page("model", model="digits-mlp")
    torch.manual_seed(0)
    own = pruning.build_model("digits-mlp").state_dict()
    upload(app, as_safetensors(own))
    session = session_of(app)
    assert session.weights is not None
    assert not session.problem
    loaded = pruning.load_model("digits-mlp", weights=uploads.find("digits-mlp", session.weights))
    assert all(torch.equal(loaded.module.state_dict()[name], value) for name, value in own.items())
    again = open_page("weights", model="digits-mlp", w=session.weights)
    assert session_of(again).weights == session.weights
    again.button("built-in-weights").click().run()
    assert session_of(again).weights is None


def test_weights_damaged_on_disk_are_told_and_not_used(open_page: Any) -> None:
    digest = uploads.keep("digits-mlp", b"\x08\0\0\0\0\0\0\0{}garbage")
    app = open_page("prune", model="digits-mlp", w=digest, r="AAAA")
    assert session_of(app).weights is None
    assert not app.exception


@pytest.mark.parametrize("data", [b"", b"\xff" * 8, b"not a model", b"\xff\xff\xff\xff\xff\xff\xff\x7f{}"])
def test_bad_weights_give_one_sentence_and_harm_nothing(open_page: Any, data: bytes) -> None:
    app = open_page("model", model="digits-mlp")
    upload(app, data)
    session = session_of(app)
    assert session.problem
    assert [error.value for error in app.error] == [session.problem]
    assert session.weights is None
    assert not app.exception
    app.selectbox("model-choice").set_value("digits-resnet").run()
    assert not app.error


def test_weights_of_another_network_are_refused(open_page: Any) -> None:
    app = open_page("model", model="digits-mlp")
    upload(app, as_safetensors({"conv.weight": torch.zeros(3, 3)}))
    assert len(app.error) == 1


@pytest.mark.parametrize(
    ("arguments", "folder"),
    [
        (["--data-dir", "/srv/data"], "/srv/data"),
        (["--data-dir=/srv/data", "--other"], "/srv/data"),
        (["run", "--data-dir"], None),
        ([], None),
    ],
)
def test_the_data_directory_can_be_an_argument(arguments: list[str], folder: str | None) -> None:
    assert data_dir_argument(arguments) == folder


def dense(name: str) -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    loaded = pruning.load_model(name)
    return loaded.module, loaded.example_inputs
