"""Reads a record's class, whatever type a file gives it: one rule, so that files can be compared.

    text       itself, without white space around it
    number     a whole one without a point, so 1 and 1.0 are `1`; others as they are: `4.5`
    boolean    `true` or `false`, as JSON writes them
    nothing    no label: a missing field, null, NaN, empty text

A CSV file knows text alone: its `1.0` stays `1.0`, its `True` stays `True`.

Used for training sets and evaluations, from files and from callers' values alike.
"""

import math

from seqd.inputs.faults import invalid
from seqd.inputs.items import lone_surrogate, number_text

_MAX_LABEL_CHARS = 256

#: Beyond it not every whole number is a float, and what is meant is no class any more.
_LARGEST_WHOLE_FLOAT = 2**53


def label_of(value: object) -> str | None:
    """Give a label as text, None where there is none; raise BadEntry for what cannot be one."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _of_float(value)
    if isinstance(value, int):
        value = number_text(value, "label")
    if value is None:
        return None
    if not isinstance(value, str):
        raise invalid(
            f"its label is of type {type(value).__name__}; allowed: a string, number or boolean"
        )
    value = value.strip()
    if len(value) > _MAX_LABEL_CHARS:
        raise invalid(f"its label has {len(value):,} characters; allowed: {_MAX_LABEL_CHARS}")
    if lone_surrogate(value) is not None:
        raise invalid(f"its label {value!a} holds a lone surrogate")
    return value or None


def _of_float(value: float) -> str | None:
    if math.isnan(value):  # how pandas and NumPy write a missing value
        return None
    if math.isinf(value):
        raise invalid("its label is infinite; allowed: a string, number or boolean")
    if value.is_integer() and abs(value) <= _LARGEST_WHOLE_FLOAT:
        return str(int(value))
    return str(value)
