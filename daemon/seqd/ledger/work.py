"""Units of work: claim, renew, commit, release, split; and checkpoints of trainings.

A claim leases units of one group of jobs together. Each unit carries the number of its attempt,
which is the fencing token: what a worker writes later is checked against it on the server. A unit
ends by `commit`, or by `fail_job` for the whole job; it is claimable again after `release_unit`,
`release_worker`, or when its lease has run out.
"""

import json
import logging
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, cast

from redis.exceptions import ResponseError

from seqd.errors import LeaseLost, RedisUnreachable, failure_of
from seqd.ledger.blobs import PartReference, errored_items, pack, pack_line, pack_results
from seqd.ledger.control import damaged_job, reason_of, script_past_damage
from seqd.ledger.exchange import (
    Argument,
    Exchange,
    Part,
    Reply,
    Whole,
    command,
    exchange,
    script,
)
from seqd.ledger.failures import cut_traceback, failure_lines
from seqd.ledger.jobs import JOB
from seqd.ledger.scripts import (
    as_argument,
    as_bytes,
    as_int,
    as_list,
    as_text,
)
from seqd.ledger.units import Death, Unit, UnitFaults
from seqd_schemas import (
    ItemChunk,
    ItemFailure,
    ItemSuccess,
    Job,
    JobRollout,
    TextDeltas,
    TrainingResult,
    from_stored,
    is_later,
    job_of_run,
    to_stored,
)

if TYPE_CHECKING:
    from seqd_schemas import Event, Failure

log = logging.getLogger(__name__)

#: Units and items of which one step commits at most: about 3 ms of the server's time.
COMMIT_UNITS = 64
COMMIT_ITEMS = 4_096

#: Bytes of results after which a step is closed, and bytes that those of one unit may have: Redis
#: takes 1 GB a call. The largest result fits, so a unit that is split often enough fits, too.
COMMIT_BYTES = 4 * 1024 * 1024
MAX_COMMIT_BYTES = 65 * 1024 * 1024

#: Bytes of text deltas that one call of `publish_deltas.lua` writes: about 5 ms.
DELTA_BYTES_AT_ONCE = 1024 * 1024

#: Timers and warnings that one call of `expire.lua` looks at, so that it stays short.
EXPIRE_UNITS = 100

#: Such calls in a row at most: 20,000 units, which a hundred workers can hold, or 3,200 jobs.
MAX_EXPIRE_CALLS = 200

#: Units that one call of `release_worker.lua` releases.
RELEASE_UNITS = 250

#: Seconds for which a unit waits that only a later version of seqd can read, and how many of
#: those one claim looks at: more would keep them from the workers that can.
LATER_WAIT_S = 30.0
MOST_LATER = 10

#: Checkpoints of a training that are kept: the last one, and one to fall back to.
KEPT_CHECKPOINTS = 2


@dataclass(frozen=True, slots=True)
class Claim:
    """Units of one group of jobs, which are computed alike: see `_fields` of `submissions`."""

    #: The request of the first unit's job.
    job: Job
    #: The version that the jobs run on to their end; None for a training, which makes one.
    version: int | None
    units: tuple[Unit, ...]
    #: The roll-out that they take part in.
    rollout: JobRollout | None = None
    #: Of a plugin's own task, the digest of the schemas that they were accepted with.
    task_schema: str | None = None
    #: The digest of all that they have in common.
    group: str = ""


class Renewal(IntEnum):
    """What `renew` did to a lease."""

    #: The job ended, or another attempt has the unit: nothing of it counts any more.
    LOST = 0
    KEPT = 1
    #: Kept, and to be released soon: the job is paused.
    REVOKED = 2


class CommitOutcome(StrEnum):
    """What a commit did."""

    COMMITTED = "committed"
    COMPLETED = "completed"
    DUPLICATE = "duplicate"
    ENDED = "ended"
    FENCED = "fenced"


class MiscountedResults(ResponseError):
    """A unit has another number of items than there are results: its input was replaced."""


class OversizedResults(Exception):
    """The results of a unit are more than one step takes: it is to be split."""


NotCommitted = MiscountedResults | OversizedResults


