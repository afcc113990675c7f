"""Turns a caller's values into the records of a training set that travels through Redis.

Unlike an item of a bulk job, a record that cannot be used refuses the whole set: a model that
was silently trained on less than it was given would mislead. Called by the client.
"""

from collections.abc import Iterable, Iterator, Mapping

from seqd.errors import InvalidData
from seqd.inputs.faults import BadEntry
from seqd.inputs.items import check_text, record_of, text_of
from seqd.inputs.labels import label_of
from seqd_schemas import LabelledText


def texts_of(
    values: Iterable[str | Mapping[str, object]], *, text_field: str, label_field: str
) -> Iterator[LabelledText]:
    """Give one record per value, lazily and in order; raises InvalidData naming the row."""
    for number, value in enumerate(values, start=1):
        try:
            yield _text(value, text_field, label_field)
        except BadEntry as bad:
            raise InvalidData(f"row {number}: {bad.reason}. Mend it or take it out.") from None


def _text(value: object, text_field: str, label_field: str) -> LabelledText:
    if isinstance(value, str):
        return LabelledText(text=check_text(value))
    record = record_of(value)
    text = check_text(text_of(record, text_field))
    return LabelledText(text=text, label=label_of(record.get(label_field)))
