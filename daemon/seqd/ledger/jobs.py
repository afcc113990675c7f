"""Reading the ledger: jobs, their units, results, events, text deltas and completions.

Reads are plain commands of Redis. What cannot be read was changed by hand, or states that only a
later version of seqd can read it: a job raises JobDamaged or LaterVersion, an entry of a stream is
left out with a warning.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError

from seqd import __version__
from seqd.errors import JobDamaged, LaterVersion, SeqdError, UnknownJob
from seqd.ledger.control import damaged_job
from seqd.ledger.exchange import (
    LOOK_S,
    Command,
    Exchange,
    Part,
    Reply,
    StreamEntry,
    Whole,
    command,
    exchange,
    listen,
    ms_of,
    pipeline,
    script,
    stream_order,
)
from seqd.ledger.job_filter import ANY_JOB, MAX_SEARCHED, STEP_JOBS, FoundJobs, JobFilter, JobPlace
from seqd.ledger.retention import Retention
from seqd.ledger.scripts import as_bytes, as_int, as_list, as_text
from seqd.validation import fault_sentence
from seqd_schemas import (
    STATES,
    TERMINAL_EVENTS,
    Counts,
    Failure,
    Job,
    JobRecord,
    JobRollout,
    JobState,
    TrainingResult,
    from_stored,
    is_later,
)

if TYPE_CHECKING:
    from seqd_schemas import Event, TextDeltas

log = logging.getLogger(__name__)

#: Reads any kind of job.
JOB: TypeAdapter[Job] = TypeAdapter(Job, config=ConfigDict(defer_build=True))

#: Templates that are kept in memory as they were read; one never changes.
MAX_TEMPLATES = 256

#: Fields of a small job that has completed which `small_jobs.lua` leaves out.
_SMALL = {
    b"units": b"1",
    b"units_done": b"1",
    b"total": b"1",
    b"succeeded": b"1",
    b"errored": b"0",
    b"cancelled": b"0",
    b"expired": b"0",
}
#: Those that hold its results, 64 bytes each.
_SMALL_RESULTS = ["results", *(f"results+{number}" for number in range(1, 8))]
#: Rows of results that one read fetches, and bytes after which it stops: the memory of a reader.
READ_ROWS = 16
READ_BYTES = 1024 * 1024

#: Uploads, those heard of last, of which it is looked up what they wait for.
UPLOADS_LOOKED_AT = 500

_STATES = frozenset(JobState)
_Row = dict[bytes, bytes]

#: Events with which a job's stream begins. One that begins with another was cut in front.
_FIRST_EVENTS = frozenset(
    name.encode() for name in (STATES[JobState.QUEUED].event, *TERMINAL_EVENTS)
)
_EVENT_NAME = re.compile(rb'"event":"([a-z]+)"')
_TRIMMED = re.compile(rb"\d+-\d+ \d+ (\d+-\d+)")


@dataclass(frozen=True, slots=True)
class EndedRow:
    """Whether a job has ended, and how."""

    #: None while it has not ended.
    state: JobState | None
    #: False when it is not kept (any more).
    is_kept: bool
    #: Results of a completed job that has one row of them; None of any other.
    blob: bytes | None
    #: Why one that was taken failed or was cancelled, where that is known.
    failure: Failure | None


class ResultPosition(NamedTuple):
    """How far a reader has come in a job's results: a unit, and a row of it, counted from 0."""

    unit: int
    row: int = 0


#: Digits of a number of items; one with more was written by hand.
_MOST_DIGITS = 15


@dataclass(frozen=True, slots=True)
class EventsGone:
    """What a job's event stream does not hold any more, as stream ids; `0-0` for nothing."""

    #: The last of the steps and progress events that were removed from between the others.
    passing: str = "0-0"
    #: The first event that is kept, where others stood in front of it.
    before: str = "0-0"

    def has_passing(self, after: str) -> bool:
        """True when steps or progress events behind a position are gone."""
        return stream_order(after) < max(stream_order(self.passing), stream_order(self.before))

    def has_lasting(self, after: str) -> bool:
        """True when any other event behind a position is gone."""
        return stream_order(after) < stream_order(self.before)


class RetryableUnit(NamedTuple):
    """Where the input is of a unit, or of its failed items: a key of Redis, and a field of it."""

    key: str
    name: bytes


