"""A label is text by one rule, whatever a file or a caller calls it."""

import pytest

from seqd.errors import InvalidData
from seqd.inputs.items import BadEntry
from seqd.inputs.training import label_of, texts_of


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("pos", "pos"),
        (" pos\t", "pos"),
        ("1.0", "1.0"),
        ("True", "True"),
        ("très bon, ★\n2", "très bon, ★\n2"),
        (1, "1"),
        (1.0, "1"),
        (-0.0, "0"),
        (4.5, "4.5"),
        (1e300, "1e+300"),
        (10**30, "1" + "0" * 30),
        (True, "true"),
        (False, "false"),
        (0, "0"),
    ],
    ids=repr,
)
def test_a_label_is_text(value: object, label: str):
    assert label_of(value) == label


@pytest.mark.parametrize("value", [None, "", "  ", float("nan")], ids=repr)
def test_nothing_is_no_label(value: object):
    assert label_of(value) is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([1], "its label is of type list; allowed: a string, number or boolean"),
        (float("inf"), "its label is infinite; allowed: a string, number or boolean"),
        ("x" * 257, "its label has 257 characters; allowed: 256"),
        (10**300, "its label has 301 characters; allowed: 256"),
        ("a\ud800", "its label 'a\\ud800' holds a lone surrogate"),
    ],
    ids=["a list", "infinity", "too long", "too many digits", "a surrogate"],
)
def test_what_cannot_be_a_label_is_told(value: object, reason: str):
    with pytest.raises(BadEntry) as raised:
        label_of(value)

    assert raised.value.reason == reason


def test_a_bad_label_refuses_a_set_with_its_row():
    values = [{"text": "a", "label": 1}, {"text": "b", "label": {}}]

    with pytest.raises(InvalidData) as raised:
        list(texts_of(values, text_field="text", label_field="label"))

    assert str(raised.value) == (
        "row 2: its label is of type dict; allowed: a string, number or boolean. Mend it or take "
        "it out."
    )
