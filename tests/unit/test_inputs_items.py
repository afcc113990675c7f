"""Strings and records become items, or their refusal in their place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.inputs.items import items_of
from seqd_schemas import MAX_TEXT_CHARS, Item, ItemErrorCode, RefusedItem


def only(value: object, **rules: object) -> Item | RefusedItem:
    (entry,) = items_of([value], **rules)  # type: ignore[list-item, arg-type]
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


def test_other_fields_can_be_named():
    entry = only({"key": "k", "review": "t"}, id_field="key", text_field="review")

    assert entry == Item(custom_id="k", text="t")


def test_a_record_without_text_is_told_which_fields_it_has():
    assert refusal({"id": "a", "review": "t"}) == (
        "a",
        ItemErrorCode.INVALID_INPUT,
        "row 1: it has no field 'text'; its fields: id, review. Name the one with the text as "
        "text_field (--text-field).",
    )


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_an_empty_text_is_refused_unless_it_is_allowed(text):
    assert refusal(text) == ("row-1", ItemErrorCode.INVALID_INPUT, "row 1: text is empty.")
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


def test_items_are_made_one_by_one():
    values = iter(["a", "b"])

    first = next(items_of(values))

    assert first.custom_id == "row-1"
    assert next(values) == "b"


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
RECORDS = st.fixed_dictionaries(
    {}, optional={"custom_id": ANY_JSON, "id": ANY_JSON, "text": ANY_JSON}
)
SURROGATES = st.text(st.characters(categories=["Cs", "Lu", "Cc"]))


@given(st.lists(ANY_JSON | RECORDS | SURROGATES, max_size=8))
def test_every_value_gives_one_entry_in_its_place(values):
    entries = list(items_of(values))

    assert len(entries) == len(values)
    for number, (value, entry) in enumerate(zip(values, entries, strict=True), start=1):
        entry.model_dump_json()
        if isinstance(value, str):
            assert entry.custom_id == f"row-{number}"
        if isinstance(entry, Item):
            assert entry.text == (value if isinstance(value, str) else value["text"])


def test_what_is_an_entry_already_passes_as_it_is():
    entries = list(items_of(["", Item(custom_id="a", text="t")]))

    assert list(items_of(entries)) == entries