@dataclass(frozen=True, slots=True)
class ResultRows:
    """Rows of a job's results in order, and the job at the moment when they were read."""

    record: JobRecord
    rows: list[bytes]
    #: Where to read on.
    position: ResultPosition
    #: The stream id of its newest event, `0-0` when it has none.
    last_event_id: str


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """How far a reader has come in a job's text deltas and events: two stream ids."""

    delta: str
    event: str


class Jobs(Part):
    """Reads jobs, results, events and text deltas."""

    def __init__(self, ledger: Whole) -> None:
        super().__init__(ledger)
        self._retention = Retention(ledger)
        #: Where `forget_expired` continues.
        self._cursor = 0
        self._templates: dict[bytes, _Row] = {}

    @exchange
    def get(self, job_id: str) -> Exchange[JobRecord]:
        """Return a job as it is now. Raises UnknownJob, JobDamaged and LaterVersion."""
        record, now_ms = yield from self._get(job_id)
        if _is_overdue(record, now_ms):  # and no worker was there to end it
            yield from self.ended.steps([job_id])
            record, _ = yield from self._get(job_id)
        return record

    @exchange
    def exists(self, job_id: str) -> Exchange[bool]:
        """Return True while a job is kept."""
        return bool((yield from command("EXISTS", self._keys.job(job_id))))

    @exchange
    def missing(self, job_id: str, what: str) -> Exchange[SeqdError]:
        """Return the error for a part of a job that is not there, as `unit 3 of the results`."""
        if (yield from self.exists.steps(job_id)):
            return damaged_job(f"job {job_id}", f"there is no {what}")
        if (yield from self._retention.was_evicted.steps(job_id)):
            return (yield from self._retention.unknown_job.steps(job_id))
        return UnknownJob(
            f"Job {job_id} went while it was read, and with it {what}: its time to live has "
            "passed, or somebody has removed it. Hand its input in again as a new job."
        )

    @exchange
    def continued(self, job_id: str) -> Exchange[str | None]:
        """Return the job that one continues, also one that is not kept any more; None for none.

        One that somebody has removed is none, unless it stood between two.
        """
        earlier = yield from command("HGET", self._keys.job(job_id), "continues")
        return None if earlier is None else cast(bytes, earlier).decode()

    @exchange
    def kept(self, job_ids: Sequence[str]) -> Exchange[list[JobRecord]]:
        """Return those of some jobs that are kept and readable, with one round trip for all."""
        return (yield from self._kept([job_id.encode() for job_id in job_ids]))

    @exchange
    def newest(
        self,
        limit: int,
        wanted: JobFilter = ANY_JOB,
        before: JobPlace | None = None,
        most_searched: int = MAX_SEARCHED,
    ) -> Exchange[FoundJobs]:
        """Return the newest `limit` jobs that are kept and match, newest first, behind a place.

        Looks at `most_searched` others or few more, then says where it stopped.
        """
        key = self._keys.open_jobs() if wanted.is_of_open_jobs else self._keys.jobs()
        return (yield from self._newest_of(key, limit, wanted, before, most_searched))

    @exchange
    def newest_open(self, limit: int) -> Exchange[list[JobRecord]]:
        """Return the newest `limit` jobs that have not ended, newest first."""
        records = yield from self._newest_of(self._keys.open_jobs(), limit, ANY_JOB)
        return [record for record in records if not record.state.is_terminal]

    @exchange
    def newest_open_and_left(self, limit: int) -> Exchange[tuple[list[JobRecord], dict[str, int]]]:
        """Return what `newest_open` does, and by queue the items that are left at that moment."""
        listed = yield from command("ZREVRANGE", self._keys.open_jobs(), 0, limit - 1)
        ids = cast(list[bytes], listed)
        asked = [Command(("HGETALL", self._keys.job(job_id.decode()))) for job_id in ids]
        asked.append(Command(("HGETALL", self._keys.work_left())))
        *rows, left = yield from pipeline(asked)
        records = yield from self._records_in(ids, cast(list[_Row], rows))
        return [one for one in records if not one.state.is_terminal], items_left(left)

    @exchange
    def uploads_short_of_memory(self, since_ms: int) -> Exchange[list[str]]:
        """Return the jobs whose upload was heard of since then and waits for memory of Redis.

        At most `UPLOADS_LOOKED_AT` are looked at.
        """
        newest = ("ZRANGE", self._keys.uploads(), -UPLOADS_LOOKED_AT, -1, "WITHSCORES")
        row = cast(list[bytes], (yield from command(*newest)))
        heard = zip(row[::2], row[1::2], strict=True)
        ids = [one.decode(errors="replace") for one, at_ms in heard if float(at_ms) >= since_ms]
        asked = (Command(("HGET", self._keys.job(job_id), "upload_waits")) for job_id in ids)
        waits = yield from pipeline(asked)
        return [job_id for job_id, what in zip(ids, waits, strict=True) if what == b"memory"]

    @exchange
    def forget_expired(self, batch: int = 1_000) -> Exchange[None]:
        """Take jobs off the list whose time to live has passed.

        Looks at about `batch` jobs and continues from there at the next call; at once while many of
        them are gone, so that the list never holds much more than the jobs that are kept.
        """
        while True:
            reply = yield from command("ZSCAN", self._keys.jobs(), self._cursor, "COUNT", batch)
            self._cursor, rows = cast(tuple[int, list[tuple[bytes, float]]], reply)
            gone = yield from self._forget_gone([job_id for job_id, _ in rows])
            if self._cursor == 0 or gone * 10 < len(rows):
                return

    @exchange
    def ended(self, job_ids: Sequence[str]) -> Exchange[list[EndedRow]]:
        """Return whether each job has ended, and how; end those whose time has run out."""
        return (yield from _ended("look", "", job_ids))

    @exchange
    def take_ended(
        self, job_ids: Sequence[str], *, cancels: bool = False, client: str = ""
    ) -> Exchange[list[EndedRow]]:
        """Return what `ended` does, and remove the jobs that have ended.

        Those of which it has no blob though they completed are kept. `cancels` ends those that have
        not ended. The completion stream of `client` goes with them.
        """
        return (yield from _ended("cancel" if cancels else "take", client, job_ids))

    @exchange
    def completions(
        self, client: str, after: str, *, longest_wait_s: float = LOOK_S
    ) -> Exchange[tuple[str, list[str]]]:
        """Wait for entries of a client's completion stream behind stream id `after`.

        Returns the id to continue from, and the jobs that have ended. The stream is bounded and has
        a time to live: a job may have ended though it is not among them.
        """
        stream = self._keys.completions(client)
        heard = yield from listen({stream: after}, max(0.001, longest_wait_s))
        entries = heard.get(stream, [])
        if not entries:
            return after, []
        jobs = [name for _, fields in entries for name in fields[b"jobs"].decode().split()]
        return entries[-1][0].decode(), jobs

    @exchange
    def results(
        self, job_id: str, position: ResultPosition, most: int = READ_ROWS
    ) -> Exchange[ResultRows]:
        """Return the next rows of results without a gap, and the job at the same moment.

        At most `most` of them, and no more than `READ_BYTES` but for a larger row, which comes
        alone. No row: the unit of the position is not committed. Raises what `get` does.
        """
        read, now_ms = yield from self._results(job_id, position, most)
        if _is_overdue(read.record, now_ms):
            yield from self.ended.steps([job_id])
            read, _ = yield from self._results(job_id, position, most)
        return read

    def _results(
        self, job_id: str, position: ResultPosition, most: int
    ) -> Exchange[tuple[ResultRows, int]]:
        """Return rows of results, and the time on the server's clock in milliseconds."""
        reply = as_list((yield from script("results", job_id, *position, most, READ_BYTES)))
        fields = as_list(reply[3])
        row = dict(zip(map(as_bytes, fields[::2]), map(as_bytes, fields[1::2]), strict=True))
        rows = ResultRows(
            (yield from self._record_in(job_id, row)),
            [as_bytes(row) for row in as_list(reply[2])],
            ResultPosition(as_int(reply[0]), as_int(reply[1])),
            as_text(reply[4]),
        )
        return rows, as_int(reply[5])

    @exchange
    def row(self, job_id: str, unit: int | str, number: int) -> Exchange[bytes | None]:
        """Return a row of results of a unit or part, counted from 0; None where there is none."""
        name = f"{unit}+{number}" if number else str(unit)
        blob = yield from command("HGET", self._keys.output(job_id), name)
        if blob is None and name == "0":
            return (yield from self._small_results(job_id))
        return cast(bytes | None, blob)

    @exchange
    def committed(self, job_id: str, units: Sequence[int]) -> Exchange[list[int]]:
        """Return those of some units that are committed, in order."""
        key = self._keys.output(job_id)
        asked = [Command(("HEXISTS", key, str(unit))) for unit in units]
        # Behind `out`, which the results of a small job leave.
        asked.append(Command(("HEXISTS", self._keys.job(job_id), "results")))
        *found, is_small = yield from pipeline(asked)
        return [
            unit
            for unit, is_there in zip(units, found, strict=True)
            if is_there or (unit == 0 and is_small)
        ]

    @exchange
    def outputs(self, job_id: str, units: Sequence[int]) -> Exchange[list[bytes | None]]:
        """Return the first row of results of units, None for each that is not committed.

        Units of one item, such as those of a sweep, have no other row.
        """
        blobs = yield from _blobs(self._keys.output(job_id), units)
        if 0 in units and blobs[units.index(0)] is None:
            blobs[units.index(0)] = yield from self._small_results(job_id)
        return blobs

    @exchange
    def sizes(self, job_id: str, units: Sequence[int]) -> Exchange[list[int | None]]:
        """Return the numbers of items of units; None for each that is not known.

        They are kept until the job ends; the only unit of a job has none.
        """
        found = yield from _blobs(self._keys.sizes(job_id), units)
        return [None if size is None else int(size) for size in found]

    @exchange
    def inputs(self, job_id: str, units: Sequence[int | str]) -> Exchange[list[bytes | None]]:
        """Return the input blobs of units, None for each that is done or unknown."""
        return (yield from _blobs(self._keys.input(job_id), units))

    @exchange
    def retryable_units(self, job_id: str) -> Exchange[list[RetryableUnit]]:
        """Return where the inputs are of an ended job's items without an output, in their order.

        Those of units that were done hold the failed items alone. Raises UnknownJob when the job
        has gone.
        """
        kept = (self._keys.failed(job_id), self._keys.input(job_id))
        names: dict[bytes, str] = {}
        for key in kept:
            found = cast(list[bytes], (yield from command("HKEYS", key)))
            names |= dict.fromkeys(found, key)
        if not names and not (yield from self.exists.steps(job_id)):
            raise (yield from self.missing.steps(job_id, "all of the items to try again"))
        return [RetryableUnit(names[name], name) for name in sorted(names, key=_unit_order)]

    @exchange
    def retryable_input(self, job_id: str, unit: RetryableUnit) -> Exchange[bytes]:
        """Return the input blob of one of `retryable_units`.

        Raises UnknownJob when the job has gone meanwhile, and JobDamaged where it is missing.
        """
        blob = yield from command("HGET", unit.key, unit.name)
        if blob is None:
            what = f"unit {unit.name.decode()} of the items to try again"
            raise (yield from self.missing.steps(job_id, what))
        return cast(bytes, blob)

    @exchange
    def parts(self, job_id: str, unit: int) -> Exchange[list[str]]:
        """Return the names of a unit's parts in order; of one that was not split, its own."""
        names = yield from command("HGET", self._keys.parts(job_id), str(unit))
        return [str(unit)] if names is None else cast(bytes, names).decode().split()

    @exchange
    def input_units(self, job_id: str) -> Exchange[int]:
        """Return the number of input chunks that are kept."""
        return cast(int, (yield from command("HLEN", self._keys.input(job_id))))

    @exchange
    def events(
        self, job_id: str, after: str = "0-0", *, longest_wait_s: float = LOOK_S
    ) -> "Exchange[list[Event]]":
        """Return the events behind stream id `after`; waits for one as long as it may.

        The events of a small job go soon after its end: then its last one is made from its record.
        """
        key = self._keys.events(job_id)
        heard = yield from listen({key: after}, longest_wait_s)
        if not heard:
            last = yield from self._last_event_of_small(job_id, after)
            # One that has ended since it was listened to has all of its events yet.
            heard = (yield from listen({key: after}, 0)) if last else {}
            if not heard:
                return last
        return list(read_events(heard[key]))

    @exchange
    def follow(
        self, job_id: str, after: str = "0-0", *, longest_wait_s: float = LOOK_S
    ) -> "Exchange[tuple[list[Event], EventsGone]]":
        """Return what `events` does, and what the stream does not hold any more.

        What is gone was looked up first, so that none of the events that are returned is among it.
        """
        key = self._keys.events(job_id)
        trimmed = Command(("HGET", self._keys.job(job_id), "trimmed"))
        first = Command(("XRANGE", key, "-", "+", "COUNT", 1))
        last, earliest = yield from pipeline((trimmed, first))
        gone = EventsGone(
            _last_passing(cast(bytes | None, last)),
            _first_of_trimmed(cast(list[StreamEntry], earliest)),
        )
        events = yield from self.events.steps(job_id, after, longest_wait_s=longest_wait_s)
        return events, gone

    @exchange
    def deltas(
        self, job_id: str, after: StreamPosition, *, longest_wait_s: float = LOOK_S
    ) -> "Exchange[tuple[list[TextDeltas], StreamPosition]]":
        """Return a job's text deltas behind a position, and the position to continue from.

        Waits for a delta or for an event of the job, as long as it may; whether there was an event,
        the position tells.
        """
        delta_key, event_key = self._keys.deltas(job_id), self._keys.events(job_id)
        streams = {delta_key: after.delta, event_key: after.event}
        heard = yield from listen(streams, longest_wait_s, count=100)
        deltas, events = heard.get(delta_key, []), heard.get(event_key, [])
        position = StreamPosition(
            delta=deltas[-1][0].decode() if deltas else after.delta,
            event=events[-1][0].decode() if events else after.event,
        )
        return list(_read_deltas(deltas)), position

    @exchange
    def last_event_id(self, job_id: str) -> Exchange[str]:
        """Return the stream id of a job's newest event, `0-0` when it has none."""
        return (yield from last_id(self._keys.events(job_id)))

    @exchange
    def events_of_all(
        self, after: str, *, longest_wait_s: float = LOOK_S
    ) -> "Exchange[list[Event]]":
        """Return changes of state of all jobs behind a stream id; waits for one as long as it may.

        The newest 10,000 or so are kept.
        """
        key = self._keys.all_events()
        heard = yield from listen({key: after}, longest_wait_s)
        return list(read_events(heard.get(key, [])))

    def _get(self, job_id: str) -> Exchange[tuple[JobRecord, int]]:
        """Return a job's record, and the time on the server's clock in milliseconds."""
        asked = (Command(("HGETALL", self._keys.job(job_id))), Command(("TIME",)))
        row, time = yield from pipeline(asked)
        return (yield from self._record_in(job_id, cast(_Row, row))), ms_of(time)

    def _record_in(self, job_id: str, row: _Row) -> Exchange[JobRecord]:
        """Return the record that the hash of a job holds. Raises as `get` does."""
        (row,) = yield from self._whole([row])
        if not row:
            raise (yield from self._retention.unknown_job.steps(job_id))
        return _read_record(job_id, row)

    def _whole(self, rows: Sequence[_Row]) -> Exchange[list[_Row]]:
        """Return jobs' hashes, those of small jobs with what their template and `_SMALL` have.

        One whose template is gone, as it is when the job was removed meanwhile, comes out empty.
        """
        digests = {row[b"template"] for row in rows if _is_small(row)}
        cache = self._templates  # another thread may put another in its place
        known = {digest: cache[digest] for digest in digests & cache.keys()}
        unknown = [digest for digest in digests if digest not in known]
        if unknown:
            keys = [self._keys.template(digest.decode()) for digest in unknown]
            replies = yield from pipeline(Command(("HGETALL", key)) for key in keys)
            found = {
                digest: template
                for digest, template in zip(unknown, cast(list[_Row], replies), strict=True)
                if b"spec" in template
            }
            known |= found
            self._templates = found if len(cache) + len(found) > MAX_TEMPLATES else cache | found
        return [_expanded(row, known) if _is_small(row) else row for row in rows]

    def _small_results(self, job_id: str) -> Exchange[bytes | None]:
        """Return the results of a small job that has completed; None of any other."""
        parts = yield from _blobs(self._keys.job(job_id), _SMALL_RESULTS)
        return b"".join(part for part in parts if part is not None) or None

    def _last_event_of_small(self, job_id: str, after: str) -> "Exchange[list[Event]]":
        """Return the last event of a small job whose events are gone, if `after` is before it."""
        fields = ["template", "group", "ended", "last_event", "total", "succeeded", "errored"]
        fields.append("plugin_versions")
        row = yield from _blobs(self._keys.job(job_id), fields)
        template, group, ended, last, total, succeeded, errored, versions = row
        if template is None or group is not None or ended is None:
            return []
        event_id = (last or ended + b"-0").decode()
        if stream_order(after) >= stream_order(event_id):
            return []
        from seqd_schemas import Completed

        counts = Counts(
            total=int(total or 1),
            succeeded=int(succeeded or 1),
            errored=int(errored or 0),
            cancelled=0,
            expired=0,
            processing=0,
        )
        return [
            Completed(
                id=event_id,
                job_id=job_id,
                at_ms=int(ended),
                counts=counts,
                plugin_versions=_versions(versions),
            )
        ]

    def _newest_of(
        self,
        key: str,
        limit: int,
        wanted: JobFilter,
        before: JobPlace | None = None,
        most_searched: int = MAX_SEARCHED,
    ) -> Exchange[FoundJobs]:
        found, searched, since_ms = FoundJobs(), 0, wanted.since_ms or 0
        begins = (wanted.id_begins or "").encode()
        places = dict[str, str]()
        rank, is_last = 0, False
        if before is not None:
            found_at = cast(int | None, (yield from command("ZREVRANK", key, before[1])))
            if found_at is None:  # it has gone: those of its millisecond are left out one by one
                found_at = cast(int, (yield from command("ZCOUNT", key, f"({before[0]}", "+inf")))
            rank = found_at
        at_once = min(limit + 1, STEP_JOBS)  # one more tells whether there are older ones
        while len(found) < limit:
            page = ("ZREVRANGE", key, rank, rank + at_once - 1, "WITHSCORES")
            flat = cast(list[bytes], (yield from command(*page)))  # names and scores in turn
            rows = list(zip(flat[::2], map(int, map(float, flat[1::2])), strict=True))
            is_last = len(rows) < at_once or rows[-1][1] < since_ms
            ids = [
                job_id
                for job_id, created_ms in rows
                if created_ms >= since_ms
                and (before is None or (created_ms, job_id) < before)
                and job_id.startswith(begins)
            ]
            if wanted != ANY_JOB:
                ids = yield from self._matching(ids, wanted)
            if len(found) + len(ids) > limit + 1:  # read no more in full than are returned
                ids = ids[: limit + 1 - len(found)]
                rows, is_last = rows[: [name for name, _ in rows].index(ids[-1]) + 1], False
            records = yield from self._kept(ids, wanted)
            # New jobs move those down that were looked at before.
            found += [record for record in records if record.job_id not in places]
            accepted = dict(rows)
            places |= {
                one.job_id: f"{accepted[one.job_id.encode()]}-{one.job_id}" for one in records
            }
            rank += len(rows)
            searched += len(rows)
            if is_last:
                break
            if searched - len(found) >= most_searched and len(found) < limit:
                found.stopped_at_ms = rows[-1][1]
                found.older = f"{rows[-1][1]}-{rows[-1][0].decode(errors='replace')}"
                break
            at_once = STEP_JOBS
        if len(found) > limit or (len(found) == limit and not is_last):
            found.older = places[found[limit - 1].job_id]
        del found[limit:]
        return found

    def _matching(self, ids: Sequence[bytes], wanted: JobFilter) -> Exchange[list[bytes]]:
        """Return the jobs that match, by the fields that tell."""
        if wanted.states and wanted != (by_state := JobFilter(wanted.states)):
            ids = yield from self._matching(ids, by_state)
        names = wanted.fields
        keys = [self._keys.job(job_id.decode()) for job_id in ids]
        replies = yield from pipeline(Command(("HMGET", key, *names)) for key in keys)
        rows: list[_Row] = [
            {name: value for name, value in zip(names, values, strict=True) if value is not None}
            for values in cast(list[list[bytes | None]], replies)
        ]
        whole = yield from self._whole(rows)
        return [
            job_id for job_id, row in zip(ids, whole, strict=True) if row and wanted.matches(row)
        ]

    def _kept(self, ids: Sequence[bytes], wanted: JobFilter = ANY_JOB) -> Exchange[list[JobRecord]]:
        """Return jobs that match, but those whose time to live has passed, and damaged ones."""
        keys = [self._keys.job(job_id.decode()) for job_id in ids]
        rows = yield from pipeline(Command(("HGETALL", key)) for key in keys)
        return (yield from self._records_in(ids, cast(list[_Row], rows), wanted))

    def _records_in(
        self, ids: Sequence[bytes], rows: Sequence[_Row], wanted: JobFilter = ANY_JOB
    ) -> Exchange[list[JobRecord]]:
        records = []
        whole = yield from self._whole(rows)
        for job_id, row in zip(ids, whole, strict=True):
            if row and wanted.matches(row):
                try:
                    records.append(_read_record(job_id.decode(), row))
                except (JobDamaged, LaterVersion) as error:
                    log.warning("job left out of a list: %s", error)
        return records

    def _forget_gone(self, ids: Sequence[bytes]) -> Exchange[int]:
        keys = [self._keys.job(job_id.decode()) for job_id in ids]
        kept = yield from pipeline(Command(("EXISTS", key)) for key in keys)
        gone = [job_id for job_id, exists in zip(ids, kept, strict=True) if not exists]
        if gone:
            yield from command("ZREM", self._keys.jobs(), *gone)
            warned = (job_id + b" results" for job_id in gone)
            yield from command("ZREM", self._keys.warnings(), *warned)
        return len(gone)