@dataclass(frozen=True, slots=True)
class Use:
    """What a unit took, for the account of its tenant."""

    tokens: int = 0
    busy_ms: int = 0


NO_USE = Use()


@dataclass(frozen=True, slots=True)
class Finished:
    """A unit, its results in the items' order, and its input, whose failed items are kept."""

    unit: Unit
    results: Sequence[ItemSuccess | ItemFailure]
    chunk: ItemChunk | None = None
    #: True where the results count only while the lease is held.
    fenced: bool = False
    use: Use = NO_USE
    #: The plugin's part of the tracebacks of what it raised, by the message of the items' errors.
    tracebacks: Mapping[str, str] | None = None
    #: The file that holds the results, where that was written.
    part: PartReference | None = None
    #: Results that an earlier job has paid for.
    kept: int = 0


@dataclass(frozen=True, slots=True)
class LeftQueues:
    """Queues that a worker leaves for a while, since it would have to unload a model for them."""

    #: Those whose model no worker has in memory, and those whose model another one has.
    cold: Sequence[str] = ()
    held: Sequence[str] = ()
    #: Seconds for which they are left beside other work, and the held ones without.
    left_s: float = 0.0
    held_s: float = 0.0


NOTHING_LEFT = LeftQueues()


#: Units that one call commits, each with the arguments of `commit.lua` behind its attempt.
_Batch = Sequence[tuple[Unit, Sequence[Argument]]]


