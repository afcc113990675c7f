"""The readers' face of the ledger: jobs, their results and their events.

Reads are plain commands; what changes a job is in `control`. Called by `seqd.client`, the
command line and the worker.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, cast

from redis import Redis
from redis.exceptions import ResponseError

from seqd.errors import JobDamaged
from seqd.ledger.connection import passing_trouble, redis_errors
from seqd.ledger.control import Control, unknown_job
from seqd.ledger.records import read_events, read_pieces, read_record
from seqd.ledger.scripts import Reply, Scripts, as_bytes, as_list, as_text
from seqd_schemas import JobRecord, JobState, Keys

if TYPE_CHECKING:
    from seqd_schemas import Event, TextDeltas

log = logging.getLogger(__name__)

#: Longest blocking read in milliseconds; shorter than the socket timeout of the connection.
BLOCK_MS = 2_000

_STATES = frozenset(JobState)
_Entry = tuple[bytes, dict[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class EndedRow:
    """What `ended` says of a job."""

    #: None while it has not ended.
    state: JobState | None
    #: False when it is not kept (any more).
    is_kept: bool
    #: Results of a completed job of one unit; None of any other.
    blob: bytes | None


@dataclass(frozen=True, slots=True)
class Place:
    """How far somebody has read a job's pieces and events: stream ids."""

    piece: str
    event: str


