"""Ingests the file that a job names: reads it and adds its items to the ledger unit by unit.

Of a sweep it adds the combinations of its grid, each a unit.

Ingesting is itself a unit with a lease. It runs in slices, so that the workers that are to
compute are not kept busy with reading, and pauses when enough is waiting. Another worker goes on
where a dead one was: units are numbered, and a number that is there is not added again.
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
    NoFitWorker,
    SeqdError,
    UploadLost,
    UserError,
)
from seqd.inputs.duplicates import refuse_duplicates
from seqd.inputs.paths import require_root
from seqd.inputs.reading import read_items
from seqd.ledger.blobs import chunks_of
from seqd.ledger.work import Claim, Unit
from seqd.settings import Settings
from seqd.worker.context import WorkerContext
from seqd.worker.faults import reading_fault, sentence_of
from seqd_schemas import FileSource, Item, ItemChunk, Job, JobRecord, RefusedItem, SweepJob

log = logging.getLogger(__name__)

#: Units that one slice adds at most. About a second of reading for units of 512 reviews.
SLICE_UNITS = 32

#: Seconds until input is read again that could not be on one machine; doubles, up to the longest.
FIRST_FAULT_WAIT_S = 0.1
LONGEST_FAULT_WAIT_S = 5.0

#: Seconds until another slice when enough input is waiting already.
FULL_WAIT_S = 0.5


@dataclass(slots=True)
class _Reading:
    """A file that is open between two slices, and the number of the next unit."""

    chunks: Iterator[ItemChunk]
    next_unit: int
    #: A chunk that was read and did not fit.
    waiting: ItemChunk | None = None


class Ingest:
    """Reads jobs' files; keeps open the file that it read last."""

    def __init__(self, context: WorkerContext, settings: Settings) -> None:
        self._context = context
        self._settings = settings
        self._job_id = ""
        self._reading: _Reading | None = None

    def run(self, claim: Claim) -> None:
        """Add a slice of a job's file; seals the job at the end of the file."""
        unit = claim.units[0]
        try:
            self._refuse_after_crashes(unit)
            self._run_slice(claim.job, unit)
        except REDIS_ERRORS:
            raise
        except (UserError, OSError, MemoryError) as error:
            self._forget()
            self._fail_or_release(unit, error)

    def _fail_or_release(self, unit: Unit, error: Exception) -> None:
        """Release the unit where this machine cannot read what another may; else fail the job.

        Such as a share that is not mounted here. Nobody's input waits longer for it than
        `unfit_grace_s`.
        """
        code = reading_fault(error)
        count, age_s = (unit.faults.count, unit.faults.age_s) if unit.faults else (0, 0.0)
        if code is not None and age_s < self._settings.unfit_grace_s:
            log.error("input of job=%s not read here code=%s: %s", unit.job_id, code, error)
            wait_s = min(FIRST_FAULT_WAIT_S * 2.0 ** min(count, 30), LONGEST_FAULT_WAIT_S)
            worker = self._context.identity.name
            self._context.ledger.work.release_unit(unit, wait_s=wait_s, faulted_by=worker)
            return
        if not isinstance(error, SeqdError):
            error = NoFitWorker(
                f"The input could not be read on worker {self._context.identity.name}, nor on any "
                f"that tried it before: {sentence_of(error)}. Mend that and hand the job in again."
            )
        self._context.fail_job(unit, error)

    def _refuse_after_crashes(self, unit: Unit) -> None:
        if unit.crashes >= self._context.max_attempts:
            raise InvalidInput(
                f"The worker died {unit.crashes} times while it read this job's file, which is as "
                "often as it is tried (SEQD_MAX_ATTEMPTS). Upload the items through a client."
            )

    def _run_slice(self, job: Job, unit: Unit) -> None:
        ledger = self._context.ledger
        reading = self._open(job, unit, ledger.jobs.get(unit.job_id))
        for _ in range(SLICE_UNITS):
            if self._context.should_stop():
                break
            chunk = reading.waiting or next(reading.chunks, None)
            if chunk is None:
                if self._sealed(job, unit, reading.next_unit):
                    return
                break
            reading.waiting = chunk
            outcome = ledger.submissions.append(
                job, unit.job_id, reading.next_unit, chunk, ingest_attempt=unit.attempt
            )
            if outcome == "full":
                ledger.work.release_unit(unit, wait_s=FULL_WAIT_S)
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
        ledger.work.release_unit(unit)

    def _sealed(self, job: Job, unit: Unit, units: int) -> bool:
        """Declare the input complete. Return False when Redis has lost units, to be read again."""
        self._forget()
        submissions = self._context.ledger.submissions
        try:
            submissions.seal(job, unit.job_id, units, ingest_attempt=unit.attempt)
        except UploadLost as error:
            log.warning("reading again: %s", error)
            return False
        if self._context.ledger.jobs.get(unit.job_id).state.is_terminal:
            self._context.job_finished(unit.job_id)
        return True

    def _open(self, job: Job, unit: Unit, record: JobRecord) -> _Reading:
        """Go on in the file that is open, else read from the start up to the first new unit."""
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
            raise TypeError(f"job {unit.job_id} is to be ingested and names no file")
        roots = self._settings.input_roots or ()
        require_root(source.path, roots)
        entries = read_items(source, roots=roots, allow_empty=job.kind == "generate")
        return refuse_duplicates(entries)

    def _forget(self) -> None:
        self._job_id, self._reading = "", None
