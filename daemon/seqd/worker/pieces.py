"""Publishes the texts of a streaming claim while the plugin writes them, from a thread.

The plugin only leaves its pieces here: it never waits for Redis, and learns of a lost lease where
it asks whether to stop. What Redis does not take in time is left out, since readers have the
results. Called by `item_jobs`, for jobs that ask for it.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from threading import Event, Lock, Thread
from time import monotonic

from redis.exceptions import ResponseError

from seqd.errors import REDIS_ERRORS
from seqd.hookspecs import WorkItem
from seqd.ledger.work import Unit
from seqd.worker.item_units import Call, Outcome, UnitItems
from seqd_schemas import MAX_DELTA_CHARS, MAX_DELTAS, TextDelta, TextDeltas

log = logging.getLogger(__name__)

#: Seconds between two flushes; the first piece goes at once.
FLUSH_EVERY_S = 0.1

#: A flush that took long is followed by a pause that is so many times as long: publishing takes a
#: tenth of the worker's time at most, however many texts are written together.
PAUSE_PER_FLUSH = 9.0

#: Characters that wait for a flush at most, and entries that go in one call: about 3 ms of the
#: server's time.
MOST_CHARS = 262_144
CALL_ENTRIES = 64

#: Gives False for each entry whose unit is not ours any more.
Publish = Callable[[Sequence[tuple[Unit, TextDeltas]]], list[bool]]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an item belongs."""

    unit: Unit
    custom_id: str
    #: Held, so that its `id` stays its own.
    item: WorkItem


@dataclass(slots=True)
class _Text:
    """A sample: how far it is, and what of it waits for the next flush, without a gap."""

    place: _Place
    sample: int
    written: int = 0
    waiting_from: int = 0
    waiting: list[str] = field(default_factory=list)

    def take_waiting(self) -> "_Run":
        """Give what waits, and wait for more."""
        run = _Run(self.place, self.sample, self.waiting_from, self.waiting)
        self.waiting = []
        return run


@dataclass(frozen=True, slots=True)
class _Run:
    """What a sample went on with since the last flush."""

    place: _Place
    sample: int
    offset: int
    texts: list[str]


class PiecePublisher:
    """The pieces of one claim. One thread leaves them here, this one's own thread publishes."""

    def __init__(
        self,
        units: Sequence[UnitItems],
        publish: Publish,
        on_lost: Callable[[Sequence[Unit]], None],
    ) -> None:
        """`on_lost` is told of units that somebody else has by now."""
        self._places = {
            id(item): _Place(unit.unit, unit.custom_id_of(item), item)
            for unit in units
            for item in unit.work
        }
        self._publish = publish
        self._on_lost = on_lost
        self._lock = Lock()
        #: By item and sample.
        self._texts: dict[tuple[int, int], _Text] = {}
        #: Characters that wait; once they are too many, nothing more until the next flush: a later
        #: piece would leave a hole in front of it.
        self._chars, self._is_full = 0, False
        self._lost: set[Unit] = set()
        self._has_failed = False
        self._something, self._closed = Event(), Event()

    def around(self, call: Call) -> Call:
        """Give the call with each of its beginnings noted: texts then begin anew."""

        def begin(items: Sequence[WorkItem]) -> Sequence[Outcome]:
            with self._lock:
                self._texts.clear()
            return call(items)

        return begin

    def take(self, item: WorkItem, sample: int, piece: str) -> None:
        """Leave a piece to be published; one that there is no room for is left out."""
        key, size = (id(item), sample), len(piece)
        with self._lock:
            text = self._texts.get(key)
            if text is None:
                place = self._places.get(id(item))
                if place is None:
                    return
                text = self._texts[key] = _Text(place, sample)
            if self._is_full or self._chars + size > MOST_CHARS:
                piece = "" if self._is_full else piece[: MOST_CHARS - self._chars]
                self._is_full = True
            if piece:
                if not text.waiting:
                    text.waiting_from = text.written
                text.waiting.append(piece)
                self._chars += len(piece)
            text.written += size
        if not self._something.is_set():
            self._something.set()

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Publish for the time of the block; what is left at its end comes with the results."""
        Thread(target=self._work, name="seqd-pieces", daemon=True).start()
        try:
            yield
        finally:
            self._closed.set()
            self._something.set()

    def _work(self) -> None:
        while True:
            self._something.wait()
            if self._closed.is_set():
                return
            began = monotonic()
            self._flush()
            self._closed.wait(max(FLUSH_EVERY_S, PAUSE_PER_FLUSH * (monotonic() - began)))

    def _flush(self) -> None:
        self._something.clear()
        with self._lock:
            runs = [text.take_waiting() for text in self._texts.values() if text.waiting]
            self._chars, self._is_full = 0, False
        entries = _entries(run for run in runs if run.place.unit not in self._lost)
        try:
            while batch := list(islice(entries, CALL_ENTRIES)):
                self._send(batch)
        except (*REDIS_ERRORS, ResponseError, ValueError) as error:
            # A ValueError is a sample number that no text can have.
            if not self._has_failed:
                log.warning("pieces of texts are left out: %s", error)
            self._has_failed = True

    def _send(self, entries: Sequence[tuple[Unit, TextDeltas]]) -> None:
        answers = self._publish(entries)
        lost = [unit for (unit, _), held in zip(entries, answers, strict=True) if not held]
        if lost:
            self._lost.update(lost)
            self._on_lost(lost)


def _entries(runs: Iterator[_Run]) -> Iterator[tuple[Unit, TextDeltas]]:
    """Put the pieces of each unit together, as many as one entry may have."""
    of_unit: dict[Unit, list[TextDelta]] = {}
    for run in runs:
        of_unit.setdefault(run.place.unit, []).extend(_pieces(run))
    for unit, pieces in of_unit.items():
        yield from ((unit, _entry(unit, part)) for part in _parts(pieces))


def _pieces(run: _Run) -> Iterator[TextDelta]:
    # A lone surrogate, which no plugin may write, spoils its own text only.
    text = "".join(run.texts).encode(errors="replace").decode()
    for first in range(0, len(text), MAX_DELTA_CHARS):
        yield TextDelta(
            custom_id=run.place.custom_id,
            sample=int(run.sample),  # NumPy's numbers are none to the wire
            offset=run.offset + first,
            text=text[first : first + MAX_DELTA_CHARS],
        )


def _parts(pieces: Sequence[TextDelta]) -> Iterator[list[TextDelta]]:
    """Cut where an entry has enough pieces or characters."""
    part, chars = list[TextDelta](), 0
    for piece in pieces:
        if part and (len(part) == MAX_DELTAS or chars + len(piece.text) > MAX_DELTA_CHARS):
            yield part
            part, chars = [], 0
        part.append(piece)
        chars += len(piece.text)
    yield part


def _entry(unit: Unit, pieces: Sequence[TextDelta]) -> TextDeltas:
    return TextDeltas(unit=unit.name, attempt=unit.attempt, deltas=tuple(pieces))