class Jobs:
    """Reads jobs, results and events."""

    def __init__(self, redis: Redis, scripts: Scripts, keys: Keys, control: Control) -> None:
        self._redis = redis
        self._scripts = scripts
        self._keys = keys
        self._control = control
        #: Where `forget_expired` goes on.
        self._cursor = 0

    def get(self, job_id: str) -> JobRecord:
        """Give a job as it is now; raises UnknownJob and JobDamaged."""
        record = self._get(job_id)
        expires_at_ms = record.expires_at_ms
        if expires_at_ms is None or record.state.is_terminal or time() * 1000 < expires_at_ms:
            return record
        # Its time has run out, and no worker was there to end it.
        self._control.end_if_overdue(job_id)
        return self._get(job_id)

    def exists(self, job_id: str) -> bool:
        """True while a job is kept."""
        with redis_errors(self._redis):
            return bool(self._redis.exists(self._keys.job(job_id)))

    def kept(self, job_ids: Sequence[str]) -> Iterator[JobRecord]:
        """Give those of some jobs that are kept and can be read, with one round trip for all."""
        return self._kept([job_id.encode() for job_id in job_ids]) if job_ids else iter(())

    def newest(self, limit: int) -> list[JobRecord]:
        """Give the newest `limit` jobs that are kept, newest first."""
        return self._newest_of(self._keys.jobs(), limit)

    def newest_open(self, limit: int) -> list[JobRecord]:
        """Give the newest `limit` jobs that have not ended, newest first."""
        records = self._newest_of(self._keys.open_jobs(), limit)
        return [record for record in records if not record.state.is_terminal]

    def quarantined(self) -> int:
        """Give the number of damaged jobs that were put aside so far; see `quarantine.lua`.

        0, and a warning in the log, where somebody has written something else over it.
        """
        name = self._keys.quarantined()
        try:
            with redis_errors(self._redis):
                return int(cast(bytes | None, self._redis.get(name)) or b"0")
        except (ValueError, ResponseError) as error:
            log.warning(
                "the number of jobs in quarantine is unknown: %s is no number (%s). Delete it, and "
                "the count begins anew",
                name,
                error,
            )
            return 0

    def forget_expired(self, batch: int = 1_000) -> None:
        """Take jobs off the list whose time to live has passed; called again and again.

        Looks at about `batch` jobs and goes on from there at the next call; goes on at once
        while many of them are gone, so that the list never holds much more than what is kept.
        """
        while True:
            with redis_errors(self._redis):
                reply = self._redis.zscan(self._keys.jobs(), cursor=self._cursor, count=batch)
                self._cursor, rows = cast(tuple[int, list[tuple[bytes, float]]], reply)
                gone = self._forget_gone([job_id for job_id, _ in rows])
            if self._cursor == 0 or gone * 10 < len(rows):
                return

    def ended(self, job_ids: Sequence[str]) -> list[EndedRow]:
        """Say of each job whether it has ended, and how; ends those whose time has run out."""
        reply = as_list(self._scripts.call("ended", *job_ids))
        return [_ended_row(as_list(row)) for row in reply]

    def ends_told(
        self, client: str, after: str, *, longest_wait_s: float = BLOCK_MS / 1000
    ) -> tuple[str, list[str]]:
        """Wait for ends that a client is told of behind stream id `after`.

        Gives the id to go on from, and the jobs. The stream is bounded and has a time to live: a
        job may have ended though it is not among them.
        """
        block_ms = min(BLOCK_MS, max(1, int(longest_wait_s * 1000)))
        with redis_errors(self._redis):
            reply = self._redis.xread({self._keys.ended(client): after}, count=500, block=block_ms)
        for _, entries in cast(list[tuple[bytes, list[_Entry]]], reply or []):
            jobs = [name for _, fields in entries for name in fields[b"jobs"].decode().split()]
            return entries[-1][0].decode(), jobs
        return after, []

    def last_end_told(self, client: str) -> str:
        """Give the stream id of the newest end that a client was told of, `0-0` for none."""
        return self._last_id(self._keys.ended(client))

    def outputs(self, job_id: str, units: Sequence[int | str]) -> list[bytes | None]:
        """Give the result blobs of units, None for each that is not committed."""
        with redis_errors(self._redis):
            names = [str(unit) for unit in units]
            rows = self._redis.hmget(self._keys.output(job_id), names)
        return cast(list[bytes | None], rows)

    def inputs(self, job_id: str, units: Sequence[int | str]) -> list[bytes | None]:
        """Give the input blobs of units, None for each that is done or unknown."""
        with redis_errors(self._redis):
            names = [str(unit) for unit in units]
            rows = self._redis.hmget(self._keys.input(job_id), names)
        return cast(list[bytes | None], rows)

    def retryable_inputs(self, job_id: str) -> Iterator[bytes]:
        """Give the input blobs of an ended job's items without an output, in the items' order.

        Those of units that were done hold the failed items alone.
        """
        kept = (self._keys.failed(job_id), self._keys.input(job_id))
        with redis_errors(self._redis):
            names = {cast(bytes, name): key for key in kept for name in self._redis.hkeys(key)}
        for name in sorted(names, key=_place_of):
            with redis_errors(self._redis):
                blob = cast(bytes | None, self._redis.hget(names[name], name))
            if blob is not None:  # else its time to live has passed meanwhile
                yield blob

    def parts(self, job_id: str, unit: int) -> list[str]:
        """Name the parts of a unit in order; of one that was not split, the unit itself."""
        with redis_errors(self._redis):
            names = cast(bytes | None, self._redis.hget(self._keys.parts(job_id), str(unit)))
        return [str(unit)] if names is None else names.decode().split()

    def input_units(self, job_id: str) -> int:
        """Count the input chunks that are kept."""
        with redis_errors(self._redis):
            return self._redis.hlen(self._keys.input(job_id))

    def events(
        self,
        job_id: str,
        after: str = "0-0",
        *,
        block: bool = True,
        longest_wait_s: float = BLOCK_MS / 1000,
    ) -> "list[Event]":
        """Give the events behind stream id `after`; `block` waits up to two seconds for one."""
        block_ms = min(BLOCK_MS, max(1, int(longest_wait_s * 1000)))  # 0 would wait for ever
        return self._read(self._keys.events(job_id), after, block_ms if block else None)

    def pieces(
        self, job_id: str, after: Place, *, block: bool = True
    ) -> "tuple[list[TextDeltas], Place]":
        """Give what a job's texts went on with behind a place, and the place to go on from.

        `block` waits up to two seconds for a piece, or for an event of the job: the place tells
        whether there was one.
        """
        ours, told = self._keys.pieces(job_id), self._keys.events(job_id)
        block_ms = BLOCK_MS if block else None
        with redis_errors(self._redis):
            reply = self._redis.xread(
                {ours: after.piece, told: after.event}, count=100, block=block_ms
            )
        found = dict(cast(list[tuple[bytes, list[_Entry]]], reply or []))
        pieces, events = found.get(ours.encode(), []), found.get(told.encode(), [])
        place = Place(
            piece=pieces[-1][0].decode() if pieces else after.piece,
            event=events[-1][0].decode() if events else after.event,
        )
        return list(read_pieces(pieces)), place

    def last_event_id(self, job_id: str) -> str:
        """Give the stream id of a job's newest event, `0-0` when it has none."""
        return self._last_id(self._keys.events(job_id))

    def _last_id(self, stream: str) -> str:
        with redis_errors(self._redis):
            rows = cast(list[tuple[bytes, object]], self._redis.xrevrange(stream, count=1))
        return rows[0][0].decode() if rows else "0-0"

    def _get(self, job_id: str) -> JobRecord:
        with redis_errors(self._redis):
            row = cast(dict[bytes, bytes], self._redis.hgetall(self._keys.job(job_id)))
        if not row:
            raise unknown_job(job_id)
        return read_record(job_id, row)

    def _newest_of(self, key: str, limit: int) -> list[JobRecord]:
        records: list[JobRecord] = []
        first = 0
        while len(records) < limit:
            with redis_errors(self._redis):
                ids = cast(list[bytes], self._redis.zrevrange(key, first, first + limit - 1))
            if not ids:
                break
            records += self._kept(ids)
            first += len(ids)
        return records[:limit]

    def _kept(self, ids: Sequence[bytes]) -> Iterator[JobRecord]:
        """Read jobs; leaves those out whose time to live has passed since, and damaged ones."""
        with redis_errors(self._redis), self._redis.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.hgetall(self._keys.job(job_id.decode()))
            rows = cast(list[dict[bytes, bytes]], pipe.execute(raise_on_error=False))
        for job_id, row in zip(ids, rows, strict=True):
            if isinstance(row, ResponseError):
                if passing_trouble(row) is not None:
                    with redis_errors(self._redis):
                        raise row
                log.warning("job %s was left out of a list: %s", job_id.decode(), row)
            elif row:
                try:
                    yield read_record(job_id.decode(), row)
                except JobDamaged as error:
                    log.warning("job left out of a list: %s", error)

    def _forget_gone(self, ids: Sequence[bytes]) -> int:
        with self._redis.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.exists(self._keys.job(job_id.decode()))
            kept = cast(list[int], pipe.execute())
        gone = [job_id for job_id, exists in zip(ids, kept, strict=True) if not exists]
        if gone:
            self._redis.zrem(self._keys.jobs(), *gone)
            self._redis.zrem(self._keys.warnings(), *(job_id + b" results" for job_id in gone))
        return len(gone)

    def _read(self, key: str, after: str, block_ms: int | None) -> "list[Event]":
        with redis_errors(self._redis):
            reply = self._redis.xread({key: after}, count=500, block=block_ms)
        streams = cast(list[tuple[bytes, list[_Entry]]], reply or [])
        return [event for _, entries in streams for event in read_events(entries)]


def _place_of(name: bytes) -> tuple[int, int]:
    """Give the order of a unit, or of a part `UNIT:FIRST:END`."""
    unit, _, part = name.partition(b":")
    return int(unit), int(part.partition(b":")[0] or 0)


def _ended_row(row: list[Reply]) -> EndedRow:
    text = as_text(row[0])
    state = JobState(text) if text in _STATES else None
    has_ended = state is not None and state.is_terminal
    return EndedRow(state if has_ended else None, text != "", as_bytes(row[1]) or None)
