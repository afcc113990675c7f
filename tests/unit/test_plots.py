"""Pictures of versions, evaluations and sweeps: whole PNGs of a size, with their texts."""

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builders import a_sweep_job, a_trained_version
from seqd.analysis.measures import CLASSIFICATION, Report
from seqd.analysis.plots import draw_curves, draw_distribution, draw_evaluation, draw_sweep
from seqd.analysis.sweeps import SweepReport, combinations_of, report_of
from seqd.errors import InvalidRequest
from seqd.hookspecs import Distribution, Inspection
from seqd_schemas import Classification, EpochMetrics, ItemSuccess

if TYPE_CHECKING:  # so that collecting is quick
    from matplotlib.figure import Figure


def size_of(path: Path) -> tuple[int, int]:
    """Read width and height out of a PNG's header."""
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def texts_of(figure: "Figure") -> set[str]:
    """Return all that can be read in a picture."""
    artists = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return {artist.get_text() for artist in artists}


def epochs_of(number: int, *names: str) -> list[EpochMetrics]:
    return [
        EpochMetrics(epoch=epoch, seconds=1.0, metrics=dict.fromkeys(names, 1.0 / epoch))
        for epoch in range(1, number + 1)
    ]


def a_table(*names: str) -> Inspection:
    rows = tuple((name, 7, 1.0 / len(names)) for name in names)
    shares = Distribution("successor", "probability")
    return Inspection("After 'a'", ("successor", "count", "probability"), rows, shares)


@pytest.mark.parametrize(
    ("names", "width", "title"),
    [
        (
            ("bits_per_char", "validation_bits_per_char"),
            980,
            "best held out: 0.0833 at epoch 12",
        ),
        (
            ("loss", "accuracy", "validation_loss", "validation_accuracy"),
            1_680,
            "best held out: 1.0000 at epoch 1",
        ),
    ],
)
def test_a_panel_is_drawn_for_each_curve_with_its_best_epoch(tmp_path, names, width, title):
    sheet = draw_curves(epochs_of(12, *names), tmp_path / "curve.png", model="m@1")

    assert size_of(tmp_path / "curve.png") == (width, 616)
    assert len(sheet.figure.axes) == len(names) // 2
    assert all(len(axes.lines) == 3 for axes in sheet.figure.axes)  # two lines, and the ring
    assert sheet.figure.axes[-1].get_title() == title


def test_epochs_without_figures_have_no_curve(tmp_path):
    with pytest.raises(InvalidRequest, match="the epochs of m@1 have no figures, so there is no"):
        draw_curves(epochs_of(2), tmp_path / "curve.png", model="m@1")

    assert list(tmp_path.iterdir()) == []


def test_a_distribution_has_a_bar_for_each_of_its_first_names(tmp_path):
    words = [f"word {number}" for number in range(60)]

    few = draw_distribution(a_table("'a'", "'$'", "'\\n'"), tmp_path / "d.png", model="m@0")
    many = draw_distribution(a_table(*words), tmp_path / "d.png", model="m@1")

    (short,), (long,) = few.figure.axes, many.figure.axes
    assert [one.get_text() for one in short.get_yticklabels()] == ["'a'", "'$'", "'\\n'"]
    assert short.get_title(loc="left") == "m@0. After 'a'"
    assert [one.get_text() for one in long.get_yticklabels()] == words[:48]
    assert long.get_title(loc="left") == "m@1. After 'a', the first 48 of 60"


def a_report(*labels: str) -> Report:
    answers = CLASSIFICATION.answers()
    for number in range(60):
        truth, got = labels[number % len(labels)], labels[number % 7 % len(labels)]
        answers.add(truth, Classification(label=got, score=0.5 + number / 130, truncated=False))
    return answers.report()


def test_an_evaluation_of_few_or_many_classes_is_drawn(tmp_path):
    path = tmp_path / "evaluation.png"
    many = [f"class $_{number}$" for number in range(60)]

    for labels, lacks_characters in ((many, False), (["\U00013000", "\U00013001"], True)):
        sheet = draw_evaluation(a_report(*labels), path, title="m@1 on $x")

        assert size_of(path) == (1_400, 672)
        assert sheet.lacks_characters == lacks_characters
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.pdf", r"the picture is to be 'a\.pdf'; allowed: a name"),
        ("nowhere/a.png", r"there is no folder .*nowhere to write a\.png into"),
        ("folder.png", r"the picture '.*folder\.png' cannot be written"),
    ],
)
def test_a_picture_that_cannot_be_drawn_leaves_all_as_it_was(tmp_path, name, said):
    (tmp_path / "folder.png").mkdir()

    with pytest.raises(InvalidRequest, match=said):
        draw_evaluation(a_report("a", "b"), tmp_path / name, title="m@1")

    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


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
def test_a_sweep_has_a_bar_for_each_combination_the_best_on_top(tmp_path, grid, metric, bars):
    sheet = draw_sweep(a_sweep(grid, metric), tmp_path / "sweep.png")

    quality, time = sheet.figure.axes
    assert [label.get_text() for label in quality.get_yticklabels()] == bars
    assert len(quality.patches) == len(time.patches) == len(bars)
    figure = metric or "validation accuracy"
    names = " and ".join(name.replace("_", " ") for name in grid)
    assert {
        f"{figure} (the axis does not begin at 0)",
        f"imdb_lstm: the effect of {names}",
        f"best: imdb_lstm@{len(bars)}",
        "seconds to train",
    } <= texts_of(sheet.figure)