class Work(Part):
    """The workers' side of the ledger: claims, leases, events of units, and commits."""

    def __init__(self, ledger: Whole) -> None:
        super().__init__(ledger)
        self._settings = ledger.settings
        #: True where the last claim found nothing, and ranges of files are offered to be read.
        self.are_ranges_offered = False

    @exchange
    def claim(
        self, worker: str, queues: Sequence[str], left: LeftQueues = NOTHING_LEFT
    ) -> Exchange[Claim | None]:
        """Lease the next units of the queues for `lease_s` seconds; None when there are none.

        Of those that are `left`, units are leased once these have waited for long enough.
        A job whose request cannot be read is failed, and the next one claimed.
        One that a later version of seqd wrote is left to workers of that version. The input of a
        claim of several units inflates to `max_claim_bytes` at most, by what it states.
        """
        later, most_bytes = 0, self._settings.max_claim_bytes
        self.are_ranges_offered = False
        waits = (int(left.left_s * 1000), int(left.held_s * 1000), len(left.cold), len(left.held))
        named = (*left.cold, *left.held, *queues)
        while later < MOST_LATER:
            asked: tuple[Argument, ...] = (worker, self._lease_ms, most_bytes, *waits, *named)
            reply = as_list((yield from script_past_damage("claim", *asked)))
            if len(reply) <= 1:
                self.are_ranges_offered = len(reply) == 1
                return None
            try:
                return _claim(reply, worker)
            except _Unreadable as error:
                is_of_later = is_later(as_bytes(reply[0]))
                later += is_of_later
                why = None if is_of_later else error.why
                yield from self._release_unreadable(reply, error.job_id, why)
        return None

    @exchange
    def renew(self, units: Sequence[Unit]) -> Exchange[list[Renewal]]:
        """Keep leases for `lease_s` seconds more; return the outcome of each, in order."""
        if not units:
            return []
        rows = [part for unit in units for part in (unit.job_id, unit.name, unit.attempt)]
        reply = as_list((yield from script_past_damage("renew", self._lease_ms, *rows)))
        return [Renewal(as_int(outcome)) for outcome in reply]

    @exchange
    def commit(
        self,
        unit: Unit,
        results: Sequence[ItemSuccess | ItemFailure],
        chunk: ItemChunk | None = None,
        *,
        fenced: bool = False,
        use: Use = NO_USE,
        plugin_version: str = "",
    ) -> Exchange[CommitOutcome]:
        """Record a unit's results, in the items' order. The first commit of a unit wins.

        `plugin_version` is that of the plugin that computed it, '' where none did. One that is
        `fenced` counts only while the lease is held. Of `chunk`, the unit's input, the items that
        have errors are kept, so that they can be tried again. Raises MiscountedResults where the
        number of results is not the unit's, and OversizedResults for more than `MAX_COMMIT_BYTES`.
        """
        finished = Finished(unit, results, chunk, fenced, use)
        (outcome,) = yield from self.commit_batch.steps([finished], plugin_version)
        return _raised(outcome)

    @exchange
    def commit_batch(
        self, finished: Iterable[Finished], plugin_version: str = ""
    ) -> Exchange[list[CommitOutcome | NotCommitted]]:
        """Record the results of several units as `commit` does each, many in one step.

        `plugin_version` is that of the plugin that computed all of them. Units do not depend on
        each other: an error of one is its own outcome.
        """
        outcomes: list[CommitOutcome | NotCommitted] = []
        for batch in _batches(finished):
            if isinstance(batch, OversizedResults):
                outcomes.append(batch)
            else:
                outcomes += yield from self._commit(batch, plugin_version)
        return outcomes

    @exchange
    def commit_part(self, unit: Unit, part: PartReference, failed: str) -> Exchange[CommitOutcome]:
        """Record where the results of a unit are that another engine has computed.

        `failed` has the records of its failed items. It is no use of workers that is counted.
        """
        errored = sum(part.errors.values())
        counted = (part.items - errored, errored, 0, "", b"", 0, 0, 0, failed, 1, part.row)
        of_unit = (0, "", unit.job_id, unit.name, unit.attempt, *counted)
        (outcome,) = as_list((yield from script_past_damage("commit", *of_unit)))
        return CommitOutcome(as_text(outcome))

    @exchange
    def commit_training(
        self, unit: Unit, result: TrainingResult, use: Use = NO_USE, plugin_version: str = ""
    ) -> Exchange[CommitOutcome]:
        """Record the version that a training made; counts only while the lease is held.

        `plugin_version` is that of the plugin that made it.
        """
        text = to_stored(result)
        row = (1, 0, 1, text, b"", 1, use.tokens, use.busy_ms, "", 1, pack_line(text))
        (outcome,) = yield from self._commit([(unit, row)], plugin_version)
        return _raised(outcome)

    @exchange
    def fail_job(self, unit: Unit, failure: "Failure", traceback: str = "") -> Exchange[bool]:
        """End the whole job as failed; False when the unit is not ours any more.

        `traceback` is the plugin's part of it, where the plugin raised.
        """
        held = (unit.name, unit.attempt, "", cut_traceback(traceback))
        ended = ("end_job", unit.job_id, "failed", to_stored(failure), *held)
        return as_text((yield from script_past_damage(*ended))) == "ended"

    @exchange
    def release_unit(
        self, unit: Unit, *, wait_s: float = 0.0, crashed: bool = False, faulted_by: str = ""
    ) -> Exchange[bool]:
        """Make a unit claimable after `wait_s`; False when it was not ours any more.

        `faulted_by` names a worker that is not fit for it.
        """
        wait_ms = int(wait_s * 1000)
        row = (unit.job_id, unit.name, unit.attempt, wait_ms, int(crashed), faulted_by)
        return as_int((yield from script_past_damage("release_unit", *row))) == 1

    @exchange
    def release_worker(
        self, worker: str, *, crashed: bool, death: Death | None = None, said: str = ""
    ) -> Exchange[None]:
        """Make all units claimable that a worker holds, and wake workers for them.

        How it died, where that is known, is told whoever watches the jobs, and noted for each unit
        where that `crashed`; of one that has not died they are told what is `said`.
        """
        told = _warned(worker, said) if said else ""
        how = ("", told)
        if death is not None:
            how = (str(death), _warned(worker, death.message, cause=death.cause))
        row = (worker, int(crashed), self._backoff_ms, RELEASE_UNITS, *how)
        while as_int((yield from script_past_damage("release_worker", *row))):
            pass

    @exchange
    def renew_worker(self, worker: str, said: str = "") -> Exchange[None]:
        """Keep all leases of a worker for `lease_s` seconds more.

        Whoever watches its jobs is told what is `said`, if it is.
        """
        told = _warned(worker, said) if said else ""
        yield from script_past_damage("renew_worker", worker, self._lease_ms, told)

    @exchange
    def split(self, unit: Unit, parts: tuple[ItemChunk, ItemChunk]) -> Exchange[bool]:
        """Replace a unit by two parts of it, to find the item that kills its worker.

        Each part is claimed alone. False when the unit was not ours any more.
        """
        rows = [value for part in parts for value in _part_row(unit, part)]
        held = (unit.job_id, unit.name, unit.attempt)
        return as_int((yield from script_past_damage("split", *held, *rows))) == 1

    @exchange
    def expire(self) -> Exchange[int]:
        """Apply what time has made due, see `expire.lua`; return how many units were requeued.

        A fleet that died together leaves thousands of units, and an outage as many jobs whose time
        has run out: it goes on until all are looked at, or `MAX_EXPIRE_CALLS` times.
        """
        requeued = 0
        for _ in range(MAX_EXPIRE_CALLS):
            asked = script_past_damage("expire", EXPIRE_UNITS, self._backoff_ms)
            count, has_more = as_list((yield from asked))
            requeued += as_int(count)
            if not has_more:
                break
        return requeued

    @exchange
    def wake(self, route: str) -> Exchange[None]:
        """Wake a worker of a route, where no wakeup waits."""
        yield from script("wake", route)

    @exchange
    def wake_where_due(self, queues: Sequence[str]) -> Exchange[None]:
        """Wake a worker of each route whose queues have claimable units, where no wakeup waits."""
        yield from script("wake_where_due", *queues)

    @exchange
    def publish(self, unit: Unit, event: "Event") -> Exchange[None]:
        """Publish an event about a unit. Raises LeaseLost when the unit is not ours any more."""
        if event.at_ms != 0:
            raise ValueError("an event gets its time from the server: leave at_ms at 0")
        text, token = to_stored(event), secrets.token_hex(4)
        row = (unit.job_id, unit.name, unit.attempt, text, token)
        if as_int((yield from script("publish", *row))) == 0:
            raise LeaseLost(f"Unit {unit.name} of job {unit.job_id} is not ours any more.")

    @exchange
    def publish_deltas(
        self, worker: str, entries: "Sequence[tuple[Unit, TextDeltas]]"
    ) -> Exchange[list[bool]]:
        """Publish text deltas in their order; False for each whose unit is not ours any more.

        Also True where they were left out since Redis is short of memory: readers have the
        results. A call of the script takes `DELTA_BYTES_AT_ONCE` at most, or one entry.
        """
        outcomes: list[bool] = []
        rows: list[Argument] = []
        bytes_of_rows = 0
        for unit, deltas in entries:
            text = to_stored(deltas)
            if rows and bytes_of_rows + len(text) > DELTA_BYTES_AT_ONCE:
                outcomes += yield from self._publish_rows(worker, rows)
                rows, bytes_of_rows = [], 0
            rows += (unit.job_id, unit.name, unit.attempt, text)
            bytes_of_rows += len(text)
        return outcomes + (yield from self._publish_rows(worker, rows))

    def _publish_rows(self, worker: str, rows: "Sequence[Argument]") -> Exchange[list[bool]]:
        max_bytes, token = self._settings.max_stream_bytes, secrets.token_hex(4)
        reply = yield from script("publish_deltas", worker, token, max_bytes, *rows)
        return [as_int(outcome) == 1 for outcome in as_list(reply)]

    def _release_unreadable(
        self, reply: list[Reply], job_id: bytes, damage: Exception | None
    ) -> Exchange[None]:
        """Release the units of a claim with a job that cannot be read, and fail that job.

        Without `damage` it is not: its units wait for a worker that can read it.
        """
        if damage is None:
            log.warning("job=%.80r is from a later version of seqd, left to its workers", job_id)
        else:
            log.error("job=%.80r cannot be read and has failed: %s", job_id, reason_of(damage))
            failure = to_stored(failure_of(damaged_job("this job", reason_of(damage))))
            yield from script_past_damage("end_job", job_id, "failed", failure, "", "")
        for row in (as_list(row) for row in reply[5:]):
            wait_ms = int(LATER_WAIT_S * 1000) if row[0] == job_id else 0
            held = (as_argument(part) for part in row[:3])
            yield from script_past_damage("release_unit", *held, wait_ms, 0)

    def _commit(
        self, rows: _Batch, plugin_version: str
    ) -> Exchange[list[CommitOutcome | NotCommitted]]:
        # A job has a version a line.
        head = (self._settings.usage_days, plugin_version.replace("\n", " "))
        if len(rows) == 1:
            return [(yield from self._committed_alone(head, *rows[0]))]
        arguments: list[Argument] = [*head]
        for unit, row in rows:
            arguments += (unit.job_id, unit.name, unit.attempt, *row)
        try:
            outcomes = list(map(as_text, as_list((yield from script("commit", *arguments)))))
        except ResponseError:  # a key is damaged that they share
            outcomes = ["error"] * len(rows)
        committed: list[CommitOutcome | NotCommitted] = []
        for outcome, (unit, row) in zip(outcomes, rows, strict=True):
            if outcome.startswith("error"):
                committed.append((yield from self._committed_alone(head, unit, row)))
            else:
                committed.append(CommitOutcome(outcome))
        return committed

    def _committed_alone(
        self, head: Sequence[Argument], unit: Unit, row: Sequence[Argument]
    ) -> Exchange[CommitOutcome | NotCommitted]:
        """Commit one unit, whose job fails where it is damaged."""
        try:
            of_unit = (*head, unit.job_id, unit.name, unit.attempt, *row)
            reply = yield from script_past_damage("commit", *of_unit)
        except ResponseError as error:
            if str(error).startswith("seqd: "):
                return MiscountedResults(str(error))
            # Another key of the ledger is damaged, or it is an error that we do not know.
            raise RedisUnreachable(
                f"Redis refused what came of unit {unit.name} of job {unit.job_id}, which is "
                f"sound: {error}. The unit is tried again."
            ) from error
        (outcome,) = as_list(reply)
        return CommitOutcome(as_text(outcome))

    @property
    def _backoff_ms(self) -> int:
        return int(self._settings.backoff_s * 1000)

    @property
    def _lease_ms(self) -> int:
        return int(self._settings.lease_s * 1000)


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """A checkpoint that is committed; its files are on a disk."""

    name: str
    #: Digest of its `checkpoint.json`, which has the digests of all else.
    sha256: str


