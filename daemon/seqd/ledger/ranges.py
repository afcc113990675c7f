"""How a job's file is ingested: where one worker stands in it, and ranges that others read.

An ingest that has a file open goes on with it: its unit is kept for it from one slice to the next,
for a bounded time. Whoever goes on instead finds here where the next unit begins. The worker that
holds a job's unit `ingest` offers ranges, each of whole units. Others take and read them, and put
their units where the ingest finds them. It alone adds them to the job, in the order of the file,
each only where the one in front of it ends at the place where it begins. So ranges promise nothing:
a worker that dies, reads another file or is never seen again costs time.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, cast
from zlib import crc32

from pydantic import Field, TypeAdapter, ValidationError

from seqd.ledger.control import script_past_damage
from seqd.ledger.exchange import Argument, Exchange, Part, Whole, command, exchange, script
from seqd.ledger.scripts import (
    as_bytes,
    as_int,
    as_list,
    as_text,
)
from seqd.ledger.units import Unit

#: A number that a file states.
_Number = Annotated[int, Field(ge=0)]

#: Units that are looked for at once of those that were read ahead.
LOOKED_FOR_AT_ONCE = 8

ReadOutcome = Literal["read", "full", "lost"]

#: Seconds for which an ingest is kept for its worker, from when it last asked: longer than most
#: claims compute. Then others read on, who open the file where the last unit ends.
_KEEP_S = 10.0

#: Claimable units of a job that are enough for now, as many as a slice adds.
ENOUGH_UNITS = 32

#: Fewer say that units are computed as fast as they are read.
FEW_UNITS = 4


@dataclass(frozen=True, slots=True)
class IngestPosition:
    """Where in a job's file a unit ends, and how to tell that the file is still the same."""

    #: Units and entries of the job in front of it.
    units: _Number
    entries: _Number
    #: Bytes of the file's content in front of it, once inflated, and lines; of a folder, files.
    offset: _Number
    line: _Number
    #: Of the file, when it was opened.
    file_bytes: _Number
    modified_ns: _Number
    #: Of the units in front.
    checksum: _Number

    def items_left(self, inflation: int = 1) -> int:
        """Return how many items are probably behind it, by what those in front of it took.

        At least one, since nobody has seen the end; `inflation` is how many bytes of content a byte
        of the file holds.
        """
        left = self.file_bytes * inflation - self.offset
        return max(1, round(left * self.entries / self.offset)) if self.offset else 1

    def to_stored(self) -> str:
        """Return it as the field `ingest_position` of a job's hash has it."""
        return _POSITION.dump_json(self).decode()

    @classmethod
    def parse(cls, text: bytes) -> "IngestPosition | None":
        """Return what `to_stored` wrote; None for anything else."""
        try:
            return _POSITION.validate_json(text, strict=True)
        except ValidationError:
            return None


_POSITION = TypeAdapter(IngestPosition)
_PLACES = TypeAdapter(tuple[IngestPosition, IngestPosition])


class Ingests(Part):
    """The workers' side of ingests, beside their claims and what they append."""

    def __init__(self, ledger: Whole) -> None:
        super().__init__(ledger)
        #: Claimable units of the job that `resume` leased last.
        self.claimable_units = 0

    @exchange
    def keep(self, unit: Unit) -> Exchange[bool]:
        """Release an ingest and keep it for its worker; False when it was not ours any more."""
        row = (unit.job_id, unit.attempt, int(_KEEP_S * 1000))
        return as_int((yield from script("keep_ingest", *row))) == 1

    @exchange
    def resume(self, unit: Unit, worker: str) -> Exchange[Unit | bool]:
        """Lease an ingest again that is kept for `worker`.

        True when it is kept on, since enough is waiting; False when it is not ours any more.
        """
        lease_ms, keep_ms = int(self._ledger.settings.lease_s * 1000), int(_KEEP_S * 1000)
        row = (unit.job_id, worker, unit.attempt, lease_ms, ENOUGH_UNITS, keep_ms)
        reply = as_list((yield from script("resume_ingest", *row)))
        outcome = as_text(reply[0])
        if outcome != "leased":
            return outcome == "wait"
        attempt, crashes, self.claimable_units = (as_int(number) for number in reply[1:])
        return replace(unit, attempt=attempt, crashes=crashes, started_job=False)

    @exchange
    def position(self, job_id: str) -> Exchange[IngestPosition | None]:
        """Return where a job's file was read to.

        None where nobody has noted it that this release understands: then it is read from the
        start up to the first new unit.
        """
        found = yield from command("HGET", self._keys.job(job_id), "ingest_position")
        text = cast(bytes | None, found)
        return IngestPosition.parse(text) if text else None


