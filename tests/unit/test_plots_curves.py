"""Pictures of a version: its learning curve, and a distribution that its plugin shows."""

import struct
from pathlib import Path

import pytest

from seqd.analysis.plots import draw_curves, draw_distribution
from seqd.errors import InvalidRequest
from seqd.hookspecs import Distribution, Inspection
from seqd_schemas import EpochMetrics

SHARES = Distribution("successor", "probability")


def epochs_of(number: int, *names: str) -> list[EpochMetrics]:
    return [
        EpochMetrics(epoch=epoch, seconds=1.0, metrics=dict.fromkeys(names, 1.0 / epoch))
        for epoch in range(1, number + 1)
    ]


def a_table(*names: str, distribution: Distribution | None = SHARES) -> Inspection:
    rows = tuple((name, 7, 1.0 / len(names)) for name in names)
    return Inspection("After 'a'", ("successor", "count", "probability"), rows, distribution)


def size_of(path: Path) -> tuple[int, int]:
    """Read width and height out of a PNG's header."""
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", head[16:24])
    return width, height


@pytest.mark.parametrize(
    ("names", "width"),
    [
        (("bits_per_char", "validation_bits_per_char"), 980),
        (("loss", "accuracy", "validation_loss", "validation_accuracy"), 1_680),
    ],
)
def test_a_panel_is_drawn_for_each_curve(
    tmp_path: Path, names: tuple[str, ...], width: int
) -> None:
    sheet = draw_curves(epochs_of(12, *names), tmp_path / "curve.png", model="m@1")

    assert size_of(tmp_path / "curve.png") == (width, 616)
    assert len(sheet.figure.axes) == len(names) // 2
    assert all(len(axes.lines) == 3 for axes in sheet.figure.axes)  # two lines, and the ring
    assert "at epoch 1" in sheet.figure.axes[-1].get_title() or len(names) == 2


def test_the_best_epoch_is_the_one_of_the_least_bits(tmp_path: Path) -> None:
    epochs = epochs_of(3, "bits_per_char", "validation_bits_per_char")

    sheet = draw_curves(epochs, tmp_path / "curve.png", model="m@1")

    assert sheet.figure.axes[0].get_title() == "best held out: 0.3333 at epoch 3"
    assert sheet.figure.axes[0].get_ylabel() == "bits a character"


def test_epochs_without_figures_have_no_curve(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="the epochs of m@1 have no figures, so there is no"):
        draw_curves(epochs_of(2), tmp_path / "curve.png", model="m@1")

    assert list(tmp_path.iterdir()) == []


def test_short_names_stand_below_upright_bars(tmp_path: Path) -> None:
    sheet = draw_distribution(a_table("'a'", "'$'", "'\\n'"), tmp_path / "d.png", model="markov@0")

    (axes,) = sheet.figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["'a'", "'$'", "'\\n'"]
    assert axes.get_title(loc="left") == "markov@0. After 'a'"


def test_words_stand_beside_lying_bars_and_of_many_the_first_are_drawn(tmp_path: Path) -> None:
    words = [f"word {number}" for number in range(60)]

    sheet = draw_distribution(a_table(*words), tmp_path / "d.png", model="m@1")

    (axes,) = sheet.figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == words[:48]
    assert axes.get_title(loc="left") == "m@1. After 'a', the first 48 of 60"


def test_a_table_that_is_no_distribution_is_not_drawn(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no distribution to draw"):
        draw_distribution(a_table("a", distribution=None), tmp_path / "d.png", model="m@1")