class CheckpointRecords(Part):
    """Commits and reads the records of a training's checkpoints."""

    @exchange
    def commit(self, unit: Unit, record: CheckpointRecord) -> Exchange[list[str]]:
        """Commit a checkpoint; return the names of those that are committed, newest first.

        None of them when the unit is not ours any more: then nothing was changed.
        """
        held = (unit.job_id, unit.name, unit.attempt)
        saved = (record.name, record.sha256, KEPT_CHECKPOINTS)
        reply = yield from script("checkpoint", *held, *saved)
        return [as_text(name) for name in as_list(reply)]

    @exchange
    def of(self, run_id: str) -> Exchange[list[CheckpointRecord]]:
        """Return a training's committed checkpoints, newest first; of a job that is gone, none.

        `run_id` is the job's, or `JOB.UNIT` for a training of a sweep.
        """
        key, field = self._key_and_field(run_id)
        text = cast(bytes | None, (yield from command("HGET", key, field))) or b""
        return [CheckpointRecord(*entry.split(":", 1)) for entry in text.decode().split()]

    @exchange
    def forget(self, run_id: str) -> Exchange[None]:
        """Delete the records of a training's checkpoints: it is done."""
        key, field = self._key_and_field(run_id)
        yield from command("HDEL", key, field)

    def _key_and_field(self, run_id: str) -> tuple[str, str]:
        job_id, number = job_of_run(run_id)
        field = "checkpoints" if number is None else f"checkpoints:{number}"
        return self._keys.job(job_id), field