def items_left(reply: object) -> dict[str, int]:
    """Return the items by queue that nobody has done, of the hash `work_left`."""
    return {
        queue.decode(errors="replace"): int(count)
        for queue, count in cast(dict[bytes, bytes], reply).items()
        if count.isdigit() and len(count) <= _MOST_DIGITS and int(count)
    }


def _blobs(key: str, names: Sequence[int | str]) -> Exchange[list[bytes | None]]:
    found = yield from command("HMGET", key, *(str(name) for name in names))
    return cast(list[bytes | None], found)


def last_id(stream: str) -> Exchange[str]:
    """Return the newest id of a stream, `0-0` when it is empty."""
    rows = yield from command("XREVRANGE", stream, "+", "-", "COUNT", 1)
    found = cast(list[StreamEntry], rows)
    return found[0][0].decode() if found else "0-0"


def _unit_order(name: bytes) -> tuple[int, int]:
    """Return the sort key of a unit, or of a part `UNIT:FIRST:END`."""
    unit, _, part = name.partition(b":")
    return int(unit), int(part.partition(b":")[0] or 0)


def _ended(action: str, client: str, job_ids: Sequence[str]) -> Exchange[list[EndedRow]]:
    reply = yield from script("ended", action, client, *job_ids)
    return [_ended_row(as_list(row)) for row in as_list(reply)]


