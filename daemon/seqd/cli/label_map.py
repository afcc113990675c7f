"""`--map-label`: what the data calls a class and what the model does, or other names in results."""

import shlex
from collections.abc import Collection, Iterable
from difflib import SequenceMatcher
from typing import Annotated, Final

import typer

from seqd.cli import readers
from seqd.errors import InvalidRequest
from seqd.inputs.training import MAX_LABEL_CHARS
from seqd.wording import first_of

LabelPairs = Annotated[
    list[str] | None,
    typer.Option(
        "--map-label",
        metavar="LABEL=CLASS",
        help="The model's name for a label of the data: neg=negative. May be given again.",
    ),
]

#: Labels of one side that an error names.
_NAMED_LABELS: Final = 8

#: The least that a label and a class must have in common to be suggested as one, from 0 to 1.
_LIKENESS: Final = 0.5


def read_label_map(given: Iterable[str] | None, form: str = "LABEL=CLASS") -> dict[str, str]:
    """Return the classes, or names, by label; `form` says what a pair is.

    Raises InvalidRequest for what is no pair, and a label given twice.
    """
    found = readers.pairs(
        given,
        f"--map-label is {{0!r}}; allowed: {form}, such as neg=negative",
        "--map-label names the label {0!r} twice; give it once",
        may_be_empty=False,
    )
    for name in found.values():
        if len(name) > MAX_LABEL_CHARS:
            raise InvalidRequest(
                f"--map-label names a class of {len(name):,} characters; allowed: {MAX_LABEL_CHARS}"
            )
    return found


def suggested_options(labels: Collection[str], classes: Collection[str]) -> str:
    """Return options that would map labels to the classes that look like them, '' for none.

    Alike is what begins as the other does, or shares half of its letters; each class is taken once.
    """
    pairs = []
    left = set(classes)
    for label in sorted(labels):
        likeness = {name: _likeness(label, name) for name in left}
        best = max(sorted(left), key=lambda name: likeness[name], default=None)
        if best is not None and likeness[best] >= _LIKENESS:
            left.remove(best)
            pairs.append(f"--map-label {shlex.quote(f'{label}={best}')}")
    return " ".join(pairs)


def named_labels(labels: Iterable[str]) -> str:
    """Return labels for a message, sorted, the first of them."""
    return first_of(map(repr, sorted(labels)), _NAMED_LABELS)


def _likeness(label: str, name: str) -> float:
    one, other = label.casefold(), name.casefold()
    if one.startswith(other) or other.startswith(one):
        return 1.0
    return SequenceMatcher(None, one, other).ratio()
