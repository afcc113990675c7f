"""Ingests the file that a job names: reads it and adds its items to the ledger unit by unit.

Of a sweep it adds the combinations of its grid, each a unit.

Ingesting is itself a unit with a lease. It runs in slices, so that the workers that are to
compute are not kept busy with reading, and pauses when enough is waiting. Between two slices it is
kept for the worker that has the file open. Another goes on where a dead one was: units are
numbered, a number that is there is not added again, and where the next one begins is stored with
each.

A unit is cut from the same entries whoever reads: so reading goes on at the end of any unit, and
other workers may read ahead of it, in the ranges that the holder of the ingest offers
(`ingest_ranges`). Where a unit really ends is known by whoever reads it. It is added only where the
one in front of it has ended, so a wrong guess costs time and no entry.

Whoever begins at a unit has not seen the identifiers in front. They are read at the end, and no
more of their records, before the input is declared complete.
"""

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from itertools import islice
from time import monotonic
from typing import Literal

from seqd.analysis.sweeps import combinations_of
from seqd.errors import (
    FILE_ERRORS,
    REDIS_ERRORS,
    InvalidInput,
    LeaseLost,
    Stopped,
    UploadLost,
)
from seqd.inputs.duplicates import DigestGuard, digests_of, refuse_suspects
from seqd.inputs.file_state import changed
from seqd.inputs.reading import InputFile
from seqd.inputs.streams import FilePosition
from seqd.ledger.blobs import PackedChunk, UnitReference, chunks_of
from seqd.ledger.ledger import Ledger
from seqd.ledger.ranges import FEW_UNITS, IngestPosition, Range, ReadUnit
from seqd.ledger.submissions import AppendOutcome
from seqd.ledger.units import Unit
from seqd.ledger.work import Claim
from seqd.settings import Settings
from seqd.worker.context import WorkerContext
from seqd.worker.ingest_ranges import (
    FileUnits,
    RangePlan,
    ReferenceUnits,
    file_of,
    read_range,
)
from seqd.worker.references import References
from seqd_schemas import FileSource, Job, JobRecord, SweepJob, output_folder_of

log = logging.getLogger(__name__)

#: Identifiers that are read in one slice, in about half a second, and between two looks at whether
#: to stop.
SLICE_IDS = 262_144
_CHECK_IDS = 4_096

#: Ranges, and bytes of the file, that are offered ahead of the unit that is next: so much is read
#: ahead and waits in Redis at most, compressed, and counts as the job's waiting input.
RANGES_AHEAD = 16
BYTES_AHEAD = 64 * 1024 * 1024

#: Bytes of text that a byte of a compressed file holds, more or less: nobody knows before its end.
INFLATION = 3

#: Seconds for which the ingest waits at most for a unit that another worker reads.
LONGEST_WAIT_S = 5.0

AddOutcome = AppendOutcome | Literal["waits", "end"]