def _ended_row(row: list[Reply]) -> EndedRow:
    text, blob, failure = as_text(row[0]), as_bytes(row[1]), as_bytes(row[2])
    state = JobState(text) if text in _STATES else None
    has_ended = state is not None and state.is_terminal
    known = from_stored(Failure, failure) if failure else None
    return EndedRow(state if has_ended else None, text != "", blob or None, known)


def _expanded(row: _Row, templates: Mapping[bytes, _Row]) -> _Row:
    """Return the hash of a small job with what its template has; empty without its template."""
    template = templates.get(row[b"template"])
    return {} if template is None else {**_SMALL, **template, **row}


def _is_small(row: _Row) -> bool:
    """Return True for the hash of a small job that has completed."""
    return row.get(b"state") == b"completed" and b"template" in row and b"group" not in row


def _is_overdue(record: JobRecord, now_ms: int) -> bool:
    """Return True for an open job whose time has run out by the server's clock."""
    expires_at_ms = record.expires_at_ms
    return expires_at_ms is not None and not record.state.is_terminal and now_ms >= expires_at_ms


def _read_record(job_id: str, row: _Row) -> JobRecord:
    """Return the record of a job's hash. Raises JobDamaged and LaterVersion."""
    try:
        return _record(job_id, {key.decode(): value for key, value in row.items()})
    except (KeyError, ValueError) as error:
        if is_later(row.get(b"spec", b"")):
            raise LaterVersion(
                f"Job {job_id} was handed in by a later version of seqd than {__version__}, which "
                "is the one here. Read it with that version."
            ) from None
        reason = f"there is no field {error}" if isinstance(error, KeyError) else _first_line(error)
        raise damaged_job(f"job {job_id}", reason) from None