class _Unreadable(Exception):
    """The reply of a claim has a job that is not what the ledger writes."""

    def __init__(self, job_id: bytes, why: Exception) -> None:
        super().__init__(job_id, why)
        self.job_id = job_id
        self.why = why


def _claim(reply: list[Reply], worker: str) -> Claim:
    """Return a claim, whose request and version are the first unit's job's. Raises _Unreadable."""
    rows = reply[5:]
    try:
        job = from_stored(JOB, as_bytes(reply[0]))
        version = int(text) if (text := as_text(reply[1])) else None
        rollout = from_stored(JobRollout, text) if (text := as_text(reply[2])) else None
    except ValueError as error:
        raise _Unreadable(as_bytes(as_list(rows[0])[0]), error) from error
    units = tuple(_unit(row, worker) for row in rows)
    return Claim(job, version, units, rollout, as_text(reply[3]) or None, as_text(reply[4]))


def _unit(reply: Reply, worker: str) -> Unit:
    row = as_list(reply)
    return Unit(
        job_id=as_text(row[0]),
        name=as_text(row[1]),
        attempt=as_int(row[2]),
        crashes=as_int(row[3]),
        blob=as_bytes(row[4]),
        started_job=as_int(row[5]) == 1,
        worker=worker,
        job_age_s=as_int(row[6]) / 1000,
        faults=_faults(as_text(row[7])) if len(row) > 7 else None,
        death=Death.parse(as_text(row[8])) if len(row) > 8 else None,
    )


