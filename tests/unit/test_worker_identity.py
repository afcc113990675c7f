"""A worker's name becomes part of keys and lists, so it is checked before anything uses it."""

import pytest

from seqd.errors import InvalidSettings
from seqd.local.slots import parse_slot
from seqd.worker.context import identify


def test_a_worker_without_a_name_gets_a_new_one_at_each_start():
    slot = parse_slot("train@cpu")

    names = {identify(slot).name for _ in range(3)}

    assert len(names) == 3
    assert all(name.startswith("train-cpu@") for name in names)


def test_a_name_that_cannot_be_part_of_a_key_is_refused():
    with pytest.raises(InvalidSettings) as refusal:
        identify(parse_slot("cpu:0"), "a b")

    assert str(refusal.value) == (
        "The worker's name is 'a b'; allowed: up to 200 letters, digits and `_.:@-`, and no space, "
        "since it becomes part of a key."
    )
