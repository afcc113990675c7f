"""Labelled texts as a classifier learns from them: classes by number, and some texts held out."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seqd.errors import InvalidData
from seqd.hookspecs import LabelledRecord, random_stream

Targets = npt.NDArray[np.int32]


class LabelledTexts(NamedTuple):
    """Texts, and the number of each one's class."""

    texts: list[str]
    targets: Targets


class TextSplit(NamedTuple):
    """What a classifier is trained on and validated on; `validation` may be empty."""

    #: The classes by number, in the order of their names.
    classes: list[str]
    training: LabelledTexts
    validation: LabelledTexts


def split_records(
    records: Sequence[LabelledRecord],
    held_out: Sequence[LabelledRecord] | None,
    *,
    validation_split: float,
    seed: int,
) -> TextSplit:
    """Return the texts to learn from, and those to validate on.

    These are `held_out` where it is given, else a share of each class, drawn by `seed`, rounded
    down. Raises InvalidData for a record without a label, for data of one class, and for held-out
    data of a class that the data does not have.
    """
    classes = sorted({_label(record, "data") for record in records})
    if len(classes) < 2:
        raise InvalidData(
            f"The data has {len(classes)} of the two classes or more that a classifier needs: "
            f"{classes}. Add records with other labels."
        )
    if held_out is None:
        drawn = _drawn([record.label for record in records], validation_split, seed)
        held_out = [record for at, record in enumerate(records) if at in drawn]
        records = [record for at, record in enumerate(records) if at not in drawn]
    elif unknown := sorted({_label(record, "held-out data") for record in held_out} - {*classes}):
        raise InvalidData(
            f"The held-out data has the class {unknown[0]!r}, which the data does not have. Leave "
            "its records out, or train on some."
        )
    return TextSplit(classes, _numbered(records, classes), _numbered(held_out, classes))


def _label(record: LabelledRecord, where: str) -> str:
    if record.label is None:
        raise InvalidData(
            f"The text {record.text[:40]!r} of the {where} has no label. A classifier learns from "
            "labels: give each record one."
        )
    return record.label


def _drawn(labels: Sequence[str | None], share: float, seed: int) -> set[int]:
    """Return which places are held out; never all of a class, as `share` is below 1."""
    drawn = set[int]()
    for number, label in enumerate(sorted({*labels}, key=str)):
        places = [at for at, one in enumerate(labels) if one == label]
        order = random_stream(seed, number, 1).permutation(places)
        drawn.update(order[: int(len(places) * share)].tolist())
    return drawn


def _numbered(records: Sequence[LabelledRecord], classes: Sequence[str]) -> LabelledTexts:
    numbers: dict[str | None, int] = {label: number for number, label in enumerate(classes)}
    targets = np.array([numbers[record.label] for record in records], np.int32)
    return LabelledTexts([record.text for record in records], targets)
