"""The workers' face of the ledger: claim units, keep their leases, record what came of them.

A claim hands out units of like jobs together. Each unit carries its attempt number, which is
the fencing token: whatever a worker writes later is checked against it on the server.
"""

import json
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from redis.exceptions import ResponseError

from seqd.errors import LeaseLost
from seqd.ledger.blobs import pack
from seqd.ledger.commits import quarantine_or_raise
from seqd.ledger.quarantine import quarantine, quarantine_suspect
from seqd.ledger.records import JOB
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
from seqd.ledger.units import Unit
from seqd_schemas import SCHEMA_VERSION, ItemChunk, Job

if TYPE_CHECKING:
    from seqd.settings import Settings
    from seqd_schemas import Event, Failure, TextDeltas

log = logging.getLogger(__name__)

#: Units of which one sweep of the reconciler looks at most, so that a script stays short.
SWEEP_UNITS = 200

#: Such looks in a row at most: 20,000 units, which a hundred workers can hold.
MOST_SWEEPS = 100

#: Seconds for which a unit waits that only a later version of seqd can read, and how many of
#: those one claim looks at: more would keep them from the workers that can.
LATER_WAIT_S = 30.0
MOST_LATER = 10


@dataclass(frozen=True, slots=True)
class Claim:
    """Units of like jobs: same kind, model, version, parameters and priority."""

    #: The request of the first unit's job.
    job: Job
    #: The version that the jobs run on to their end; None for a training, which makes one.
    version: int | None
    units: tuple[Unit, ...]


class Renewal(IntEnum):
    """What became of a lease that was to be renewed."""

    #: The job ended, or another attempt has the unit: nothing of it counts any more.
    LOST = 0
    KEPT = 1
    #: Kept, and to be given back soon: the job is paused.
    ASKED_BACK = 2


