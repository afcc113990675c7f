"""The inbox's stream: reading its entries, answering each of them once, and its length.

A consumer group hands each entry to one worker. An entry leaves the stream in the step that
answers it, so a worker that dies before has taken nothing away: another one reads the entry when it
was idle for `CLAIM_IDLE_MS`.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final, cast

from redis.exceptions import ResponseError

from seqd.errors import InboxFull, failure_of, wire_text
from seqd.ledger.exchange import (
    Argument,
    Command,
    Exchange,
    Part,
    StreamEntry,
    T,
    command,
    exchange,
    pipeline,
    script,
)
from seqd.ledger.scripts import as_bytes, as_int, as_list, as_text
from seqd_schemas import INBOX_GROUP, MAX_GIVEN_ID_CHARS, InboxAnswer, to_stored

if TYPE_CHECKING:
    from seqd_schemas import Failure

log = logging.getLogger(__name__)

#: Milliseconds after which another worker claims an entry that was read and not answered.
CLAIM_IDLE_MS: Final = 30_000
#: Entries read at a time; bytes of entries after which no other is read, since a worker holds them.
BATCH: Final = 16
BATCH_BYTES: Final = 4 * 1024 * 1024
#: Milliseconds that a read waits for an entry.
BLOCK_MS: Final = 500

#: Seconds for which a rejection is kept, and one of a request that may be sent again soon.
REJECTION_TTL_S: Final = 24 * 3600
PASSING_REJECTION_TTL_S: Final = 600

#: Seconds after which an inbox that was full may have room.
INBOX_RETRY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class RedisMemory:
    """How much memory Redis uses."""

    used_bytes: int
    #: Its `maxmemory`; None without one.
    max_bytes: int | None
    #: The part of it that new work may take (SEQD_MAX_MEMORY_SHARE of the fleet).
    share: float

    @property
    def is_short(self) -> bool:
        """True where new work is refused."""
        return self.max_bytes is not None and self.used_bytes > self.share * self.max_bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the inbox, as some program has written it."""

    #: Its stream id.
    id: str
    fields: Mapping[bytes, bytes]

    @property
    def given_id(self) -> str | None:
        """Its field `id` as text that a record can hold; None where it has none."""
        raw = self.fields.get(b"id")
        if raw is None:
            return None
        return wire_text(raw[: 4 * MAX_GIVEN_ID_CHARS].decode("utf-8", "replace"))[
            :MAX_GIVEN_ID_CHARS
        ]

    @property
    def size(self) -> int:
        """Its bytes in Redis, without what Redis adds."""
        return sum(len(name) + len(value) for name, value in self.fields.items())

    def arguments(self, job_id: str) -> list[Argument]:
        """Return the arguments of `take_entry.lua` that stand behind those of `submit.lua`."""
        return [self.id, self.size, to_stored(self._accepted(job_id, created=True))]

    def _accepted(self, job_id: str, *, created: bool) -> InboxAnswer:
        return InboxAnswer(
            entry=self.id, outcome="accepted", id=self.given_id, job_id=job_id, created=created
        )


@dataclass(frozen=True, slots=True)
class InboxState:
    """How long the inbox is, and may be."""

    entries: int
    #: None until a worker has published the limit.
    allowed_entries: int | None
    #: Seconds since the oldest entry was added; None of an empty inbox.
    oldest_age_s: float | None


