"""Failures and delays that a test orders, applied when the worker comes to an item.

An order is for the items with a text, or for all of them; a training counts as an item without a
text. It holds for so many times, or until the test ends.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Lock
from time import monotonic
from types import TracebackType
from typing import Self

from seqd.errors import Stopped, wire_text
from seqd_schemas import ItemError, ItemErrorCode

#: Seconds between two looks whether the work should stop, while an item is delayed.
LOOK_S = 0.005

Stop = Callable[[], bool]


class FailedByOrder(Exception):
    """An item is to fail with an error that the test has chosen."""

    def __init__(self, error: ItemError) -> None:
        super().__init__(error.message)
        self.error = error


class Held:
    """Items at which the worker stands still until they are released; a context manager."""

    def __init__(self) -> None:
        self._reached = Event()
        self._released = Event()

    def wait_until_reached(self, timeout_s: float = 10.0) -> None:
        """Wait until the worker stands at such an item. Raises TimeoutError."""
        if not self._reached.wait(timeout_s):
            raise TimeoutError(f"no worker has come to the item within {timeout_s:g} s")

    def release(self) -> None:
        """Let the worker go on, and hold no further item."""
        self._released.set()

    def stand(self, stop: Stop) -> None:
        """Stand still until it is released. Raises Stopped where `stop` says so before."""
        if self._released.is_set():
            return
        self._reached.set()
        while not self._released.wait(LOOK_S):
            _check(stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


@dataclass(slots=True)
class _Order:
    """What is done at an item, and how often still; None: as often as it comes."""

    act: Callable[[Stop], None]
    text: str | None
    times: int | None

    def is_for(self, text: str | None) -> bool:
        return self.times != 0 and self.text in (None, text)


@dataclass(slots=True)
class Orders:
    """The orders of one test. Given by its thread, applied by the worker's."""

    #: Has the worker lose what it holds, as one that was killed does.
    die: Callable[[], None]
    _orders: list[_Order] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def fail_item(
        self, text: str | None, message: str, code: ItemErrorCode, times: int | None
    ) -> None:
        """Give items an error in the place of an output."""
        error = ItemError(code=code, message=wire_text(message))

        def fail(stop: Stop) -> None:
            raise FailedByOrder(error)

        self._add(fail, text, times)

    def slow(self, seconds: float, text: str | None, times: int | None) -> None:
        """Delay items; a job that is cancelled does not wait for the end of it."""

        def wait(stop: Stop) -> None:
            ends_at, never = monotonic() + seconds, Event()
            while (left_s := ends_at - monotonic()) > 0:
                _check(stop)
                never.wait(min(LOOK_S, left_s))

        self._add(wait, text, times)

    def hold(self, text: str | None) -> Held:
        """Have the worker stand still at items until they are released."""
        held = Held()
        self._add(held.stand, text, None)
        return held

    def kill_worker(self, text: str | None, times: int | None) -> None:
        """Have the worker lose all that it holds when it comes to an item."""

        def kill(stop: Stop) -> None:
            self.die()
            raise Stopped("the worker was killed by order of the test")

        self._add(kill, text, times)

    def apply(self, text: str | None, stop: Stop) -> None:
        """Do what is ordered for an item. Raises FailedByOrder and Stopped."""
        with self._lock:
            due = [order for order in self._orders if order.is_for(text)]
        for order in due:
            if self._takes(order):
                order.act(stop)

    def _takes(self, order: _Order) -> bool:
        """Count one application; False where none is left."""
        with self._lock:
            if order.times == 0:
                return False
            if order.times is not None:
                order.times -= 1
            return True

    def _add(self, act: Callable[[Stop], None], text: str | None, times: int | None) -> None:
        with self._lock:
            self._orders.append(_Order(act, text, times))


def _check(stop: Stop) -> None:
    if stop():
        raise Stopped("asked to stop")
