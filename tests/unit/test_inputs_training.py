"""A caller's values become training records; one that cannot be used refuses the set."""

import pytest

from seqd.errors import InvalidData
from seqd.inputs.training import texts_of
from seqd_schemas import LabelledText


def test_strings_and_records_become_labelled_texts():
    values = ["a", {"review": "b", "stars": 5}, {"review": "c"}]

    texts = list(texts_of(values, text_field="review", label_field="stars"))

    assert texts == [
        LabelledText(text="a"),
        LabelledText(text="b", label="5"),
        LabelledText(text="c"),
    ]


def test_the_first_bad_value_is_named_by_its_row():
    values = texts_of(["a", {"text": ""}], text_field="text", label_field="label")

    with pytest.raises(InvalidData) as raised:
        list(values)

    assert str(raised.value).startswith("row 2: text is empty")
