"""Publishes text deltas of a streaming claim while the plugin writes, from a thread.

The plugin only adds its deltas to a buffer: it never waits for Redis, and learns of a lost lease
when it asks whether to stop. Deltas that Redis does not accept in time are dropped, since readers
get the results.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from threading import Event, Lock, Thread
from time import monotonic
from typing import NamedTuple, Self

from redis.exceptions import ResponseError

from seqd.errors import REDIS_ERRORS
from seqd.hookspecs import WorkItem
from seqd.ledger.outage import waiting_at_most
from seqd.ledger.units import Unit
from seqd.worker.outcomes import Call, Outcome
from seqd_schemas import MAX_DELTA_CHARS, MAX_DELTAS, TextDelta, TextDeltas

log = logging.getLogger(__name__)

#: Seconds between two flushes; the first delta goes at once.
FLUSH_EVERY_S = 0.1

#: A flush that took long is followed by a pause that is so many times as long: publishing takes a
#: tenth of the worker's time at most, however many texts are written together.
PAUSE_PER_FLUSH = 9.0

#: Characters that wait for a flush at most, and entries that go in one call: about 3 ms of the
#: server's time.
MOST_CHARS = 262_144
CALL_ENTRIES = 64

#: Publishes entries; returns False for each whose unit is not ours any more.
Publish = Callable[[Sequence[tuple[Unit, TextDeltas]]], list[bool]]


class StreamedItem(NamedTuple):
    """An item whose text is streamed, its unit, and the caller's name for it."""

    item: WorkItem
    unit: Unit
    custom_id: str


class DeltaPublisher:
    """The text deltas of one claim. One thread leaves them here, this one's own thread publishes.

    Offsets and sizes are in characters.
    """

    def __init__(
        self,
        items: Iterable[StreamedItem],
        publish: Publish,
        on_lost: Callable[[Sequence[Unit]], None],
    ) -> None:
        """`on_lost` is called with the units that somebody else has by now."""
        #: By `id` of the item, which stays its own while the item is held here.
        self._items = {id(streamed.item): streamed for streamed in items}
        self._publish = publish
        self._on_lost = on_lost
        self._lock = Lock()
        #: By `id` of the item, and sample.
        self._texts: dict[tuple[int, int], _Text] = {}
        #: Characters that wait; once they are too many, nothing more until the next flush: a later
        #: delta would leave a gap in front of it.
        self._chars, self._is_full = 0, False
        self._lost: set[Unit] = set()
        self._has_failed = False
        self._has_work, self._closed = Event(), Event()

    def restart(self, items: Iterable[WorkItem]) -> None:
        """Begin the texts of `items` anew, at offset 0: the plugin is called for them (again)."""
        begun = {id(item) for item in items}
        with self._lock:
            self._texts = {key: text for key, text in self._texts.items() if key[0] not in begun}

    def take(self, item: WorkItem, sample: int, delta: str) -> None:
        """Queue what a sample goes on with; what there is no room for is left out."""
        # Another thread would stumble over what is no text; `int` also takes NumPy's numbers.
        if not isinstance(delta, str) or not hasattr(sample, "__index__"):
            self._leave_out(f"context.stream() got the sample {sample!r:.80} and {delta!r:.80}")
            return
        key, size = (id(item), sample), len(delta)
        with self._lock:
            text = self._texts.get(key)
            if text is None:
                streamed = self._items.get(id(item))
                if streamed is None:
                    return
                text = self._texts[key] = _Text(streamed, sample)
            if self._is_full or self._chars + size > MOST_CHARS:
                delta = "" if self._is_full else delta[: MOST_CHARS - self._chars]
                self._is_full = True
            if delta:
                if not text.waiting:
                    text.waiting_from = text.written
                text.waiting.append(delta)
                self._chars += len(delta)
            text.written += size
        if not self._has_work.is_set():
            self._has_work.set()

    def from_start(self, call: Call) -> Call:
        """Return a call of a plugin before which the texts of its items begin anew."""

        def call_from_start(items: Sequence[WorkItem]) -> Sequence[Outcome]:
            self.restart(items)
            return call(items)

        return call_from_start

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Publish for the time of the block; what is left at its end comes with the results."""
        Thread(target=self._run, name="seqd-streaming", daemon=True).start()
        try:
            yield
        finally:
            self._closed.set()
            self._has_work.set()

    def _run(self) -> None:
        while True:
            self._has_work.wait()
            if self._closed.is_set():
                return
            began = monotonic()
            with waiting_at_most(0):
                self._flush()
            self._closed.wait(max(FLUSH_EVERY_S, PAUSE_PER_FLUSH * (monotonic() - began)))

    def _flush(self) -> None:
        self._has_work.clear()
        with self._lock:
            taken = [text.take_waiting() for text in self._texts.values() if text.waiting]
            self._chars, self._is_full = 0, False
        entries = _entries(text for text in taken if text.streamed.unit not in self._lost)
        try:
            while batch := list(islice(entries, CALL_ENTRIES)):
                answers = self._publish(batch)
                lost = [unit for (unit, _), held in zip(batch, answers, strict=True) if not held]
                if lost:
                    self._lost.update(lost)
                    self._on_lost(lost)
        except (*REDIS_ERRORS, ResponseError, ValueError) as error:
            # A ValueError is a sample number that no text can have.
            self._leave_out(error)

    def _leave_out(self, reason: object) -> None:
        """Say once that text deltas are left out; readers take the texts from the results."""
        if not self._has_failed:
            log.warning("text deltas are left out: %s", reason)
        self._has_failed = True


@dataclass(slots=True)
class _Text:
    """A sample: how much is written, and what of it waits for the next flush, without a gap."""

    streamed: StreamedItem
    sample: int
    written: int = 0
    waiting_from: int = 0
    waiting: list[str] = field(default_factory=list)

    def take_waiting(self) -> Self:
        """Return this with what waits, and wait for more."""
        taken, self.waiting = replace(self), []
        return taken

    def deltas(self) -> Iterator[TextDelta]:
        """Yield what waits, in parts that are no longer than one may be."""
        # A lone surrogate, which no plugin may write, spoils its own text only.
        text = "".join(self.waiting).encode(errors="replace").decode()
        for first in range(0, len(text), MAX_DELTA_CHARS):
            yield TextDelta(
                custom_id=self.streamed.custom_id,
                sample=int(self.sample),  # NumPy's numbers are none to the wire
                offset=self.waiting_from + first,
                text=text[first : first + MAX_DELTA_CHARS],
            )


def _entries(texts: Iterator[_Text]) -> Iterator[tuple[Unit, TextDeltas]]:
    """Put the deltas of each unit together, as many as one entry may have."""
    of_unit: dict[Unit, list[TextDelta]] = {}
    for text in texts:
        of_unit.setdefault(text.streamed.unit, []).extend(text.deltas())
    for unit, deltas in of_unit.items():
        for part in _parts(deltas):
            yield unit, TextDeltas(unit=unit.name, attempt=unit.attempt, deltas=tuple(part))


def _parts(deltas: Sequence[TextDelta]) -> Iterator[list[TextDelta]]:
    """Cut where an entry has enough deltas or characters."""
    part, chars = list[TextDelta](), 0
    for delta in deltas:
        if part and (len(part) == MAX_DELTAS or chars + len(delta.text) > MAX_DELTA_CHARS):
            yield part
            part, chars = [], 0
        part.append(delta)
        chars += len(delta.text)
    yield part