@dataclass(frozen=True, slots=True)
class Range:
    """Units of a file that one worker reads; a guess, which the units themselves confirm."""

    begins: IngestPosition
    units: int


@dataclass(frozen=True, slots=True)
class TakenRange:
    """A range that a worker has taken, with what it has to know of its job."""

    job_id: str
    #: The job's request, as it is stored.
    request: bytes
    unit_items: int
    range: Range


@dataclass(frozen=True, slots=True)
class ReadUnit:
    """Where a unit begins and ends, by what the file was when it was read."""

    begins: IngestPosition
    #: Its checksum is that of this unit alone.
    ends: IngestPosition

    @property
    def size(self) -> int:
        """Number of its entries."""
        return self.ends.entries - self.begins.entries

    def end_behind(self, place: IngestPosition) -> IngestPosition | None:
        """Return where it ends when it is added at `place`; None where it does not begin there."""
        if replace(self.begins, checksum=place.checksum) != place:
            return None
        # Of all units up to and with it, by that of those before and its own.
        return replace(self.ends, checksum=crc32(b"%d" % self.ends.checksum, place.checksum))

    def to_stored(self) -> str:
        """Return it as the field `UNIT place` has it."""
        return _PLACES.dump_json((self.begins, self.ends)).decode()

    @classmethod
    def parse(cls, text: bytes) -> "ReadUnit | None":
        """Return what `to_stored` wrote; None for anything else."""
        try:
            return cls(*_PLACES.validate_json(text, strict=True))
        except ValidationError:
            return None


class Ranges(Part):
    """Offers, takes and reads ranges, and finds what was read."""

    @exchange
    def offer(self, unit: Unit, ranges: Sequence[Range], *, anew: bool = False) -> Exchange[bool]:
        """Offer ranges of the file that `unit` ingests; False when it is not ours any more.

        With `anew`, what was offered and read before is forgotten.
        """
        rows: list[Argument] = []
        for one in ranges:
            rows += (one.begins.units, one.units, one.begins.to_stored())
        offered = (unit.job_id, unit.attempt, int(anew), *rows)
        return as_int((yield from script_past_damage("offer_ranges", *offered))) == 1

    @exchange
    def take(
        self, worker: str, queues: Sequence[str], *, but_of: Collection[str] = ()
    ) -> Exchange[TakenRange | None]:
        """Take a range of a job of these queues, `but_of` those jobs; None when there is none."""
        return (yield from _taken(worker, "", len(but_of), *but_of, *queues))

    @exchange
    def take_of(self, job_id: str, worker: str) -> Exchange[TakenRange | None]:
        """Take the first free range of the job whose ingest the worker holds."""
        return (yield from _taken(worker, job_id, 0))

    @exchange
    def release(self, taken: TakenRange, worker: str) -> Exchange[None]:
        """Let another take a range that is not read on here."""
        first = taken.range.begins.units
        yield from script_past_damage("release_range", taken.job_id, first, worker)

    @exchange
    def put(
        self, taken: TakenRange, worker: str, unit: ReadUnit, blob: bytes, digests: bytes
    ) -> Exchange[ReadOutcome]:
        """Put a unit of a range where the ingest finds it; `digests` are its identifiers'."""
        first, number = taken.range.begins.units, unit.begins.units
        row = (taken.job_id, first, worker, number, blob, unit.to_stored(), digests)
        most = self._ledger.settings.max_pending_bytes
        return cast(ReadOutcome, as_text((yield from script_past_damage("read_ahead", *row, most))))

    @exchange
    def ahead(self, job_id: str, first: int) -> Exchange[list[tuple[ReadUnit, bytes]]]:
        """Return the next units that were read ahead, from number `first` on, with their digests.

        Ends at the first that is not there.
        """
        names = [
            name
            for number in range(first, first + LOOKED_FOR_AT_ONCE)
            for name in (f"{number} place", f"{number} ids")
        ]
        row = yield from command("HMGET", self._keys.ahead(job_id), *names)
        values = cast(list[bytes | None], row)
        found = []
        for place, digests in zip(values[::2], values[1::2], strict=True):
            unit = ReadUnit.parse(place) if place else None
            if unit is None or digests is None:
                break
            found.append((unit, digests))
        return found


def _taken(*arguments: Argument) -> Exchange[TakenRange | None]:
    row = as_list((yield from script_past_damage("take_range", *arguments)))
    if not row:
        return None
    begins = IngestPosition.parse(as_bytes(row[5]))
    if begins is None:
        return None
    chosen = Range(begins, as_int(row[4]))
    return TakenRange(as_text(row[0]), as_bytes(row[1]), as_int(row[2]), chosen)
