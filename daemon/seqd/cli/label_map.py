"""`--map-label`: what the data calls a class and what the model does, or other names in results."""

import shlex
from collections.abc import Collection, Iterable
from difflib import SequenceMatcher
from typing import Annotated, Final

import typer

from seqd.errors import InvalidRequest

LabelPairs = Annotated[
    list[str] | None,
    typer.Option(
        "--map-label",
        metavar="LABEL=CLASS",
        help="What a label of the data is called by the model: neg=negative. May be given again.",
    ),
]

#: Of a command whose results get the names, in place of the data's labels.
NewLabelPairs = Annotated[
    list[str] | None,
    typer.Option(
        "--map-label",
        metavar="LABEL=NAME",
        help="What results call a label of the model: neg=negative. May be given again; labels "
        "with one name are one, and their probabilities are added.",
    ),
]

#: Labels of one side that an error names.
_NAMED_LABELS: Final = 8

#: The least that a label and a class must have in common to be suggested as one, from 0 to 1.
_LIKENESS: Final = 0.5


def read_label_map(pairs: Iterable[str], form: str = "LABEL=CLASS") -> dict[str, str]:
    """Return the classes, or names, by label; `form` says what a pair is.

    Raises InvalidRequest for what is no pair, and a label given twice.
    """
    from seqd.inputs.training import MAX_LABEL_CHARS

    found: dict[str, str] = {}
    for pair in pairs:
        label, equals, name = pair.partition("=")
        if not equals or not label or not name:
            raise InvalidRequest(f"--map-label is {pair!r}; allowed: {form}, such as neg=negative")
        if len(name) > MAX_LABEL_CHARS:
            raise InvalidRequest(
                f"--map-label names a class of {len(name):,} characters; allowed: {MAX_LABEL_CHARS}"
            )
        if label in found:
            raise InvalidRequest(f"--map-label names the label {label!r} twice; give it once")
        found[label] = name
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
    names = sorted(labels)
    more = ", …" if len(names) > _NAMED_LABELS else ""
    return ", ".join(repr(name) for name in names[:_NAMED_LABELS]) + more


def _likeness(label: str, name: str) -> float:
    one, other = label.casefold(), name.casefold()
    if one.startswith(other) or other.startswith(one):
        return 1.0
    return SequenceMatcher(None, one, other).ratio()
