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
from pathlib import Path
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
from seqd.inputs.file_state import REWRITTEN, changed
from seqd.inputs.paths import compression_of, require_root
from seqd.ledger.ingests import FEW_UNITS
from seqd.ledger.units import Unit
from seqd.ledger.work import Claim
from seqd.settings import Settings
from seqd.worker.context import WorkerContext
from seqd.worker.faults import reading_fault, sentence_of
from seqd.worker.ingest_ranges import AddOutcome, SharedReading
from seqd.worker.ingest_reading import FileReading, Reading, SweepReading, rules_of
from seqd_schemas import FileSource, Job, SweepJob

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

#: Bytes of text that a byte of a compressed file holds, more or less: nobody knows before its end.
INFLATION = 3


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
        self._readings: OrderedDict[str, Reading | SharedReading] = OrderedDict()
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
            reason = self._change_behind(error, claim.job, unit)
            self._forget(unit)
            self._fail_or_release(unit, reason)

    def _change_behind(self, error: Exception, job: Job, unit: Unit) -> Exception:
        """Return what is wrong with a file: that it changed, whatever its parts seem to be then."""
        reading, source = self._readings.get(unit.job_id), job.source
        if isinstance(source, FileSource) and reading is not None and reading.has_changed():
            return changed(source.path, REWRITTEN)
        return error

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
            outcome = self._add_next(job, unit, reading)
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

    def _add_next(self, job: Job, unit: Unit, reading: Reading | SharedReading) -> AddOutcome:
        """Add the next unit, or several that others have read; `end` where there is none."""
        if isinstance(reading, SharedReading):
            return reading.add_next(unit)
        packed = reading.unit()
        if packed is None:
            return "end"
        outcome = self._context.ledger.submissions.append(
            job,
            unit.job_id,
            reading.next_unit,
            packed,
            ingest_attempt=unit.attempt,
            position=reading.position(),
        )
        if outcome == "added":
            reading.advance()
        return outcome

    def _keep_or_release(self, claim: Claim, unit: Unit, wait_s: float) -> None:
        """Have the unit kept for this worker while the file is open here, else release it."""
        ledger = self._context.ledger
        if (unread := self._unread_items(claim.job, unit)) is not None:
            ledger.backlog.note_unread(unit, unread)
        is_open = isinstance(self._readings.get(unit.job_id), FileReading | SharedReading)
        if not is_open or len(self._kept) >= MAX_OPEN or self._context.should_stop():
            ledger.work.release_unit(unit, wait_s=wait_s)
        elif ledger.ingests.keep(unit):
            self._kept[unit.job_id] = _Kept(claim, monotonic() + wait_s)

    def _unread_items(self, job: Job, unit: Unit) -> int | None:
        """Return how many items of the file are probably not read yet; None where it is closed."""
        reading = self._readings.get(unit.job_id)
        if not isinstance(reading, FileReading | SharedReading) or isinstance(job, SweepJob):
            return None
        source = job.source
        is_packed = isinstance(source, FileSource) and compression_of(Path(source.path)) is not None
        return reading.place.items_left(INFLATION if is_packed else 1)

    def _sealed(self, job: Job, unit: Unit, reading: Reading | SharedReading) -> bool:
        """Declare the input complete. Return False when Redis has lost units, to be read again."""
        self._forget(unit)
        submissions = self._context.ledger.submissions
        try:
            submissions.seal(job, unit.job_id, reading.next_unit, ingest_attempt=unit.attempt)
        except UploadLost as error:
            log.warning("reading again: %s", error)
            return False
        if self._context.ledger.jobs.get(unit.job_id).state.is_terminal:
            self._context.job_finished(unit.job_id)
        return True

    def _open(self, job: Job, unit: Unit) -> Reading | SharedReading:
        """Go on in the input that is open; else open it at the first new unit."""
        record = self._context.ledger.jobs.get(unit.job_id)
        known = self._readings.pop(unit.job_id, None)
        if known is None or known.next_unit != record.units or known.has_changed():
            if known is not None:
                known.close()
            known = self._opened(job, unit, record.unit_items, record.units)
        is_dry, self._dry_job = unit.job_id == self._dry_job, ""
        if is_dry and isinstance(known, FileReading) and self._can_be_shared(known):
            known = self._shared(job, unit, known, record.unit_items)
        self._readings[unit.job_id] = known
        if len(self._readings) > MAX_OPEN:
            self._readings.popitem(last=False)[1].close()
        return known

    def _can_be_shared(self, reading: FileReading) -> bool:
        """Return True where others can read parts of a file, and enough of it is left."""
        least = self._settings.shared_file_bytes
        return (
            reading.has_line_entries and reading.next_unit > 0 and 0 < least <= reading.bytes_left
        )

    def _shared(self, job: Job, unit: Unit, reading: FileReading, unit_items: int) -> SharedReading:
        """Go on with the help of other workers, which have less to compute than they could."""
        roots, worker = self._settings.input_roots or (), self._context.identity.name
        return SharedReading(
            self._context.ledger,
            worker,
            job,
            unit,
            reading,
            roots=roots,
            rules=rules_of(job, self._context.described),
            unit_items=unit_items,
        )

    def _opened(self, job: Job, unit: Unit, unit_items: int, units: int) -> Reading:
        if isinstance(job, SweepJob):
            return SweepReading(job, unit_items, units)
        source = job.source
        if not isinstance(source, FileSource):
            raise TypeError(f"job {unit.job_id} is to be ingested and names no file")
        roots = self._settings.input_roots or ()
        require_root(source.path, roots)
        return FileReading.opened(
            source,
            roots=roots,
            rules=rules_of(job, self._context.described),
            unit_items=unit_items,
            units=units,
            stored=self._context.ledger.ingests.position(unit.job_id) if units else None,
        )

    def _forget(self, unit: Unit) -> None:
        if reading := self._readings.pop(unit.job_id, None):
            reading.close()