class Reading:
    """A file, or a folder, from a position on; it stays open between two slices."""

    def __init__(
        self,
        ledger: Ledger,
        worker: str,
        job: Job,
        file: InputFile,
        unit_items: int,
        stored: IngestPosition | None,
    ) -> None:
        """`stored` is where the units end that were added; None where none was.

        Raises InvalidInput where it is not the file any more that those came from.
        """
        self._ledger = ledger
        self._job = job
        self._worker = worker
        self._file = file
        self._unit_items = unit_items
        source = job.source
        assert isinstance(source, FileSource), "others have no file"
        self._path = source.path
        #: How the file is cut.
        self._cut = FileUnits if output_folder_of(job) is None else ReferenceUnits
        #: Where the next unit begins, and where reading began here.
        self.place = self._start = self._place_behind(stored)
        #: Number of the unit that is added next.
        self.next_unit = self.place.units
        self._units = self._cut(file, self.place, unit_items)
        self._guard = DigestGuard()
        self._in_front: Generator[str] | None = None
        #: Where others may read ahead; None while this worker reads alone.
        self._plan: RangePlan | None = None
        self._offered = deque[Range]()
        #: When what is next began to be waited for; None where it is not.
        self._waits_since: float | None = None
        #: False once what others have read did not fit together.
        self._can_be_shared = file.has_line_entries and self._cut is FileUnits

    def _place_behind(self, stored: IngestPosition | None) -> IngestPosition:
        state = self._file.state
        begin = IngestPosition(0, 0, 0, 0, state.size_bytes, state.modified_ns, checksum=0)
        if stored is None:
            return begin
        if state.size_bytes != stored.file_bytes:
            raise changed(self._path, "it has another size")
        if state.modified_ns == stored.modified_ns:
            return stored
        # Perhaps a copy on another machine, with a time of its own: its units tell.
        units = self._cut(self._file, begin, self._unit_items)
        while units.place.units < stored.units and units.unit() is not None:
            units.advance()
        if units.place != replace(stored, modified_ns=state.modified_ns):
            raise changed(self._path, "its first units are others")
        return units.place

    @property
    def bytes_left(self) -> int:
        """Bytes of a plain file that are not in units yet."""
        return self.place.file_bytes - self.place.offset

    @property
    def items_left(self) -> int:
        """How many items of the file are probably not read yet."""
        return self.place.items_left(INFLATION if self._file.is_compressed else 1)

    def share(self, unit: Unit) -> None:
        """Let others read ahead where any part of the file can be read alone."""
        if self._can_be_shared and self._plan is None and self.next_unit:
            self._plan = RangePlan(self._file, self.place, self._unit_items)
            self._offered.clear()
            self._ledger.ranges.offer(unit, (), anew=True)

    def add_next(self, unit: Unit) -> AddOutcome:
        """Add the next unit, or several that others have read.

        `waits` where others read what is next, `end` where there is none. Raises DuplicateCustomId,
        and InvalidInput where the file was written to.
        """
        self._file.refuse_changed()
        shared = None if self._plan is None else self._add_shared(unit, self._plan)
        return shared or self._add_here(unit)

    def _add_here(self, unit: Unit) -> AddOutcome:
        """Read the next unit, and add it."""
        if self._units.place != self.place:
            self._units = self._cut(self._file, self.place, self._unit_items)
        read = self._units.unit()
        if read is None:
            return "end"
        behind = read.where.end_behind(self.place)
        assert behind is not None, "it was read at this place"
        outcome = self._append(unit, read.packed, behind)
        if outcome == "added":
            self._units.advance()
            self._go_on(behind, read.digests)
        return outcome

    def _add_shared(self, unit: Unit, plan: RangePlan) -> AddOutcome | None:
        """Add what others have read, or read ahead with them; None to read the next unit here."""
        if found := self._ledger.ranges.ahead(unit.job_id, self.next_unit):
            return self._add_ahead(unit, found)
        self._offer_more(unit, plan)
        since = self._waits_since
        if not self._offered or (since is not None and monotonic() - since > LONGEST_WAIT_S):
            # At the end of the file, or where only reading tells where the unit ends; or what was
            # offered is lost.
            self._plan = None
            return None
        taken = self._ledger.ranges.take_of(unit.job_id, self._worker)
        if taken is None:
            self._waits_since = self._waits_since or monotonic()
            return "waits"
        units = FileUnits(self._file, taken.range.begins, taken.unit_items)
        outcome = read_range(self._ledger.ranges, self._worker, units, taken)
        return None if outcome == "full" else "added"

    def _add_ahead(self, unit: Unit, found: list[tuple[ReadUnit, bytes]]) -> AddOutcome | None:
        """Add units that were read ahead, as far as each begins where the one in front ends."""
        outcome: AppendOutcome | None = None
        for where, digests in found:
            behind = where.end_behind(self.place)
            if behind is None:
                break
            outcome = self._append(unit, None, behind, where.size)
            if outcome != "added":
                return None if outcome == "missing" else outcome
            self._go_on(behind, digests)
        if outcome is None:
            log.info("job=%s is read by one worker from unit=%d on", unit.job_id, self.next_unit)
            self._plan, self._can_be_shared = None, False
            self._ledger.ranges.offer(unit, (), anew=True)
        return outcome

    def _offer_more(self, unit: Unit, plan: RangePlan) -> None:
        """Offer ranges up to so many ahead, half of them at a time."""
        offered = self._offered
        while offered and offered[0].begins.units + offered[0].units <= self.next_unit:
            offered.popleft()
        if len(offered) > RANGES_AHEAD // 2:
            return
        fresh = list[Range]()
        while (
            len(offered) + len(fresh) < RANGES_AHEAD
            and plan.offset - self.place.offset < BYTES_AHEAD
            and (one := plan.range())
        ):
            fresh.append(one)
        if fresh:
            self._ledger.ranges.offer(unit, fresh)
            offered += fresh

    def _append(
        self,
        unit: Unit,
        packed: PackedChunk | UnitReference | None,
        behind: IngestPosition,
        ahead_items: int = 0,
    ) -> AppendOutcome:
        """Add a unit, or one that was read ahead; the next one begins `behind` it."""
        return self._ledger.submissions.append(
            self._job,
            unit.job_id,
            self.next_unit,
            packed,
            ingest_attempt=unit.attempt,
            position=behind.to_stored(),
            ahead_items=ahead_items,
        )

    def _go_on(self, behind: IngestPosition, digests: bytes) -> None:
        self.place, self.next_unit, self._waits_since = behind, behind.units, None
        self._guard.add(digests)
        self._refuse_suspects(lambda: False)

    def check(self, should_stop: Callable[[], bool]) -> bool:
        """Check the identifiers in front, of which others saw the units come.

        False when another slice has to go on. Raises DuplicateCustomId, and InvalidInput where the
        file was written to.
        """
        if self._cut is ReferenceUnits:
            return True  # nobody has read them
        if self._in_front is None:
            self._in_front = self._file.identifiers(_position(self._start))
        for _ in range(0, SLICE_IDS, _CHECK_IDS):
            if should_stop():
                return False
            some = list(islice(self._in_front, _CHECK_IDS))
            self._guard.add(digests_of(some))
            if len(some) < _CHECK_IDS:
                self._guard.finish()
                self._refuse_suspects(should_stop)
                self._file.refuse_changed()
                return True
        return False

    def _refuse_suspects(self, should_stop: Callable[[], bool]) -> None:
        """Look for what came twice by its digest, from the start of the file."""

        def check() -> None:
            if should_stop():
                raise Stopped("asked to stop while an identifier was looked for")

        if suspects := self._guard.suspects:
            refuse_suspects(self._file.identifiers(_position(self.place)), suspects, check)
            suspects.clear()

    def refuse_changed(self) -> None:
        """Raise InvalidInput where the open file was written to.

        One that another file has taken the place of is read to its end as it was.
        """
        self._file.refuse_changed()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _position(place: IngestPosition) -> FilePosition:
    return FilePosition(place.offset, place.line)


