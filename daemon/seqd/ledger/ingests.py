"""Ingests between two slices: for whom their unit is kept, and where they stand in their files.

A worker that has a file open goes on with it: the unit `ingest` is kept for it from one slice to
the next, for a bounded time. Whoever goes on instead finds in the ledger where the next unit
begins.
"""

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import cast

from seqd.ledger.exchange import Exchange, Part, Whole, command, exchange, script
from seqd.ledger.scripts import as_int, as_list, as_text
from seqd.ledger.units import Unit

#: Seconds for which an ingest is kept for its worker, from when it last asked: longer than most
#: claims compute. Then others read on, who open the file where the last unit ends.
KEEP_S = 10.0

#: Claimable units of a job that are enough for now, as many as a slice adds.
ENOUGH_UNITS = 32

#: Fewer say that units are computed as fast as they are read.
FEW_UNITS = 4


@dataclass(frozen=True, slots=True)
class IngestPosition:
    """Where in a job's file a unit ends, and how to tell that the file is still the same."""

    #: Units and entries of the job in front of it.
    units: int
    entries: int
    #: Bytes of the file's content in front of it, once inflated, and lines; of a folder, files.
    offset: int
    line: int
    #: Of the file, when it was opened.
    file_bytes: int
    modified_ns: int
    #: Of the units in front.
    checksum: int

    def items_left(self, inflation: int = 1) -> int:
        """Return how many items are probably behind it, by what those in front of it took.

        At least one, since nobody has seen the end; `inflation` is how many bytes of content a byte
        of the file holds.
        """
        left = self.file_bytes * inflation - self.offset
        return max(1, round(left * self.entries / self.offset)) if self.offset else 1

    def to_stored(self) -> str:
        """Return it as the field `ingest_position` of a job's hash has it."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def parse(cls, text: bytes) -> "IngestPosition | None":
        """Return what `to_stored` wrote; None for anything else."""
        try:
            return cls.of_row(json.loads(text))
        except ValueError:
            return None

    @classmethod
    def of_row(cls, row: object) -> "IngestPosition | None":
        """Return the position that an object of JSON is; None for anything else."""
        if not isinstance(row, dict):
            return None
        numbers = [row.get(field.name) for field in fields(cls)]
        whole = [number for number in numbers if type(number) is int and number >= 0]
        return cls(*whole) if len(whole) == len(numbers) else None


class Ingests(Part):
    """The workers' side of ingests, beside their claims and what they append."""

    def __init__(self, ledger: Whole) -> None:
        super().__init__(ledger)
        #: Claimable units of the job that `resume` leased last.
        self.claimable_units = 0

    @exchange
    def keep(self, unit: Unit) -> Exchange[bool]:
        """Release an ingest and keep it for its worker; False when it was not ours any more."""
        row = (unit.job_id, unit.attempt, int(KEEP_S * 1000))
        return as_int((yield from script("keep_ingest", *row))) == 1

    @exchange
    def resume(self, unit: Unit, worker: str) -> Exchange[Unit | bool]:
        """Lease an ingest again that is kept for `worker`.

        True when it is kept on, since enough is waiting; False when it is not ours any more.
        """
        lease_ms, keep_ms = int(self._ledger.settings.lease_s * 1000), int(KEEP_S * 1000)
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
