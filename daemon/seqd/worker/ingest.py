"""Ingests the file that a job names: reads it and adds its items to the ledger unit by unit.

Of a sweep it adds the combinations of its grid, each a unit.

Ingesting is itself a unit with a lease. It runs in slices, so that the workers that are to
compute are not kept busy with reading, and pauses when enough is waiting. Between two slices it is
kept for the worker that has the file open. Another goes on where a dead one was: units are
numbered, a number that is there is not added again, and where the next one begins is stored with
each.
"""

import logging
from collections import OrderedDict
from dataclasses import dataclass, replace
from time import monotonic

from seqd.errors import (
    REDIS_ERRORS,
    InvalidInput,
    LeaseLost,
    NoFitWorker,
    SeqdError,
    UploadLost,
    UserError,
)
from seqd.ledger.ingests import FEW_UNITS
from seqd.ledger.units import Unit
from seqd.ledger.work import Claim
from seqd.settings import Settings
from seqd.worker.context import WorkerContext
from seqd.worker.faults import reading_fault, sentence_of
from seqd.worker.ingest_ranges import file_of
from seqd.worker.ingest_reading import FileReading, Reading, SweepReading
from seqd_schemas import Job, JobRecord, SweepJob

log = logging.getLogger(__name__)

#: Units that one slice adds at most. About a second of reading for units of 512 reviews.
SLICE_UNITS = 32

#: Seconds until input is read again that could not be on one machine; doubles, up to the longest.
FIRST_FAULT_WAIT_S = 0.1
LONGEST_FAULT_WAIT_S = 5.0

#: Seconds until another slice when enough input is waiting already.
FULL_WAIT_S = 0.5

#: Files that a worker keeps open between slices; of more jobs each slice opens its file anew.
MAX_OPEN = 8

#: Seconds between two looks at whether it is time to read on in a file.
ASK_S = 0.02


@dataclass(slots=True)
class _Kept:
    """An ingest that is kept for this worker, and when to ask again whether to read on."""

    claim: Claim
    ask_at: float