class InboxStream(Part):
    """Reads and answers entries of the inbox."""

    @exchange
    def read_new(self, worker: str, block_ms: int | None) -> Exchange[list[Entry]]:
        """Return entries that no worker has read, and note that `worker` has.

        Waits at most `block_ms` for one; None does not wait.
        """
        if block_ms is None:
            return (yield from self._read(worker, ">", BATCH, BATCH_BYTES))
        group = ("GROUP", INBOX_GROUP, worker)
        read = ("BLOCK", block_ms, "COUNT", 1, "STREAMS", self._keys.inbox(), ">")
        reply = yield from _in_group(lambda: command("XREADGROUP", *group, *read))
        rows = cast(list[tuple[bytes, list[StreamEntry]]], reply or [])
        first = [Entry(name.decode(), fields) for _, part in rows for name, fields in part]
        left_bytes = BATCH_BYTES - sum(entry.size for entry in first)
        if not first or left_bytes <= 0:
            return first
        return first + (yield from self._read(worker, ">", BATCH - 1, left_bytes))

    @exchange
    def read_own(self, worker: str) -> Exchange[list[Entry]]:
        """Return entries that `worker` has read and not answered."""
        return (yield from self._read(worker, "0", BATCH, BATCH_BYTES))

    @exchange
    def claim_idle(self, worker: str) -> Exchange[bool]:
        """Make entries that another worker has read long ago `worker`'s own; False for none."""
        # Their ids alone: also of an entry that its producer has deleted.
        words = ("XAUTOCLAIM", self._keys.inbox(), INBOX_GROUP, worker, CLAIM_IDLE_MS, "0-0")
        some = ("COUNT", BATCH, "JUSTID")
        reply = yield from _in_group(lambda: command(*words, *some, parse_justid=True))
        return bool(reply)

    @exchange
    def accept_again(self, entry: Entry, job_id: str) -> Exchange[None]:
        """Answer that job `job_id` is there already, as an entry with the same content made it."""
        answer = entry._accepted(job_id, created=False)
        yield from script("answer_entry", entry.id, to_stored(answer))

    @exchange
    def reject(
        self, entry: Entry, job_id: str | None, failure: "Failure", existing_job_id: str | None
    ) -> Exchange[None]:
        """Refuse an entry, among the answers and in the event stream of `job_id`.

        `job_id` is None where the entry names none that a job may have. A stream that belongs to a
        job is left alone.
        """
        answer = InboxAnswer(
            entry=entry.id,
            outcome="rejected",
            id=entry.given_id,
            failure=failure,
            existing_job_id=existing_job_id,
        )
        rejection: list[Argument]
        rejection = [job_id or "", to_stored(failure), existing_job_id or "", _ttl(failure)]
        yield from script("answer_entry", entry.id, to_stored(answer), *rejection)

    @exchange
    def refuse_excess(self) -> Exchange[int]:
        """Refuse some of the newest entries beyond the limit; return how many there were."""
        entries, allowed = yield from self._length()
        if allowed is None or entries <= allowed:
            return 0
        error = InboxFull(
            f"The inbox has {entries:,} entries; allowed: {allowed:,} (SEQD_MAX_INBOX_ENTRIES of "
            "the workers). Nothing was kept of this one. Add it again in "
            f"{INBOX_RETRY_S:g} s, or when XLEN of the inbox is below `inbox_entries` of "
            f"{self._keys.limits()}.",
            INBOX_RETRY_S,
        )
        failure = failure_of(error)
        refused = yield from script("trim_inbox", allowed, to_stored(failure), _ttl(failure))
        return as_int(refused)

    @exchange
    def memory_is_short(self, unpublished: float = inf) -> Exchange[bool]:
        """Return True when Redis has used up the share of its memory that new work may take.

        False where the user may not ask for it. `unpublished` is as in `memory`.
        """
        memory = yield from self.memory.steps(unpublished)
        return memory is not None and memory.is_short

    @exchange
    def memory(self, unpublished: float = inf) -> Exchange["RedisMemory | None"]:
        """Return how much memory Redis uses, and may use; None where the user may not ask for it.

        `unpublished` is the share where no worker has published one that can be read. As for
        scripts, nothing is refused without one.
        """
        limit = Command(("HGET", self._keys.limits(), "memory_share"))
        asked = (limit, Command(("INFO", "memory")))
        said, info = yield from pipeline(asked, raises=False)
        if not isinstance(info, dict):
            return None
        share = unpublished
        try:
            if isinstance(said, bytes):
                share = float(said)
        except ValueError:
            log.warning(
                "memory_share of %s in Redis is %r, which is no number: nothing is refused for "
                "want of memory until a worker starts",
                *(self._keys.limits(), said),
            )
        return RedisMemory(info.get("used_memory", 0), info.get("maxmemory", 0) or None, share)

    @exchange
    def state(self) -> Exchange[InboxState]:
        """Return how long the inbox is, and how old its oldest entry."""
        entries, allowed = yield from self._length()
        if not entries:
            return InboxState(0, allowed, None)
        first = Command(("XRANGE", self._keys.inbox(), "-", "+", "COUNT", 1))
        replies = yield from pipeline((first, Command(("TIME",))))
        oldest, (seconds, micros) = cast(tuple[list[StreamEntry], tuple[int, int]], replies)
        if not oldest:
            return InboxState(0, allowed, None)
        added_s = int(oldest[0][0].partition(b"-")[0]) / 1000
        return InboxState(entries, allowed, max(0.0, round(seconds + micros / 1e6 - added_s, 3)))

    def _length(self) -> Exchange[tuple[int, int | None]]:
        length = Command(("XLEN", self._keys.inbox()))
        limit = Command(("HGET", self._keys.limits(), "inbox_entries"))
        replies = yield from pipeline((length, limit))
        entries, allowed = cast(tuple[int, bytes | None], replies)
        return entries, int(allowed) if allowed is not None and allowed.isdigit() else None

    def _read(self, worker: str, after: str, most: int, most_bytes: int) -> Exchange[list[Entry]]:
        rows = yield from _in_group(lambda: script("read_inbox", worker, after, most, most_bytes))
        entries = list[Entry]()
        for entry_id, content in map(as_list, as_list(rows)):
            parts = [as_bytes(part) for part in as_list(content)]
            fields = dict(zip(parts[::2], parts[1::2], strict=True))
            entries.append(Entry(as_text(entry_id), fields))
        return entries


def _in_group(read: Callable[[], Exchange[T]]) -> Exchange[T]:
    """Return what `read` does; makes the group that a new or emptied Redis does not have."""
    try:
        return (yield from read())
    except ResponseError as error:
        if "NOGROUP" not in str(error):
            raise
    yield from script("open_inbox")
    return (yield from read())


def _ttl(failure: "Failure") -> int:
    """Return the seconds for which a rejection is kept."""
    return REJECTION_TTL_S if failure.retry_after_s is None else PASSING_REJECTION_TTL_S