def _record(job_id: str, row: dict[str, bytes]) -> JobRecord:
    failure, training = row.get("failure"), row.get("training")
    continued_by = row.get("continued_by")
    ended_at_ms = _number(row, "ended")
    # One that is held is kept for a job that has not ended.
    is_timed = ended_at_ms is not None and "held_by" not in row
    kept_until_ms = (ended_at_ms or 0) + int(row["ttl"]) * 1000 if is_timed else None
    return JobRecord(
        job_id=job_id,
        kind=row["kind"].decode(),
        model=row["model"].decode(),
        plugin=row["plugin"].decode() if "plugin" in row else None,
        version=_number(row, "version"),
        rollout=from_stored(JobRollout, row["rollout"]) if "rollout" in row else None,
        plugin_versions=_versions(row.get("plugin_versions")),
        task_schema=row["task_schema"].decode() if "task_schema" in row else None,
        state=JobState(row["state"].decode()),
        counts=_counts(row),
        sealed=row["sealed"] == b"1",
        unit_items=int(row["unit_items"]),
        units=int(row["units"]),
        units_done=int(row["units_done"]),
        priority=row["priority"].decode(),
        tenant=row["tenant"].decode(),
        created_at_ms=int(row["created"]),
        started_at_ms=_number(row, "started"),
        ended_at_ms=ended_at_ms,
        expires_at_ms=_number(row, "expires_at"),
        kept_until_ms=kept_until_ms,
        continued_by=None if continued_by is None else continued_by.decode(),
        failure=None if failure is None else from_stored(Failure, failure),
        training=None if training is None else from_stored(TrainingResult, training),
        job=from_stored(JOB, row["spec"]),
    )