class Ingest:
    """Reads jobs' files; keeps those open that it reads between two slices."""

    def __init__(self, context: WorkerContext, settings: Settings) -> None:
        self._context = context
        self._settings = settings
        self._readings: OrderedDict[str, Reading] = OrderedDict()
        self._kept: dict[str, _Kept] = {}
        #: The job that was resumed last, if its units are computed as fast as they are read.
        self._dry_job = ""

    @property
    def has_kept(self) -> bool:
        """True while an ingest is kept for this worker."""
        return bool(self._kept)

    def resume(self) -> Claim | None:
        """Return a claim of an ingest that is kept here, when it is time to read on."""
        now = monotonic()
        for job_id, kept in list(self._kept.items()):
            if now < kept.ask_at:
                continue
            (unit,) = kept.claim.units
            resumed = self._context.ledger.ingests.resume(unit, self._context.identity.name)
            if isinstance(resumed, Unit):
                del self._kept[job_id]
                is_dry = self._context.ledger.ingests.claimable_units < FEW_UNITS
                self._dry_job = job_id if is_dry else ""
                return replace(kept.claim, units=(resumed,))
            if resumed:
                kept.ask_at = now + ASK_S
            else:
                del self._kept[job_id]
        return None

    def release_kept(self) -> None:
        """Let others go on with what is kept here: this worker drains."""
        if self._kept:
            self._kept.clear()
            # Nothing else is in hand.
            self._context.ledger.work.release_worker(self._context.identity.name, crashed=False)

    def close(self) -> None:
        """Close files that nobody here goes on with: of jobs that ended, or that others read on."""
        for job_id in self._readings.keys() - self._kept.keys():
            self._readings.pop(job_id).close()

    def run(self, claim: Claim) -> None:
        """Add a slice of a job's file; seals the job at the end of the file."""
        unit = claim.units[0]
        self._kept.pop(unit.job_id, None)
        try:
            self._refuse_after_crashes(unit)
            self._run_slice(claim, unit)
        except REDIS_ERRORS:
            raise
        except (UserError, OSError, MemoryError) as error:
            reading = self._readings.get(unit.job_id)
            changed = None if reading is None else _change_of(reading)
            self._forget(unit)
            # Whatever its parts seem to be then: that it changed.
            self._fail_or_release(unit, changed or error)

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

    def _run_slice(self, claim: Claim, unit: Unit) -> None:
        job = claim.job
        reading = self._open(job, unit)
        wait_s = 0.0
        for _ in range(SLICE_UNITS):
            if self._context.should_stop():
                break
            outcome = reading.add_next(unit)
            if outcome == "end":
                if reading.check(self._context.should_stop) and self._sealed(job, unit, reading):
                    return
                break
            if outcome == "waits":
                wait_s = ASK_S
                break
            if outcome in ("full", "short"):
                wait_s = FULL_WAIT_S
                break
            if outcome == "behind":
                # Redis has lost units that it had acknowledged; they are read again.
                self._forget(unit)
                break
            if outcome == "ended":
                self._forget(unit)
                raise LeaseLost(f"Job {unit.job_id} takes no more input.")
        self._keep_or_release(claim, unit, wait_s)

    def _keep_or_release(self, claim: Claim, unit: Unit, wait_s: float) -> None:
        """Have the unit kept for this worker while the file is open here, else release it."""
        ledger, reading = self._context.ledger, self._readings.get(unit.job_id)
        unread = None if reading is None else reading.items_left
        if unread is not None:
            ledger.backlog.note_unread(unit, unread)
        if unread is None or len(self._kept) >= MAX_OPEN or self._context.should_stop():
            ledger.work.release_unit(unit, wait_s=wait_s)
        elif ledger.ingests.keep(unit):
            self._kept[unit.job_id] = _Kept(claim, monotonic() + wait_s)

    def _sealed(self, job: Job, unit: Unit, reading: Reading) -> bool:
        """Declare the input complete. Return False when Redis has lost units, to be read again."""
        self._forget(unit)
        submissions = self._context.ledger.submissions
        try:
            submissions.seal(job, unit.job_id, reading.next_unit, ingest_attempt=unit.attempt)
        except UploadLost as error:
            log.warning("reading again: %s", error)
            return False
        if self._context.ledger.jobs.get(unit.job_id).state.is_terminal:
            self._context.jobs_finished([unit.job_id])
        return True

    def _open(self, job: Job, unit: Unit) -> Reading:
        """Go on in the input that is open; else open it at the first new unit."""
        record = self._context.ledger.jobs.get(unit.job_id)
        known = self._readings.pop(unit.job_id, None)
        if known is None or known.next_unit != record.units or _change_of(known):
            if known is not None:
                known.close()
            known = self._opened(job, unit, record)
        is_dry, self._dry_job = unit.job_id == self._dry_job, ""
        least = self._settings.shared_file_bytes
        if is_dry and isinstance(known, FileReading) and 0 < least <= known.bytes_left:
            # Other workers have less to compute than they could.
            known.share(unit)
        self._readings[unit.job_id] = known
        if len(self._readings) > MAX_OPEN:
            self._readings.popitem(last=False)[1].close()
        return known

    def _opened(self, job: Job, unit: Unit, record: JobRecord) -> Reading:
        ledger, unit_items = self._context.ledger, record.unit_items
        if isinstance(job, SweepJob):
            return SweepReading(ledger, job, unit_items, record.units)
        file = file_of(job, self._context, self._settings)
        stored = ledger.ingests.position(unit.job_id)
        return FileReading(ledger, self._context.identity.name, job, file, unit_items, stored)

    def _forget(self, unit: Unit) -> None:
        if reading := self._readings.pop(unit.job_id, None):
            reading.close()


def _change_of(reading: Reading) -> InvalidInput | None:
    """Return what is different of an input since it was opened."""
    try:
        reading.refuse_changed()
    except InvalidInput as error:
        return error
    return None
