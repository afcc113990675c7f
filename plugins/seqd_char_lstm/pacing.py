"""How many characters are computed between two questions whether to stop, and by which threads.

Only about when and where: no number that a model gives depends on it. Used by `writing` and
`reading`.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Self, TypeVar

from seqd.errors import Stopped

#: Seconds of work between two questions: less than the quarter that a stop may take, also where
#: a busy machine gives half of its time to others.
_STRETCH_S: Final = 0.1
#: Steps at most, also where they are quick: so many random numbers are drawn together, and a
#: reader of the stream gets so many characters at once.
_MAX_STEPS: Final = 64
#: Steps of the first stretch, whose speed nobody knows: the first characters come soon.
_FIRST_STEPS: Final = 4

_Part = TypeVar("_Part")
_Result = TypeVar("_Result")


class Pace:
    """Stretches of steps: asks before each whether to stop, and learns how long they take."""

    def __init__(self, stop_requested: Callable[[], bool], said: str) -> None:
        """`said` is what was stopped, for the error."""
        self._stop_requested = stop_requested
        self._said = said
        self._steps = _FIRST_STEPS
        self._began: float | None = None

    def next_steps(self) -> int:
        """Give the steps of the next stretch. Raises Stopped when that was asked for."""
        if self._stop_requested():
            raise Stopped(f"{self._said} was stopped before its end; there is no result.")
        now = time.monotonic()
        if self._began is not None:
            stretch_s = max(now - self._began, 1e-6)
            wanted = int(self._steps * min(_STRETCH_S / stretch_s, 4.0))
            self._steps = max(1, min(wanted, _MAX_STEPS))
        self._began = now
        return self._steps


class Crew:
    """Threads that share the parts of some work; to be used in a `with` block."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def each(self, work: Callable[[_Part], _Result], parts: Sequence[_Part]) -> list[_Result]:
        """Do the work on each part, at the same time where there are threads; results in order."""
        if self._pool is None or len(parts) == 1:
            return [work(part) for part in parts]
        return list(self._pool.map(work, parts))


def shared_out(count: int, threads: int, most: int) -> list[range]:
    """Cut so many numbers into ranges of at most `most`, as even as can be among the threads."""
    rounds = -(-count // (threads * most))
    size = max(1, -(-count // (rounds * threads)) if rounds else 1)
    if size >= 4:
        size = min(-(-size // 4) * 4, most)  # four at a time are computed as quickly as two
    return [range(first, min(first + size, count)) for first in range(0, count, size)]
