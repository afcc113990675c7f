"""Reads the file that a job names, and adds its items to the ledger unit by unit.

Of a sweep it writes the combinations of its grid out, each a unit.

The intake is itself a unit with a lease. It runs in slices, so that the workers that are to
compute are not kept busy with reading, and stops when enough is waiting. A dead worker's
intake goes on elsewhere: units are numbered, and a number that is there is not added again.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from seqd.analysis.sweeps import combinations_of
from seqd.errors import (
    REDIS_ERRORS,
    InvalidInput,
    LeaseLost,
    UploadLost,
    UserError,
    failure_of,
)
from seqd.inputs import read_items, refuse_duplicates
from seqd.ledger.chunking import chunks_of
from seqd.ledger.units import Unit
from seqd.ledger.work import Claim
from seqd.settings import Settings
from seqd.worker.workbench import Workbench
from seqd_schemas import FileSource, Item, ItemChunk, Job, JobRecord, RefusedItem, SweepJob

log = logging.getLogger(__name__)

#: Units that one slice adds at most. About a second of reading for units of 512 reviews.
SLICE_UNITS = 32

#: Wait before another look when enough input is waiting already.
FULL_WAIT_S = 0.5


@dataclass(slots=True)
class _Reading:
    """A file that is open between two slices, and the number of the next unit."""

    chunks: Iterator[ItemChunk]
    next_unit: int
    #: A chunk that was read and did not fit.
    waiting: ItemChunk | None = None


class Intake:
    """Reads jobs' files; remembers where it is in the file that it read last."""

    def __init__(self, bench: Workbench, settings: Settings) -> None:
        self._bench = bench
        self._settings = settings
        self._job_id = ""
        self._reading: _Reading | None = None

    def run(self, claim: Claim) -> None:
        """Add a slice of a job's file; seals the job at the end of the file."""
        unit, job = claim.units[0], claim.job
        try:
            self._refuse_after_crashes(unit)
            self._run_slice(job, unit)
        except REDIS_ERRORS:
            raise
        except UserError as error:
            self._forget()
            if self._bench.ledger.work.fail_job(unit, failure_of(error)):
                self._bench.job_finished(unit.job_id)

    def _refuse_after_crashes(self, unit: Unit) -> None:
        if unit.crashes >= self._bench.max_attempts:
            raise InvalidInput(
                f"The worker died {unit.crashes} times while it read this job's file, which is as "
                "often as it is tried (SEQD_MAX_ATTEMPTS). Upload the items through a client."
            )

    def _run_slice(self, job: Job, unit: Unit) -> None:
        record = self._bench.ledger.jobs.get(unit.job_id)
        reading = self._open(job, unit, record)
        for _ in range(SLICE_UNITS):
            if self._bench.should_stop():
                break
            chunk = reading.waiting or next(reading.chunks, None)
            if chunk is None:
                if self._sealed(job, unit, reading.next_unit):
                    return
                break
            reading.waiting = chunk
            outcome = self._bench.ledger.submissions.append(
                job, unit.job_id, reading.next_unit, chunk
            )
            if outcome == "full":
                self._bench.ledger.work.put_back(unit, wait_s=FULL_WAIT_S)
                return
            if outcome == "behind":
                # Redis has lost units that it had acknowledged; they are read again.
                self._forget()
                break
            if outcome == "ended":
                self._forget()
                raise LeaseLost(f"Job {unit.job_id} takes no more input.")
            reading.waiting = None
            reading.next_unit += 1
        self._bench.ledger.work.put_back(unit)

    def _sealed(self, job: Job, unit: Unit, units: int) -> bool:
        """Declare the input complete; False when Redis has lost units, which are read again."""
        self._forget()
        submissions = self._bench.ledger.submissions
        try:
            submissions.seal(job, unit.job_id, units, intake_attempt=unit.attempt)
        except UploadLost as error:
            log.warning("reading again: %s", error)
            return False
        if self._bench.ledger.jobs.get(unit.job_id).state.is_terminal:
            self._bench.job_finished(unit.job_id)
        return True

    def _open(self, job: Job, unit: Unit, record: JobRecord) -> _Reading:
        """Go on where this worker left off, else read from the start up to the first new unit."""
        known = self._reading if self._job_id == unit.job_id else None
        if known is not None and known.next_unit == record.units:
            return known
        chunks = chunks_of(self._entries(job, unit), record.unit_items)
        # Cutting again from the start gives the same chunks, whoever cut them first.
        rest = islice(chunks, record.units, None)
        self._job_id, self._reading = unit.job_id, _Reading(rest, record.units)
        return self._reading

    def _entries(self, job: Job, unit: Unit) -> Iterator[Item | RefusedItem]:
        if isinstance(job, SweepJob):
            return (combination.item() for combination in combinations_of(job))
        source = job.source
        if not isinstance(source, FileSource):
            raise TypeError(f"job {unit.job_id} has an intake and no file")
        roots = self._settings.input_roots or ()
        entries = read_items(source, roots=roots, allow_empty=job.kind == "generate")
        return refuse_duplicates(entries)

    def _forget(self) -> None:
        self._job_id, self._reading = "", None
