"""`seqd models show`: a version's learning curve, and what its plugin shows as bars."""

import json
from pathlib import Path

import pytest

from cli_builders import here
from seqd.models.store import ModelStore
from seqd.settings import load_settings
from seqd_schemas import EpochMetrics
from store_builders import publish


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have commands look into an empty store."""
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path))


def publish_with_epochs(epochs: int) -> None:
    """Publish a version of a model whose training had so many epochs."""
    figures = [
        EpochMetrics(epoch=number, seconds=1.0, metrics={"loss": 1.0 / number})
        for number in range(1, epochs + 1)
    ]
    publish(ModelStore(load_settings().store_dir, {}), "imdb_lstm", epochs=figures)


def test_the_epochs_of_a_version_are_its_curve(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqd_imdb_lstm.ImdbLstm.inspect", lambda *_: ())
    publish_with_epochs(4)

    shown = here(capsys, "models", "show", "imdb_lstm@1", "--local")
    as_json = here(capsys, "models", "show", "imdb_lstm@1", "--local", "--json")

    assert shown.status == 0, shown.err
    assert "training 0.250" in shown.out
    assert "└ 1 ─" in shown.out
    epochs = json.loads(as_json.out)["manifest"]["epochs"]
    assert [epoch["metrics"] for epoch in epochs] == [
        {"loss": 1.0}, {"loss": 0.5}, {"loss": 1 / 3}, {"loss": 0.25}
    ]  # fmt: skip


def test_what_follows_a_state_stands_as_bars_on_a_terminal_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("models", "show", "markov@0", "--state", "a")

    in_a_pipe = here(capsys, *command)
    for name, value in [("FORCE_COLOR", "1"), ("TERM", "xterm")]:
        monkeypatch.setenv(name, value)
    on_a_terminal = here(capsys, *command)

    assert in_a_pipe.status == 0, in_a_pipe.err
    assert "After 'a'" in in_a_pipe.out
    assert "█" not in in_a_pipe.out
    assert "█" in on_a_terminal.out
