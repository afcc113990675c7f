"""`seqd models show`: a version's learning curve, and what its plugin shows as bars."""

import json
from pathlib import Path

import pytest

from cli_builders import here
from seqd.cli.models.app import draw_picture
from seqd.cli.ui.models import print_inspections
from seqd.cli.ui.screen import Screen
from seqd.errors import InvalidRequest
from seqd.hookspecs import Distribution, Inspection
from seqd.models.store import ModelStore
from seqd.settings import load_settings
from seqd_schemas import EpochMetrics, ModelManifest
from store_builders import publish

TABLE = Inspection(
    "After 'a'",
    ("successor", "probability"),
    (("'n'", 0.5), ("'t'", 0.25), ("'z'", 0.01)),
    Distribution("successor", "probability"),
)


def a_version(data_dir: Path, epochs: int) -> ModelManifest:
    """Publish a version of a model whose plugin shows nothing more of it."""
    store = ModelStore(load_settings(data_dir=data_dir).store_dir, {})
    figures = [
        EpochMetrics(epoch=number, seconds=1.0, metrics={"loss": 1.0 / number})
        for number in range(1, epochs + 1)
    ]
    number = publish(store, "imdb_lstm", epochs=figures)
    return store.open("imdb_lstm", number).manifest


def test_the_epochs_of_a_version_are_its_curve(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("seqd_imdb_lstm.ImdbLstm.inspect", lambda *_: ())
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path))
    a_version(tmp_path, epochs=4)
    picture = tmp_path / "curve.png"

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
    ("tables", "state", "said"),
    [
        (
            (),
            None,
            "imdb_lstm@1 has no learning curve: it keeps 1 epoch of its training, and 2 make a "
            "curve. For a picture of one state name it: --state",
        ),
        ((Inspection("words", ("word",), (("a",),)),), "a", "shows of --state 'a' is no distribut"),
    ],
)
def test_a_picture_of_what_has_no_curve_and_no_distribution_is_refused(
    tmp_path: Path, tables: tuple[Inspection, ...], state: str | None, said: str
) -> None:
    manifest = a_version(tmp_path, epochs=1)

    with pytest.raises(InvalidRequest) as raised:
        draw_picture(tmp_path / "a.png", manifest, tables, state)

    assert said in str(raised.value)


def test_bars_stand_on_a_terminal_and_not_in_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    print_inspections(Screen(), [TABLE])
    in_a_pipe = capsys.readouterr().out
    for name, value in [("FORCE_COLOR", "1"), ("TERM", "xterm")]:
        monkeypatch.setenv(name, value)
    print_inspections(Screen(), [TABLE])

    assert in_a_pipe.splitlines()[2].split() == ["'n'", "0.5000"]
    assert "0.2500  ████████████ " in capsys.readouterr().out


def test_what_follows_a_character_of_the_starter_is_drawn(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = tmp_path / "after-a.png"

    ended = here(capsys, "models", "show", "markov@0", "--state", "a", "--plot", str(picture))

    assert ended.status == 0, ended.err
    assert "After 'a'" in ended.out
    assert picture.read_bytes().startswith(b"\x89PNG")
