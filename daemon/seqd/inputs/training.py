"""Labelled texts: a caller's values as the records of a training set that is uploaded.

A label is read the same way from every file format, so that files can be compared.
"""

import math
from collections.abc import Iterable, Iterator, Mapping

from seqd.errors import InvalidData
from seqd.inputs.items import (
    BadEntry,
    check_text,
    invalid,
    lone_surrogate,
    number_text,
    record_of,
    text_of,
)
from seqd_schemas import LabelledText

#: Longest label that is read, which no class may exceed.
MAX_LABEL_CHARS = 256

#: Beyond it not every whole number is a float, and what is meant is no class any more.
_LARGEST_WHOLE_FLOAT = 2**53


def label_of(value: object) -> str | None:
    """Return a label as text, None where there is none; raise BadEntry for what cannot be one."""
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
    if len(value) > MAX_LABEL_CHARS:
        raise invalid(f"its label has {len(value):,} characters; allowed: {MAX_LABEL_CHARS}")
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


def text_and_label(value: object, text_field: str, label_field: str) -> tuple[str, str | None]:
    """Return what a text or a record holds to be learnt; raise BadEntry for what is neither."""
    if isinstance(value, str):
        return check_text(value), None
    record = record_of(value)
    return check_text(text_of(record, text_field)), label_of(record.get(label_field))


def texts_of(
    values: Iterable[str | Mapping[str, object]],
    *,
    text_field: str,
    label_field: str,
    row: str = "row",
) -> Iterator[LabelledText]:
    """Yield one record per value, lazily and in order; raises InvalidData naming the `row`."""
    for number, value in enumerate(values, start=1):
        try:
            text, label = text_and_label(value, text_field, label_field)
        except BadEntry as bad:
            raise InvalidData(f"{row} {number}: {bad.reason}. Mend it or take it out.") from None
        yield LabelledText(text=text, label=label)