class Work:
    """Claims, leases, and what workers say of their units but for the results: see `commits`."""

    def __init__(self, scripts: Scripts, settings: "Settings", ring: Callable[[str], None]) -> None:
        self._scripts = scripts
        self._settings = settings
        self._ring = ring

    def claim(self, worker: str, routes: Sequence[str]) -> Claim | None:
        """Take the units whose turn it is, for `lease_s` seconds; None when there are none.

        A job whose keys cannot be read is failed on the way, and the next one taken. One that a
        later version of seqd wrote is left to workers of that version.
        """
        later = 0
        while later < MOST_LATER:
            reply = as_list(self._call("claim", worker, self._lease_ms, *routes))
            for route in as_list(reply[0]):
                self._ring(as_text(route))
            if len(reply) == 1:
                return None
            try:
                return _claim(reply)
            except _Unreadable as found:
                is_later = _is_later(reply[1])
                later += is_later
                self._put_away(reply, found.job_id, None if is_later else found.why)
        return None

    def _put_away(self, reply: list[Reply], job_id: bytes, damage: Exception | None) -> None:
        """Give the units of a claim back; first put the job that cannot be read in quarantine.

        Without `damage` it is not: its units wait for whoever can read it.
        """
        if damage is None:
            log.warning("job=%.80r is from a later version of seqd, left to its workers", job_id)
        else:
            quarantine(self._scripts, job_id, damage)
        for row in (as_list(row) for row in reply[3:]):
            wait_ms = int(LATER_WAIT_S * 1000) if row[0] == job_id else 0
            self._call("put_back", *(as_argument(part) for part in row[:3]), wait_ms, 0)

    def _call(self, name: str, *arguments: Argument) -> Reply:
        """Run a script, and again without the damaged jobs over which it tripped: they fail."""
        while True:
            try:
                return self._scripts.call(name, *arguments)
            except ResponseError as error:
                if not quarantine_suspect(self._scripts, error):
                    raise

    def renew(self, units: Sequence[Unit]) -> list[Renewal]:
        """Keep leases for `lease_s` seconds more; gives what became of each."""
        if not units:
            return []
        rows = [part for unit in units for part in (unit.job_id, unit.name, unit.attempt)]
        reply = as_list(self._call("renew", self._lease_ms, *rows))
        return [Renewal(as_int(answer)) for answer in reply]

    def put_back(self, unit: Unit, *, wait_s: float = 0.0, crashed: bool = False) -> bool:
        """Give a unit back, claimable after `wait_s`; False when it was not ours any more."""
        reply = as_list(
            self._call(
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
        reply = as_list(self._call("split", unit.job_id, unit.name, unit.attempt, *described))
        self._ring_if_due(as_text(reply[1]))
        return as_int(reply[0]) == 1

    def release(self, worker: str, *, crashed: bool) -> None:
        """Give back all that a worker holds, and ring for it."""
        for route in as_list(self._call("release", worker, int(crashed), self._backoff_ms)):
            self._ring(as_text(route))

    def expire(self) -> int:
        """Do what time has made due, see `expire.lua`; gives the units that are claimable again.

        A fleet that died together leaves thousands of units: it goes on until all are looked at.
        """
        woken = 0
        for _ in range(MOST_SWEEPS):
            reply = as_list(self._call("expire", SWEEP_UNITS, self._backoff_ms))
            for route in reply[2:]:
                self._ring(as_text(route))
            woken += as_int(reply[0])
            if as_int(reply[1]) < SWEEP_UNITS:
                break
        return woken

    def ring_where_due(self, routes: Sequence[str]) -> None:
        """Ring for those of the routes that have claimable units and no bell."""
        for route in as_list(self._scripts.call("bells", *routes)):
            self._ring(as_text(route))

    def publish(self, unit: Unit, event: "Event") -> None:
        """Publish an event about a unit; raises LeaseLost when the unit is not ours any more."""
        if event.at_ms != 0:
            raise ValueError("an event gets its time from the server: leave at_ms at 0")
        text, token = event.model_dump_json(), secrets.token_hex(4)
        reply = self._scripts.call("publish", unit.job_id, unit.name, unit.attempt, text, token)
        if as_int(reply) == 0:
            raise LeaseLost(f"Unit {unit.name} of job {unit.job_id} is not ours any more.")

    def publish_pieces(
        self, worker: str, entries: "Sequence[tuple[Unit, TextDeltas]]"
    ) -> list[bool]:
        """Publish pieces of texts in one step; False for each whose unit is not ours any more.

        Also True where they were left out since Redis is short of memory: readers have the
        results.
        """
        rows: list[Argument] = []
        for unit, pieces in entries:
            rows += (unit.job_id, unit.name, unit.attempt, pieces.model_dump_json())
        most_bytes, token = self._settings.max_stream_bytes, secrets.token_hex(4)
        reply = self._scripts.call("publish_pieces", worker, token, most_bytes, *rows)
        return [as_int(answer) == 1 for answer in as_list(reply)]

    def fail_job(self, unit: Unit, failure: "Failure") -> bool:
        """End the whole job as failed; False when the unit is not ours any more."""
        try:
            reply = self._scripts.call(
                "end_job", unit.job_id, "failed", failure.model_dump_json(), unit.name, unit.attempt
            )
        except ResponseError as error:
            quarantine_or_raise(self._scripts, unit, error)
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


class _Unreadable(Exception):
    """What a claim gave of a job is not what the ledger writes."""

    def __init__(self, job_id: bytes, why: Exception) -> None:
        super().__init__(job_id, why)
        self.job_id = job_id
        self.why = why


def _claim(reply: list[Reply]) -> Claim:
    """Return a claim, whose request and version are the first unit's job's. Raises _Unreadable."""
    rows, units = reply[3:], []
    row = rows[0]
    try:
        job = JOB.validate_json(as_bytes(reply[1]))
        version = int(text) if (text := as_text(reply[2])) else None
        for row in rows:
            units.append(_unit(row))
    except (ValueError, TypeError) as error:
        raise _Unreadable(as_bytes(as_list(row)[0]), error) from error
    return Claim(job, version, tuple(units))


def _is_later(request: Reply) -> bool:
    """True for a request of a later version of the wire format, whose workers may read it."""
    try:
        document = json.loads(as_bytes(request))
    except (ValueError, TypeError, RecursionError):
        return False
    version = document.get("schema_version") if isinstance(document, dict) else None
    return isinstance(version, int) and version > SCHEMA_VERSION


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
