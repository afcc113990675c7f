"""Exchanges are driven with given replies, without any server."""

import pytest

from seqd.ledger.exchange import (
    Command,
    Give,
    Pipeline,
    Reading,
    Taken,
    flat_mapped,
    mapped,
    pipeline,
)


def numbers(closed: list[str]) -> Reading[int]:
    try:
        yield Give((1, 2))
        yield Command(("PING",))
        yield Give((3,))
    except BaseException as error:
        closed.append(type(error).__name__)
        raise


def test_an_exchange_yields_requests_and_is_sent_their_replies():
    steps = pipeline([Command(("GET", "a")), Command(("GET", "b"))])

    assert next(steps) == Pipeline((Command(("GET", "a")), Command(("GET", "b"))))
    with pytest.raises(StopIteration) as end:
        steps.send([b"1", None])
    assert end.value.value == [b"1", None]


def test_no_command_is_no_request():
    with pytest.raises(StopIteration) as end:
        next(pipeline([]))
    assert end.value.value == []


def test_a_reading_is_changed_value_by_value_and_its_requests_pass_through():
    doubled = flat_mapped(numbers([]), lambda number: (number, number))

    first = next(doubled)
    assert isinstance(first, Give) and list(first.values) == [1, 1, 2, 2]
    assert next(doubled) == Command(("PING",))
    last = doubled.send(b"PONG")
    assert isinstance(last, Give) and list(last.values) == [3, 3]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_of_a_request_is_raised_in_the_reading_that_asked(error: type[BaseException]):
    closed: list[str] = []
    outer = mapped(numbers(closed), lambda number: 2 * number)
    next(outer)
    next(outer)

    with pytest.raises(error):
        outer.throw(error())

    assert closed == [error.__name__]


def test_a_reading_that_is_closed_closes_the_one_that_it_reads():
    closed: list[str] = []
    outer = mapped(numbers(closed), lambda number: 2 * number)
    next(outer)
    next(outer)

    outer.close()

    assert closed == ["GeneratorExit"]


def test_values_are_taken_one_by_one():
    taken, found = Taken(numbers([])), []

    def read() -> Reading[int]:
        while (value := (yield from taken.take())) is not None:
            found.append(value)

    steps = read()
    assert next(steps) == Command(("PING",))
    with pytest.raises(StopIteration):
        steps.send(b"PONG")
    assert found == [1, 2, 3]
