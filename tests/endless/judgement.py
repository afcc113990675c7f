"""What must come out of work, whatever happens to those who do it.

Each item has one result, in its place among the others, and it is the one that was due; work does
not stand still; and once all jobs are over and removed, no account has anything left.
"""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from threading import Event, Thread
from types import TracebackType
from typing import Self

from seqd.client import Client
from seqd_schemas import Classification, ItemFailure, ItemSuccess

LOOK_S = 0.02

#: What has expired by itself leaves its account when all of the same few seconds has: a job is kept
#: for a minute here.
GONE_S = 150.0


@dataclass
class Tally:
    """Items of one job, or of several together."""

    items: int = 0
    #: Items without any result.
    lost: int = 0
    #: Results beyond the first of their item.
    doubled: int = 0
    #: Results that come after one of a later item, or that belong to no item.
    misplaced: int = 0
    #: Errors, and other labels than the one that was due.
    failed: int = 0

    @property
    def is_clean(self) -> bool:
        """True when every item came out once, in its place, as it should."""
        return self.lost == self.doubled == self.misplaced == self.failed == 0

    def add(self, other: "Tally") -> None:
        """Count another job in."""
        for name, count in vars(other).items():
            setattr(self, name, getattr(self, name) + count)


def judged(
    results: Iterable[ItemSuccess | ItemFailure],
    items: int,
    *,
    ids: Sequence[str] | None = None,
    label: Callable[[int], str] | None = None,
    fails: Collection[int] = (),
) -> Tally:
    """Return what came of a job of so many items; keeps a byte an item.

    `ids` are theirs, `row-1` and so on where none were given. `label` is what the item in a place,
    from 0, must get; those in the places `fails` must fail.
    """
    tally, seen, last = Tally(items), bytearray(items), 0
    places = None if ids is None else {custom_id: place for place, custom_id in enumerate(ids)}
    for result in results:
        place = _row(result.custom_id, items) if places is None else places.get(result.custom_id)
        tally.misplaced += place is None or place < last
        if place is None:
            continue
        tally.doubled += seen[place]
        seen[place], last = 1, max(place, last)
        tally.failed += isinstance(result, ItemFailure) is not (place in fails)
        if label is not None and isinstance(result, ItemSuccess):
            tally.failed += _label(result) != label(place)
    tally.lost = seen.count(0)
    return tally


def _row(custom_id: str, items: int) -> int | None:
    """Return the place of `row-1` and so on."""
    number = custom_id.removeprefix("row-")
    is_ours = number != custom_id and number.isdecimal() and 1 <= int(number) <= items
    return int(number) - 1 if is_ours else None


def _label(result: ItemSuccess) -> str | None:
    return result.output.label if isinstance(result.output, Classification) else None


def left_behind(client: Client, within_s: float = GONE_S) -> list[str]:
    """Cancel what is open and remove all; return what of it is left after a while, in words."""
    client.cancel_jobs(every=True)
    client.remove_jobs(every=True)
    deadline = time.monotonic() + within_s
    while (left := _left(client)) and time.monotonic() < deadline:
        time.sleep(1)
    return left


def _left(client: Client) -> list[str]:
    accounts = ("open_jobs", "waiting_items", "waiting_bytes", "kept_bytes")
    left = [
        f"{tenant.tenant} has {count} {name}"
        for tenant in client.tenants()
        for name in accounts
        if (count := getattr(tenant, name))
    ]
    return left + [
        f"{one.items} items wait of {one.model}" for one in client.work_left() if one.items
    ]


class StallClock:
    """Watches a number that should grow, and keeps the longest time that it did not."""

    def __init__(self, progress: Callable[[], int]) -> None:
        """`progress` is asked again and again, in a thread; it may wait."""
        self._progress = progress
        self._end = Event()
        self._changed_at = time.monotonic()
        self._value = -1
        self._longest_s = 0.0
        self._error: Exception | None = None
        self._thread = Thread(target=self._run, name="stall-clock")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()

    @property
    def value(self) -> int:
        """The number as it was last seen; raises what `progress` has raised."""
        if self._error is not None:
            raise self._error
        return self._value

    @property
    def stall_s(self) -> float:
        """Seconds of the longest standstill."""
        return self._longest_s

    def _run(self) -> None:
        try:
            self._watch()
        except Exception as error:  # noqa: BLE001 - `value` raises it
            self._error = error

    def _watch(self) -> None:
        while not self._end.wait(LOOK_S):
            value, now = self._progress(), time.monotonic()
            if value != self._value:
                if self._value >= 0:
                    self._longest_s = max(self._longest_s, now - self._changed_at)
                self._value, self._changed_at = value, now
