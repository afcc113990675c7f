"""Strings and records become items or labelled texts, or their refusal in their place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.errors import DuplicateCustomId, InvalidData
from seqd.inputs import duplicates
from seqd.inputs.duplicates import DuplicateGuard
from seqd.inputs.items import BadEntry, items_of
from seqd.inputs.training import label_of, texts_of
from seqd_schemas import MAX_TEXT_CHARS, Item, ItemErrorCode, RefusedItem


def only(value: object, **rules: object) -> Item | RefusedItem:
    (entry,) = items_of([value], **rules)
    return entry


def refusal(value: object, **rules: object) -> tuple[str, ItemErrorCode, str]:
    entry = only(value, **rules)
    assert isinstance(entry, RefusedItem)
    return entry.custom_id, entry.refused.code, entry.refused.message


def test_a_string_is_called_by_its_position_counted_from_one():
    entries = list(items_of(["good", "bad"]))

    assert entries == [Item(custom_id="row-1", text="good"), Item(custom_id="row-2", text="bad")]


@pytest.mark.parametrize(
    ("record", "custom_id"),
    [
        ({"custom_id": "a", "id": "b", "text": "t"}, "a"),
        ({"id": "b", "text": "t"}, "b"),
        ({"custom_id": None, "id": "b", "text": "t"}, "b"),
        ({"id": 17, "text": "t"}, "17"),
        ({"text": "t"}, "row-1"),
    ],
)
def test_the_identifier_is_the_field_else_id_else_the_position(record, custom_id):
    assert only(record) == Item(custom_id=custom_id, text="t")


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"key": "k", "body": {"input": "t"}}, "t"),
        ({"key": "k", "body.input": "named so", "body": {"input": "t"}}, "named so"),
    ],
)
def test_fields_can_be_named_and_the_text_may_stand_inside_an_object(record, text):
    fields = {"id_field": "key", "text_field": "body.input"}

    assert only(record, **fields) == Item(custom_id="k", text=text)


@pytest.mark.parametrize("record", [{"body": "t"}, {"body": {}}, {"body": {"input": None}}])
def test_a_record_without_the_text_inside_is_told_which_fields_it_has(record):
    entry = only(record, text_field="body.input")

    assert entry.refused.message.startswith("row 1: it has no field 'body.input'; its fields: body")


def test_a_record_without_text_is_told_which_fields_it_has():
    assert refusal({"id": "a", "review": "t"}) == (
        "a",
        ItemErrorCode.INVALID_INPUT,
        "row 1: it has no field 'text'; its fields: id, review. Name the one with the text as "
        "text_field (--text-field).",
    )


@pytest.mark.parametrize(("text", "told"), [("", "empty"), (" ", "blank"), ("\n\t ", "blank")])
def test_an_empty_text_is_refused_unless_it_is_allowed(text, told):
    assert refusal(text) == ("row-1", ItemErrorCode.INVALID_INPUT, f"row 1: text is {told}.")
    assert only(text, allow_empty=True) == Item(custom_id="row-1", text=text)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"text": 5}, "row 1: its text is of type int; allowed: a string."),
        ({"text": ["a"]}, "row 1: its text is a list; allowed: a string."),
        (None, "row 1: it is null; allowed: a string, or a record with a text field."),
        (b"a", "row 1: it is of type bytes; allowed: a string, or a record with a text field."),
    ],
)
def test_what_is_no_text_is_named_by_its_kind(value, message):
    assert refusal(value) == ("row-1", ItemErrorCode.INVALID_INPUT, message)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("a" * (MAX_TEXT_CHARS + 1), "1,048,577 characters"),
        # 3 bytes each: 349,526 · 3 = 1,048,578
        ("€" * 349_526, "1,048,578 bytes of UTF-8"),
    ],
)
def test_a_text_too_long_in_characters_or_bytes_is_refused_with_its_size(text, size):
    custom_id, code, message = refusal({"id": "a", "text": text})

    assert (custom_id, code) == ("a", ItemErrorCode.TOO_LONG)
    assert message == (
        f"row 1: its text has {size}; allowed: 1,048,576 characters and as many bytes of UTF-8. "
        "Cut it or split it."
    )


@pytest.mark.parametrize("text", ["a" * MAX_TEXT_CHARS, "€" * 349_525, "\0 emoji 😀", "ﬀ"])
def test_a_long_or_odd_text_within_the_bounds_is_an_item_unchanged(text):
    assert only(text) == Item(custom_id="row-1", text=text)


def test_a_lone_surrogate_is_refused_with_its_position():
    assert refusal("ab\ud800c") == (
        "row-1",
        ItemErrorCode.DECODE_ERROR,
        "row 1: its text holds a lone surrogate, U+D800, at character 2, counted from 0; allowed: "
        "Unicode text that UTF-8 can hold.",
    )


@pytest.mark.parametrize("custom_id", ["", "a" * 129, "a\nb", "a\x7f", "\udfff", True, 1.5, {}])
def test_a_bad_identifier_is_refused_under_the_position(custom_id):
    position, code, message = refusal({"custom_id": custom_id, "text": "t"})

    assert (position, code) == ("row-1", ItemErrorCode.INVALID_INPUT)
    assert message.startswith("row 1: its identifier ")


# Labels and training records


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
        *((nothing, None) for nothing in (None, "", "  ", float("nan"))),
    ],
    ids=repr,
)
def test_a_label_is_text_and_nothing_is_none(value, label):
    assert label_of(value) == label


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
def test_what_cannot_be_a_label_is_told(value, reason):
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


# Identifiers that are used twice


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(duplicates, "BATCH_IDS", 4)
    monkeypatch.setattr(duplicates, "MAX_RUN_HASHES", 16)


def finds_duplicate(ids) -> str | None:
    guard = DuplicateGuard()
    try:
        for custom_id in ids:
            guard.add(custom_id)
        guard.finish()
    except DuplicateCustomId as error:
        return str(error)
    return None


@pytest.mark.usefixtures("small_batches")
@given(st.lists(st.integers(0, 200), max_size=120), st.booleans())
def test_it_raises_exactly_where_a_set_would(numbers, distinct):
    ids = [f"id-{number}" for number in (dict.fromkeys(numbers) if distinct else numbers)]

    message = finds_duplicate(ids)

    assert (message is not None) == (len(set(ids)) < len(ids))
    if message is not None:
        named = message.split("'")[1]
        assert ids.count(named) > 1
