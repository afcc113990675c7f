"""The pool of a worker: how long a child that ends waits for its parent."""

from time import monotonic
from types import SimpleNamespace

from seqd.worker.pool import Child, WatchedPool


def child_of(answers_counted: int) -> Child:
    """Return a child whose parent has counted so many of its answers."""
    child = Child.__new__(Child)
    child.on_ready_counter = SimpleNamespace(value=answers_counted)
    return child


def test_a_child_whose_answers_are_never_counted_ends_within_seconds_and_not_thirty():
    began = monotonic()

    assert child_of(1)._ensure_messages_consumed(completed=2) is False

    assert monotonic() - began < 10


def test_a_child_whose_answers_are_all_counted_ends_at_once():
    assert child_of(2)._ensure_messages_consumed(completed=2) is True


def test_the_pool_starts_such_children():
    assert WatchedPool.Worker is Child