#: Units that one slice adds at most. About a second of reading for units of 512 reviews.
SLICE_UNITS = 32

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
        self._references = References(context, settings)
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
            if unit.crashes >= self._context.max_attempts:
                raise InvalidInput(
                    f"The worker died {unit.crashes} times while it read this job's file, which is "
                    "as often as it is tried (SEQD_MAX_ATTEMPTS). Upload the items through a "
                    "client."
                )
            if isinstance(claim.job, SweepJob):
                self._add_combinations(claim.job, unit)
            else:
                self._run_slice(claim, unit)
        except REDIS_ERRORS:
            raise
        except (*FILE_ERRORS, MemoryError) as error:
            reading = self._readings.get(unit.job_id)
            changed = None if reading is None else _change_of(reading)
            self._forget(unit)
            # Whatever its parts seem to be then: that it changed.
            self._references.fail_or_release(unit, changed or error)

    def _run_slice(self, claim: Claim, unit: Unit) -> None:
        job = claim.job
        reading = self._open(job, unit)
        wait_s = 0.0
        for _ in range(SLICE_UNITS):
            if self._context.should_stop():
                break
            outcome = reading.add_next(unit)
            if outcome == "end":
                if not self._references.is_whole(claim, unit, reading.next_unit):
                    wait_s = FULL_WAIT_S
                elif reading.check(self._context.should_stop):
                    self._forget(unit)
                    if self._sealed(job, unit, reading.next_unit):
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

    def _add_combinations(self, job: SweepJob, unit: Unit) -> None:
        """Add the combinations of a sweep that are not there yet, each made in no time."""
        ledger = self._context.ledger
        record = ledger.jobs.get(unit.job_id)
        items = (combination.item() for combination in combinations_of(job))
        number = record.units
        for chunk in islice(chunks_of(items, record.unit_items), number, None):
            if self._context.should_stop():
                ledger.work.release_unit(unit)
                return
            outcome = ledger.submissions.append(
                job, unit.job_id, number, PackedChunk(chunk), ingest_attempt=unit.attempt
            )
            if outcome == "ended":
                raise LeaseLost(f"Job {unit.job_id} takes no more input.")
            if outcome != "added":  # enough is waiting, or Redis has lost units
                ledger.work.release_unit(unit, wait_s=FULL_WAIT_S)
                return
            number += 1
        if not self._sealed(job, unit, number):
            ledger.work.release_unit(unit)

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

    def _sealed(self, job: Job, unit: Unit, units: int) -> bool:
        """Declare the input complete. Return False when Redis has lost units, to be read again."""
        submissions = self._context.ledger.submissions
        try:
            submissions.seal(job, unit.job_id, units, ingest_attempt=unit.attempt)
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
        if is_dry and 0 < least <= known.bytes_left:
            # Other workers have less to compute than they could.
            known.share(unit)
        self._readings[unit.job_id] = known
        if len(self._readings) > MAX_OPEN:
            self._readings.popitem(last=False)[1].close()
        return known

    def _opened(self, job: Job, unit: Unit, record: JobRecord) -> Reading:
        ledger = self._context.ledger
        file = file_of(job, self._context, self._settings)
        stored = ledger.ingests.position(unit.job_id)
        self._references.begin(job, unit, file, is_first=stored is None)
        worker, unit_items = self._context.identity.name, record.unit_items
        return Reading(ledger, worker, job, file, unit_items, stored)

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
