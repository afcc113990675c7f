"""The picture of a sweep: a line where a number was swept, bars for all else; its text is there."""

import struct
from pathlib import Path

from matplotlib.figure import Figure

from builders import a_sweep_job, a_trained_version
from seqd.analysis.plots import draw_sweep
from seqd.analysis.sweeps import SweepReport, combinations_of, report_of
from seqd_schemas import ItemSuccess


def a_report(grid: dict[str, list], metric: str | None = None) -> SweepReport:
    """A sweep of which each version is better than the one before it."""
    job = a_sweep_job(grid=grid, metric=metric)
    versions = [
        ItemSuccess(
            custom_id=combination.name,
            output=a_trained_version(
                version=number,
                parameters=combination.values,
                metrics={"validation_accuracy": 0.8 + number / 1_000, "loss": 0.5 - number / 1_000},
                seconds=10.0 + number,
            ),
        )
        for number, combination in enumerate(combinations_of(job), start=1)
    ]
    return report_of(job, versions)


def size_of(path: Path) -> tuple[int, int]:
    """Read width and height out of a PNG's header."""
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def texts_of(figure: Figure) -> set[str]:
    """Return all that can be read in a picture."""
    artists = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return {artist.get_text() for artist in artists}


def test_a_swept_number_is_the_axis_and_each_value_has_its_tick_and_figure(tmp_path: Path):
    path = tmp_path / "sweep.png"

    sheet = draw_sweep(a_report({"embedding_dim": [8, 16, 32, 64, 128]}), path)

    assert size_of(path) == (1_400, 644)
    assert not sheet.lacks_characters
    quality, time = sheet.figure.axes
    assert quality.get_xscale() == time.get_xscale() == "log"
    assert list(quality.get_xticks()) == [8, 16, 32, 64, 128]
    assert time.get_ylim()[0] == 0.0
    assert {
        "imdb_lstm: the effect of embedding dim",
        "embedding dim",
        "validation accuracy",
        "seconds to train",
        "128",
        "0.8050",
        "15.0",
        "best: imdb_lstm@5",
    } <= texts_of(sheet.figure)


def test_numbers_that_lie_close_have_an_even_axis(tmp_path: Path):
    sheet = draw_sweep(a_report({"epochs": [1, 2, 3]}), tmp_path / "sweep.png")

    assert [axes.get_xscale() for axes in sheet.figure.axes] == ["linear", "linear"]


def test_a_second_parameter_has_a_line_for_each_value(tmp_path: Path):
    grid = {"dropout": [0.0, 0.5], "embedding_dim": [8, 16, 32]}

    sheet = draw_sweep(a_report(grid), tmp_path / "sweep.png")

    quality, _ = sheet.figure.axes
    drawn = [list(line.get_xdata()) for line in quality.get_lines()]
    assert drawn == [[8, 16, 32], [8, 16, 32], [32]]  # the last one marks the best
    assert {
        "imdb_lstm: the effect of dropout and embedding dim",
        "dropout=0.0",
        "dropout=0.5",
    } <= texts_of(sheet.figure)


def test_what_is_no_number_has_bars_the_best_on_top(tmp_path: Path):
    grid = {"optimizer": ["adam", "sgd"], "masked": [True, False]}

    sheet = draw_sweep(a_report(grid), tmp_path / "sweep.png")

    quality, time = sheet.figure.axes
    labels = [label.get_text() for label in quality.get_yticklabels()]
    assert labels == ["sgd, false", "sgd, true", "adam, false", "adam, true"]
    assert (len(quality.patches), len(time.patches)) == (4, 4)
    assert "validation accuracy (the axis does not begin at 0)" in texts_of(sheet.figure)


def test_of_a_figure_like_a_loss_the_lowest_is_on_top(tmp_path: Path):
    sheet = draw_sweep(a_report({"optimizer": ["adam", "sgd"]}, "loss"), tmp_path / "sweep.png")

    labels = [label.get_text() for label in sheet.figure.axes[0].get_yticklabels()]
    assert labels == ["sgd", "adam"]


def test_of_very_many_combinations_the_best_are_drawn(tmp_path: Path):
    path = tmp_path / "sweep.png"
    grid = {"a": list(range(10)), "b": ["x", "y", "z"], "c": ["u", "v", "w"]}

    sheet = draw_sweep(a_report(grid), path)

    assert len(sheet.figure.axes[0].patches) == 32
    assert "imdb_lstm: the effect of a, b and c, the best 32 of 90" in texts_of(sheet.figure)
    assert size_of(path)[1] < 2_000
