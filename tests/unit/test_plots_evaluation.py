"""The picture of an evaluation: a PNG of the size that was asked for, whole or not there."""

import struct
from pathlib import Path

import pytest

from seqd.analysis.evaluation import Evaluation, EvaluationReport
from seqd.analysis.plots import draw_evaluation
from seqd.errors import InvalidRequest
from seqd_schemas import Classification


def a_report(*labels: str) -> EvaluationReport:
    evaluation = Evaluation()
    for number in range(60):
        truth, got = labels[number % len(labels)], labels[number % 7 % len(labels)]
        evaluation.add(truth, Classification(label=got, score=0.5 + number / 130, truncated=False))
    return evaluation.report()


def size_of(path: Path) -> tuple[int, int]:
    """Read width and height out of a PNG's header."""
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", head[16:24])
    return width, height


@pytest.mark.parametrize("classes", [2, 9, 60])
def test_an_evaluation_of_few_or_many_classes_is_drawn(tmp_path: Path, classes: int) -> None:
    path = tmp_path / "evaluation.png"

    sheet = draw_evaluation(
        a_report(*(f"class $_{number}$" for number in range(classes))), path, title="m@1 on $x"
    )

    assert size_of(path) == (1_400, 672)
    assert not sheet.lacks_characters
    assert list(tmp_path.iterdir()) == [path]


def test_characters_that_no_font_has_are_told_of(tmp_path: Path) -> None:
    sheet = draw_evaluation(
        a_report("\U00013000", "\U00013001"), tmp_path / "hieroglyphs.png", title="m@1"
    )

    assert sheet.lacks_characters


def test_a_name_that_is_no_png_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"the picture is to be 'a\.pdf'; allowed: a name"):
        draw_evaluation(a_report("a", "b"), tmp_path / "a.pdf", title="m@1")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"there is no folder .*nowhere to write a\.png into"):
        draw_evaluation(a_report("a", "b"), tmp_path / "nowhere" / "a.png", title="m@1")


def test_a_picture_that_cannot_be_drawn_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.png"
    path.mkdir()

    with pytest.raises(InvalidRequest, match=r"the picture '.*evaluation\.png' cannot be written"):
        draw_evaluation(a_report("a", "b"), path, title="m@1")

    assert list(tmp_path.iterdir()) == [path]
