"""The guard finds an identifier that is used twice, and only that."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqd.errors import DuplicateCustomId
from seqd.inputs import duplicates
from seqd.inputs.duplicates import DuplicateGuard, refuse_duplicates
from seqd_schemas import Item


@pytest.fixture(autouse=True)
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


@settings(max_examples=300)
@given(st.lists(st.integers(0, 200), max_size=120), st.booleans())
def test_it_raises_exactly_where_a_set_would(numbers, distinct):
    ids = [f"id-{number}" for number in (dict.fromkeys(numbers) if distinct else numbers)]

    message = finds_duplicate(ids)

    assert (message is not None) == (len(set(ids)) < len(ids))
    if message is not None:
        named = message.split("'")[1]
        assert ids.count(named) > 1


def test_two_in_one_batch_are_named_with_both_positions():
    assert finds_duplicate(["a", "b", "a"]) == (
        "the identifier 'a' is used twice: by entry 1 and by entry 3. Each item of a job needs "
        "one of its own. Leave the field out to number them by position"
    )


def test_two_far_apart_are_named_with_the_later_position():
    ids = [f"id-{number}" for number in range(1_000)]

    message = finds_duplicate([*ids, "id-7"])

    assert message is not None
    assert message.startswith("the identifier 'id-7' is used twice: by an earlier entry and by ")
    assert "entry 1,001." in message


def test_entries_pass_through_in_order_until_the_second_of_its_name():
    entries = [Item(custom_id=name, text="t") for name in ("a", "b", "a", "c")]
    passed = []

    with pytest.raises(DuplicateCustomId):
        passed.extend(refuse_duplicates(entries))

    assert passed == entries[:2]
    assert list(refuse_duplicates(entries[1:])) == entries[1:]


def test_an_identifier_takes_eight_bytes(monkeypatch):
    monkeypatch.setattr(duplicates, "BATCH_IDS", 1_024)
    monkeypatch.setattr(duplicates, "MAX_RUN_HASHES", 2**20)
    guard, count = DuplicateGuard(), 20 * 1_024
    guard.add("the first")  # loads NumPy before anything is measured
    guard.finish()

    tracemalloc.start()
    try:
        for number in range(count):
            guard.add(f"id-{number}")
        guard.finish()
        taken_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert 8 * count <= taken_bytes < 9 * count
