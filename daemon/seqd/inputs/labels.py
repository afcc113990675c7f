"""Reads a record's class, whatever type a file gives it.

Used for training sets, from files and from callers' values alike.
"""

from seqd.inputs.faults import invalid
from seqd.inputs.items import lone_surrogate, number_text

_MAX_LABEL_CHARS = 256


def label_of(value: object) -> str | None:
    """Give a label as text: 1 is `1`, true is `true`; missing, null and empty are no label."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        value = number_text(value, "label")
    elif isinstance(value, float):
        return str(value)
    if not isinstance(value, str):
        raise invalid(f"its label is of type {type(value).__name__}; allowed: a string or number")
    if len(value) > _MAX_LABEL_CHARS:
        raise invalid(f"its label has {len(value):,} characters; allowed: {_MAX_LABEL_CHARS}")
    if lone_surrogate(value) is not None:
        raise invalid(f"its label {value!a} holds a lone surrogate")
    return value
