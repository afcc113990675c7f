"""The picture of a sweep: a whole PNG with its texts."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builders import a_sweep_job, a_trained_version
from seqd.analysis.plots import draw_sweep
from seqd.analysis.sweeps import SweepReport, combinations_of, report_of
from seqd.errors import InvalidRequest
from seqd_schemas import ItemSuccess

if TYPE_CHECKING:  # so that collecting is quick
    from matplotlib.figure import Figure


def texts_of(figure: "Figure") -> set[str]:
    """Return all that can be read in a picture."""
    artists = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return {artist.get_text() for artist in artists}


def a_sweep(grid: dict[str, list], metric: str | None = None) -> SweepReport:
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


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.pdf", r"the picture is to be 'a\.pdf'; allowed: a name"),
        ("nowhere/a.png", r"there is no folder .*nowhere to write a\.png into"),
        ("folder.png", r"the picture '.*folder\.png' cannot be written"),
    ],
)
def test_a_picture_that_cannot_be_drawn_leaves_all_as_it_was(
    tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "folder.png").mkdir()

    with pytest.raises(InvalidRequest, match=said):
        draw_sweep(a_sweep({"embedding_dim": [8, 16]}), tmp_path / name)

    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.parametrize(
    ("grid", "metric", "bars"),
    [
        (
            {"optimizer": ["adam", "sgd"], "masked": [True, False]},
            None,
            ["sgd, false", "sgd, true", "adam, false", "adam, true"],
        ),
        ({"embedding_dim": [8, 16]}, "loss", ["16", "8"]),  # the lowest is best
    ],
)
def test_a_sweep_has_a_bar_for_each_combination_the_best_on_top(
    tmp_path: Path, grid: dict[str, list], metric: str | None, bars: list[str]
) -> None:
    sheet = draw_sweep(a_sweep(grid, metric), tmp_path / "sweep.png")

    quality, time = sheet.axes
    assert [label.get_text() for label in quality.get_yticklabels()] == bars
    assert len(quality.patches) == len(time.patches) == len(bars)
    figure = metric or "validation accuracy"
    names = " and ".join(name.replace("_", " ") for name in grid)
    assert {
        f"{figure} (the axis does not begin at 0)",
        f"imdb_lstm: the effect of {names}",
        f"best: imdb_lstm@{len(bars)}",
        "seconds to train",
    } <= texts_of(sheet)
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