def _warned(worker: str, message: str, **fields: str) -> str:
    """Return the fields of the event that tells of a worker, as JSON without its braces."""
    told = {"level": "warning", "message": message, **fields, "worker": worker}
    return json.dumps(told)[1:-1]


def _faults(text: str) -> UnitFaults | None:
    if not text:
        return None
    count, age_ms, worker = text.split(" ", 2)
    return UnitFaults(int(count), int(age_ms) / 1000, worker)


def _batches(finished: Iterable[Finished]) -> Iterator[_Batch | OversizedResults]:
    """Yield the arguments of each call: few and small enough that Redis is not held up."""
    held, items, size = list[tuple[Unit, Sequence[Argument]]](), 0, 0
    for done in finished:
        rows = pack_results(done.results) if done.part is None else [done.part.row]
        count, more = len(done.results), sum(map(len, rows))
        if held and (
            more > MAX_COMMIT_BYTES
            or len(held) == COMMIT_UNITS
            or items + count > COMMIT_ITEMS
            or size + more > COMMIT_BYTES
        ):
            yield held
            held, items, size = [], 0, 0
        if more > MAX_COMMIT_BYTES:
            yield OversizedResults(
                f"the results of unit {done.unit.name} are {more:,} bytes, compressed; one step "
                f"takes {MAX_COMMIT_BYTES:,}"
            )
            continue
        held.append((done.unit, _commit_row(done, rows)))
        items, size = items + count, size + more
    if held:
        yield held


def _commit_row(done: Finished, rows: Sequence[bytes]) -> Sequence[Argument]:
    """Return the arguments of `commit.lua` for a unit, behind job, unit and attempt."""
    succeeded = sum(isinstance(result, ItemSuccess) for result in done.results)
    errored = len(done.results) - succeeded
    failed = errored_items(done.chunk, done.results) if done.chunk and errored else None
    blob = b"" if failed is None else pack(failed)
    tokens, busy_ms = done.use.tokens, done.use.busy_ms
    lines = failure_lines(done.unit, done.results, done.tracebacks or {}) if errored else ""
    computed = succeeded + errored - done.kept
    counted = (succeeded, errored, int(done.fenced), "", blob, computed, tokens, busy_ms)
    return (*counted, lines, len(rows), *rows)


def _raised(outcome: CommitOutcome | NotCommitted) -> CommitOutcome:
    if isinstance(outcome, NotCommitted):
        raise outcome
    return outcome


def _part_row(unit: Unit, chunk: ItemChunk) -> tuple[str, bytes, int]:
    """Return the arguments of `split.lua` for a part: its name `UNIT:FIRST:END`, blob and size."""
    first, size = chunk.first_index, len(chunk.items)
    number = unit.name.partition(":")[0]
    return f"{number}:{first}:{first + size}", pack(chunk), size