def _versions(lines: bytes | None) -> tuple[str, ...]:
    """Return the versions that a job's field has, a line each."""
    return tuple(lines.decode().split("\n")) if lines else ()


def _number(row: dict[str, bytes], name: str) -> int | None:
    value = row.get(name)
    return None if value is None else int(value)


def _counts(row: dict[str, bytes]) -> Counts:
    total = int(row["total"])
    done = {name: int(row[name]) for name in ("succeeded", "errored", "cancelled", "expired")}
    return Counts(total=total, processing=total - sum(done.values()), **done)


def read_events(entries: Iterable[StreamEntry]) -> "Iterator[Event]":
    """Yield the events of stream entries, each with its id."""
    from seqd_schemas import EVENT  # here: there are sixteen kinds of event

    for event_id, fields in entries:
        try:
            event = from_stored(EVENT, fields[b"e"])
        except (KeyError, ValidationError) as error:
            log.warning("event id=%s was left out: %s", event_id.decode(), _first_line(error))
            continue
        yield event.model_copy(update={"id": event_id.decode()})


def _last_passing(trimmed: bytes | None) -> str:
    """Return the id in `trimmed` of a job's hash, which `events.lua` writes."""
    found = _TRIMMED.fullmatch(trimmed or b"")
    return found[1].decode() if found else "0-0"


def _first_of_trimmed(first: list[StreamEntry]) -> str:
    """Return the id of a stream's first entry where others have been cut off in front of it."""
    for event_id, fields in first:
        name = _EVENT_NAME.search(fields.get(b"e", b""))
        if name and name[1] not in _FIRST_EVENTS:
            return event_id.decode()
    return "0-0"


def _read_deltas(entries: Iterable[StreamEntry]) -> "Iterator[TextDeltas]":
    """Yield the text deltas of stream entries."""
    from seqd_schemas import TextDeltas

    for entry_id, fields in entries:
        try:
            yield from_stored(TextDeltas, fields[b"d"])
        except (KeyError, ValidationError) as error:
            log.warning("deltas id=%s were left out: %s", entry_id.decode(), _first_line(error))


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return fault_sentence(error, shows_value=False)
    return str(error).partition("\n")[0][:200]
