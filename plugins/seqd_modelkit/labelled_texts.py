"""Labelled texts as a classifier learns from them: classes by number, some held out, and metrics.

For data that fits in memory: all texts are held at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from seqd.errors import InvalidData, Stopped
from seqd.hookspecs import Dataset, TrainContext, random_stream

Targets = npt.NDArray[np.int32]

Indices = npt.NDArray[np.intp]

#: Records that are read between two checks of the stop request.
_READ_RECORDS: Final = 512

#: Lowest probability that a loss counts, as in Keras.
_EPSILON: Final = 1e-7


@dataclass(frozen=True, slots=True)
class LabelledTexts:
    """Texts, and the number of each one's class."""

    texts: tuple[str, ...]
    targets: Targets

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.texts)


class TextSplit(NamedTuple):
    """What a classifier is trained on and validated on; `validation` may be empty."""

    #: The classes by number, in the order of their names.
    labels: tuple[str, ...]
    training: LabelledTexts
    validation: LabelledTexts


def read_labelled_texts(context: TrainContext, *, validation_split: float, seed: int) -> TextSplit:
    """Return the texts of `context.data`, and those to validate on.

    These are `context.held_out` where it is given, else a share of each class of the data, drawn by
    `seed`, rounded down. Raises InvalidData for a record without a label, for data of one class,
    and for held-out data of a class that the data does not have; Stopped.
    """
    texts, names = _read(context.data, context)
    labels = tuple(sorted(set(names)))
    if len(labels) < 2:
        found = f"one, {labels[0]!r}" if labels else "none"
        raise InvalidData(
            f"{context.data.description} has {found} where a classifier needs two classes or more. "
            "Add records with other labels."
        )
    data = _numbered(texts, names, labels)
    if context.held_out is None:
        held_out = _drawn(data.targets, validation_split, seed)
        return TextSplit(labels, _chosen(data, ~held_out), _chosen(data, held_out))
    texts, names = _read(context.held_out, context)
    if unknown := sorted(set(names) - set(labels)):
        raise InvalidData(
            f"{context.held_out.description} has the class {unknown[0]!r}, which "
            f"{context.data.description} does not have. Leave its records out, or train on some."
        )
    return TextSplit(labels, data, _numbered(texts, names, labels))


def validation_metrics(
    probabilities: Callable[[Indices], npt.NDArray[np.floating]],
    targets: Targets,
    stop_requested: Callable[[], bool],
    *,
    batch_size: int = 128,
) -> dict[str, float]:
    """Return the mean cross-entropy in nats, `validation_loss`, and `validation_accuracy`.

    Nothing without targets. `probabilities` gets the numbers of a batch's texts, and returns
    (texts, classes). Raises Stopped, which is asked about before each batch.
    """
    losses, right = list[float](), 0
    for start in range(0, len(targets), batch_size):
        if stop_requested():
            raise Stopped("The training was asked to stop while it validated.")
        batch = np.arange(start, min(start + batch_size, len(targets)))
        rows = probabilities(batch)
        of_right = rows[np.arange(len(batch)), targets[batch]].astype(np.float64)
        losses += (-np.log(np.maximum(of_right, _EPSILON))).tolist()
        right += int((rows.argmax(axis=1) == targets[batch]).sum())
    if not losses:
        return {}
    return {
        "validation_loss": sum(losses) / len(losses),
        "validation_accuracy": right / len(losses),
    }


def _read(dataset: Dataset, context: TrainContext) -> tuple[list[str], list[str]]:
    texts, names = list[str](), list[str]()
    records = dataset.records()
    while True:
        if context.stop_requested():
            raise Stopped("The training was asked to stop while it read its data.")
        batch = list(islice(records, _READ_RECORDS))
        if not batch:
            return texts, names
        for record in batch:
            if record.label is None:
                raise InvalidData(
                    f"Record {len(texts) + 1:,} of {dataset.description} has no label. A "
                    "classifier learns from labels: give each record one."
                )
            texts.append(record.text)
            names.append(record.label)


def _numbered(texts: list[str], names: list[str], labels: tuple[str, ...]) -> LabelledTexts:
    numbers = {label: number for number, label in enumerate(labels)}
    return LabelledTexts(tuple(texts), np.array([numbers[name] for name in names], np.int32))


def _drawn(targets: Targets, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Return which examples are held out; never all of a class, as `share` is below 1."""
    held_out = np.zeros(len(targets), np.bool_)
    for target in np.unique(targets):
        rows = np.flatnonzero(targets == target)
        drawn = random_stream(seed, int(target), 1).permutation(rows)
        held_out[drawn[: int(len(rows) * share)]] = True
    return held_out


def _chosen(data: LabelledTexts, chosen: npt.NDArray[np.bool_]) -> LabelledTexts:
    texts = tuple(text for text, is_chosen in zip(data.texts, chosen, strict=True) if is_chosen)
    return LabelledTexts(texts, data.targets[chosen])
