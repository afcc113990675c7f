"""The workers' face of the ledger: claim units, keep their leases, record what came of them.

A claim hands out units of like jobs together. Each unit carries its attempt number, which is
the fencing token: whatever a worker writes later is checked against it on the server.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from pydantic import TypeAdapter
from redis.exceptions import ResponseError

from seqd.errors import LeaseLost
from seqd.ledger.blobs import pack, pack_results
from seqd.ledger.chunking import failed_items
from seqd.ledger.damage import bury_found, bury_if_damaged, bury_job
from seqd.ledger.scripts import (
    Argument,
    Reply,
    Scripts,
    as_argument,
    as_bytes,
    as_int,
    as_list,
    as_text,
)
from seqd.settings import Settings
from seqd_schemas import Event, Failure, ItemChunk, ItemFailure, ItemSuccess, Job, TrainingResult

JOB: TypeAdapter[Job] = TypeAdapter(Job)

#: Units of which one sweep of the reconciler looks at most, so that a script stays short.
SWEEP_UNITS = 200


@dataclass(frozen=True, slots=True)
class Unit:
    """A claimed unit: `intake`, `train`, the number of a chunk of items, or a part of one."""

    job_id: str
    name: str
    #: Fencing token: higher than that of any earlier claim of this unit.
    attempt: int
    #: Earlier attempts that ended without a word from their worker.
    crashes: int
    blob: bytes
    #: True when this claim started the job.
    started_job: bool

    @property
    def is_part(self) -> bool:
        """True for a part of a unit that was split to find the item that kills its worker."""
        return ":" in self.name


@dataclass(frozen=True, slots=True)
class Claim:
    """Units of like jobs: same kind, model, version, parameters and priority."""

    #: The request of the first unit's job.
    job: Job
    #: The version that the jobs run on to their end; None for a training, which makes one.
    version: int | None
    units: tuple[Unit, ...]


class CommitOutcome(StrEnum):
    """What a commit did."""

    COMMITTED = "committed"
    COMPLETED = "completed"
    DUPLICATE = "duplicate"
    ENDED = "ended"
    FENCED = "fenced"


class Renewal(IntEnum):
    """What became of a lease that was to be renewed."""

    #: The job ended, or another attempt has the unit: nothing of it counts any more.
    LOST = 0
    KEPT = 1
    #: Kept, and to be given back soon: the job is paused.
    ASKED_BACK = 2


class Work:
    """Claims, leases and commits."""

    def __init__(self, scripts: Scripts, settings: Settings, ring: Callable[[str], None]) -> None:
        self._scripts = scripts
        self._settings = settings
        self._ring = ring

    def claim(self, worker: str, routes: Sequence[str]) -> Claim | None:
        """Take the units whose turn it is, for `lease_s` seconds; None when there are none.

        A job whose keys cannot be read is failed on the way, and the next one taken.
        """
        while True:
            try:
                reply = as_list(self._scripts.call("claim", worker, self._lease_ms, *routes))
            except ResponseError as error:
                if not bury_found(self._scripts, error, worker=worker, routes=routes):
                    raise
                continue
            for route in as_list(reply[0]):
                self._ring(as_text(route))
            if len(reply) == 1:
                return None
            try:
                return _claim(reply)
            except (ValueError, TypeError) as error:
                self._bury_first(reply, routes, error)

    def _bury_first(self, reply: list[Reply], routes: Sequence[str], error: Exception) -> None:
        """Fail the job that a claim's request is from, and give the other jobs' units back."""
        rows = [as_list(row) for row in reply[3:]]
        first = as_bytes(rows[0][0])
        bury_job(self._scripts, first, error, routes)
        for row in rows:
            if row[0] != first:
                self._scripts.call("put_back", *(as_argument(part) for part in row[:3]), 0, 0)

    def renew(self, units: Sequence[Unit]) -> list[Renewal]:
        """Keep leases for `lease_s` seconds more; gives what became of each."""
        if not units:
            return []
        rows = [part for unit in units for part in (unit.job_id, unit.name, unit.attempt)]
        reply = as_list(self._scripts.call("renew", self._lease_ms, *rows))
        return [Renewal(as_int(answer)) for answer in reply]

    def commit(
        self,
        unit: Unit,
        results: Sequence[ItemSuccess | ItemFailure],
        chunk: ItemChunk | None = None,
    ) -> CommitOutcome:
        """Record a unit's results, in the items' order. The first commit of a unit wins.

        Of `chunk`, the unit's input, the items that have errors are kept, so that they can be
        tried again.
        """
        succeeded = sum(isinstance(result, ItemSuccess) for result in results)
        failed = None if chunk is None else failed_items(chunk, results)
        return self._commit(
            unit,
            pack_results(results),
            succeeded,
            len(results) - succeeded,
            0,
            "",
            b"" if failed is None else pack(failed),
        )

    def commit_training(self, unit: Unit, result: TrainingResult) -> CommitOutcome:
        """Record the version that a training made; counts only while the lease is held."""
        text = result.model_dump_json()
        return self._commit(unit, text, 1, 0, 1, text, b"")

    def _commit(self, unit: Unit, *arguments: Argument) -> CommitOutcome:
        lease = (unit.job_id, unit.name, unit.attempt)
        try:
            outcome = CommitOutcome(as_text(self._scripts.call("commit", *lease, *arguments)))
        except ResponseError as error:
            if str(error).startswith("seqd: "):
                raise
            bury_job(self._scripts, unit.job_id, error)
            return CommitOutcome.ENDED
        if outcome is CommitOutcome.ENDED:
            why = ValueError("its state is none that a job can have")
            bury_if_damaged(self._scripts, unit.job_id, why)
        return outcome

    def put_back(self, unit: Unit, *, wait_s: float = 0.0, crashed: bool = False) -> bool:
        """Give a unit back, claimable after `wait_s`; False when it was not ours any more."""
        reply = as_list(
            self._scripts.call(
                "put_back",
                unit.job_id,
                unit.name,
                unit.attempt,
                int(wait_s * 1000),
                int(crashed),
            )
        )
        self._ring_if_due(as_text(reply[1]))
        return as_int(reply[0]) == 1

    def split(self, unit: Unit, halves: tuple[ItemChunk, ItemChunk]) -> bool:
        """Put two halves in a unit's place, to find the item that kills its worker.

        Each half is claimed alone. False when the unit was not ours any more.
        """
        described = [part for half in halves for part in _part(unit, half)]
        reply = as_list(
            self._scripts.call("split", unit.job_id, unit.name, unit.attempt, *described)
        )
        self._ring_if_due(as_text(reply[1]))
        return as_int(reply[0]) == 1

    def release(self, worker: str, *, crashed: bool) -> None:
        """Give back all that a worker holds, and ring for it."""
        for route in as_list(self._scripts.call("release", worker, int(crashed), self._backoff_ms)):
            self._ring(as_text(route))

    def expire(self) -> int:
        """Make units claimable whose lease or back-off ran out; gives their number."""
        try:
            reply = as_list(self._scripts.call("expire", SWEEP_UNITS, self._backoff_ms))
        except ResponseError as error:
            if not bury_found(self._scripts, error):
                raise
            return 0  # what the damaged job held up is looked at in the next round
        for route in reply[1:]:
            self._ring(as_text(route))
        return as_int(reply[0])

    def ring_where_due(self, routes: Sequence[str]) -> None:
        """Ring for those of the routes that have claimable units and no bell."""
        for route in as_list(self._scripts.call("bells", *routes)):
            self._ring(as_text(route))

    def publish(self, unit: Unit, event: Event) -> None:
        """Publish an event about a unit; raises LeaseLost when the unit is not ours any more."""
        if event.at_ms != 0:
            raise ValueError("an event gets its time from the server: leave at_ms at 0")
        text, token = event.model_dump_json(), secrets.token_hex(4)
        reply = self._scripts.call("publish", unit.job_id, unit.name, unit.attempt, text, token)
        if as_int(reply) == 0:
            raise LeaseLost(f"Unit {unit.name} of job {unit.job_id} is not ours any more.")

    def fail_job(self, unit: Unit, failure: Failure) -> bool:
        """End the whole job as failed; False when the unit is not ours any more."""
        try:
            reply = self._scripts.call(
                "end_job", unit.job_id, "failed", failure.model_dump_json(), unit.name, unit.attempt
            )
        except ResponseError as error:
            bury_job(self._scripts, unit.job_id, error)
            return True
        return as_text(reply) == "ended"

    def _ring_if_due(self, route: str) -> None:
        if route:
            self._ring(route)

    @property
    def _backoff_ms(self) -> int:
        return int(self._settings.backoff_s * 1000)

    @property
    def _lease_ms(self) -> int:
        return int(self._settings.lease_s * 1000)


def _claim(reply: list[Reply]) -> Claim:
    """Read a claim; raises ValueError or TypeError where that is not what the ledger writes."""
    version = as_text(reply[2])
    return Claim(
        job=JOB.validate_json(as_bytes(reply[1])),
        version=int(version) if version else None,
        units=tuple(_unit(row) for row in reply[3:]),
    )


def _part(unit: Unit, chunk: ItemChunk) -> tuple[str, bytes, int]:
    """Name a part after its unit and its place in the job, and pack it."""
    first, size = chunk.first_index, len(chunk.items)
    number = unit.name.partition(":")[0]
    return f"{number}:{first}:{first + size}", pack(chunk), size


def _unit(reply: Reply) -> Unit:
    row = as_list(reply)
    return Unit(
        job_id=as_text(row[0]),
        name=as_text(row[1]),
        attempt=as_int(row[2]),
        crashes=as_int(row[3]),
        blob=as_bytes(row[4]),
        started_job=as_int(row[5]) == 1,
    )
