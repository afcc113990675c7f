"""`seqd models show`: a version's learning curve, and what its plugin shows."""

import json

import pytest

from cli_builders import here
from seqd.hookspecs import Inspection
from seqd.models.store import ModelStore
from seqd.settings import load_settings
from seqd_schemas import EpochMetrics
from store_builders import publish

WORDS = Inspection("words", ("word",), (("a",),))


@pytest.fixture
def picture(tmp_path, monkeypatch):
    """Where a picture may go, beside an empty store."""
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path))
    return tmp_path / "picture.png"


def publish_with_epochs(epochs: int) -> None:
    """Publish a version of a model whose training had so many epochs."""
    figures = [
        EpochMetrics(epoch=number, seconds=1.0, metrics={"loss": 1.0 / number})
        for number in range(1, epochs + 1)
    ]
    publish(ModelStore(load_settings().store_dir, {}), "imdb_lstm", epochs=figures)


def test_the_epochs_of_a_version_are_its_curve(picture, capsys, monkeypatch):
    monkeypatch.setattr("seqd_imdb_lstm.ImdbLstm.inspect", lambda *_: ())
    publish_with_epochs(4)

    shown = here(capsys, "models", "show", "imdb_lstm@1", "--plot", str(picture))
    as_json = here(capsys, "models", "show", "imdb_lstm@1", "--local", "--json")

    assert shown.status == 0, shown.err
    assert "training 0.250" in shown.out
    assert "└ 1 ─" in shown.out
    assert f"The picture is in {picture}." in shown.out
    assert picture.read_bytes().startswith(b"\x89PNG")
    epochs = json.loads(as_json.out)["manifest"]["epochs"]
    assert [epoch["metrics"] for epoch in epochs] == [
        {"loss": 1.0}, {"loss": 0.5}, {"loss": 1 / 3}, {"loss": 0.25}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (
            (),
            "imdb_lstm@1 has no learning curve: it keeps 1 epoch of its training, and 2 make a "
            "curve. For a picture of one state name it: --state",
        ),
        (("--state", "a"), "shows of --state 'a' is no distribut"),
    ],
)
def test_a_picture_of_what_has_no_curve_and_no_distribution_is_refused(
    picture, capsys, monkeypatch, state, said
):
    monkeypatch.setattr("seqd_imdb_lstm.ImdbLstm.inspect", lambda *_: (WORDS,))
    publish_with_epochs(1)

    refused = here(capsys, "models", "show", "imdb_lstm@1", "--plot", str(picture), *state)

    assert refused.status == 2
    assert said in refused.err
    assert not picture.exists()


def test_what_follows_a_state_is_told_and_drawn(picture, capsys):
    shown = here(capsys, "models", "show", "markov@0", "--state", "a", "--plot", str(picture))

    assert shown.status == 0, shown.err
    assert "After 'a'" in shown.out
    assert picture.read_bytes().startswith(b"\x89PNG")
