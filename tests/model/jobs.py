"""Jobs and units as the reference ledger holds them, and what can be told of one job alone."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from seqd_schemas import (
    Counts,
    Failure,
    Item,
    ItemChunk,
    ItemFailure,
    ItemSuccess,
    Job,
    JobState,
    TrainingResult,
)

Result = ItemSuccess | ItemFailure

#: What an event must say: attributes by name.
Event = dict[str, object]


@dataclass(frozen=True)
class Claimed:
    """A unit as a claim gave it to a worker; the attempt is its fencing token."""

    job_id: str
    name: str
    attempt: int
    worker: str
    items: tuple[Item, ...]
    first_index: int


@dataclass(eq=False)
class Unit:
    """A unit of work, or a part: `todo`, `leased`, `waiting` (backs off), `done`, `undone`."""

    name: str
    first_index: int
    items: tuple[Item, ...]
    input_bytes: int = 0
    place: str = "todo"
    attempt: int = 0
    #: Attempts that it has from the unit of which it is a part.
    carried: int = 0
    crashes: int = 0
    worker: str = ""
    #: When its lease or its back-off runs out.
    until_ms: int = 0
    results: tuple[Result, ...] = ()
    #: What it counts for, where that is not the number of its items.
    counts_for: int | None = None
    #: How often workers released it that were not fit for it, since when, and who did last.
    faults: tuple[int, int, str] | None = None
    #: How the last worker died that died with it.
    death: str = ""
    #: Where it stands among those that can be claimed.
    rank: int = 0

    @property
    def chunk(self) -> ItemChunk:
        """Its input."""
        return ItemChunk(first_index=self.first_index, items=self.items)

    @property
    def failed_items(self) -> list[Item]:
        """Those without an output, each with its position in the job that was handed in first."""
        failed = {one.custom_id for one in self.results if isinstance(one, ItemFailure)}
        return [
            item.model_copy(update={"index": index if item.index is None else item.index})
            for index, item in enumerate(self.items, self.first_index)
            if self.place != "done" or item.custom_id in failed
        ]

    @property
    def size(self) -> int:
        """How many items it counts for."""
        return len(self.items) if self.counts_for is None else self.counts_for

    @property
    def is_part(self) -> bool:
        """True of a part of a unit that was split."""
        return ":" in self.name

    def free(self, place: str, until_ms: int = 0) -> None:
        """End its lease."""
        self.place, self.worker, self.until_ms = place, "", until_ms


@dataclass(eq=False)
class ModelJob:
    """A job."""

    job_id: str
    request: Job
    version: int | None
    unit_items: int
    created_ms: int
    sealed: bool
    #: Units in order; each is a list of its parts, or of itself.
    units: list[list[Unit]] = field(default_factory=list)
    state: JobState = JobState.QUEUED
    #: Token of the upload that owns it; '' where none does.
    owner: str = ""
    #: When its client was last heard of.
    heard_ms: int = 0
    #: The unit that reads its file; how far it was read, and what is estimated to be left of it.
    ingest: Unit | None = None
    position: object = None
    unread: int = 0
    #: The attempt and the worker for which its ingest is kept between two slices.
    kept_for: tuple[int, str] | None = None
    max_units: int = 1_000
    ttl_s: int = 0
    started_ms: int | None = None
    ended_ms: int | None = None
    expires_ms: int | None = None
    #: Items that its end left undone.
    undone: int = 0
    failure: Failure | None = None
    plugin_versions: tuple[str, ...] = ()
    #: What a training made, and its checkpoints, the newest first.
    training: TrainingResult | None = None
    checkpoints: list[str] = field(default_factory=list)
    continued_by: str | None = None
    continues: str | None = None
    #: The open job that needs what is kept of this one.
    held_by: str | None = None
    is_small: bool = False
    #: Bytes of results, and once it has ended, of all that is kept.
    kept_bytes: int = 0
    events: list[Event] = field(default_factory=list)
    #: Bytes of each text delta that is kept; and their sum when one was written last.
    deltas: list[int] = field(default_factory=list)
    delta_bytes: int = 0
    deltas_until_ms: int = 0
    progress_ms: int = -(10**9)
    #: When a warning of its end, or of that of its results, is due: (time, what).
    warning: tuple[int, str] | None = None
    #: True where a queue may still have it though nothing of it can be claimed.
    may_linger: bool = False
    #: True once it had as many units under way as it may.
    was_capped: bool = False
    #: Units and parts that were replaced by others.
    split: list[Unit] = field(default_factory=list)

    @property
    def tenant(self) -> str:
        """On whose account it runs."""
        return self.request.tenant

    @property
    def model(self) -> str:
        """The name of its model."""
        return self.request.model.partition("@")[0]

    @property
    def is_open(self) -> bool:
        """True until it has ended."""
        return not self.state.is_terminal

    @property
    def parts(self) -> Iterator[Unit]:
        """All units in order, of those that were split their parts."""
        return (part for parts in self.units for part in parts)

    @property
    def claimed(self) -> Iterator[Unit]:
        """All that can be claimed: its parts, and what reads its file."""
        yield from self.parts
        if self.ingest is not None:
            yield self.ingest

    @property
    def leased(self) -> int:
        """How many units are under way."""
        return sum(unit.place == "leased" for unit in self.claimed)

    @property
    def failed_items(self) -> list[Item]:
        """The items that have no output, in order, each with its position in the first job."""
        return [item for part in self.parts for item in part.failed_items]

    @property
    def items(self) -> list[Item]:
        """All items in order."""
        return [item for part in self.parts for item in part.items]

    @property
    def results(self) -> Iterator[Result]:
        """All results in order that are committed."""
        return (result for part in self.parts for result in part.results)

    @property
    def pending_bytes(self) -> int:
        """Bytes of input that wait, or were left."""
        return sum(part.input_bytes for part in self.parts if part.place != "done")

    @property
    def counts(self) -> Counts:
        """Its items by outcome."""
        total = sum(part.size for part in self.parts)
        results = list(self.results)
        succeeded = sum(isinstance(result, ItemSuccess) for result in results)
        made = int(self.training is not None)
        has_expired = self.state is JobState.EXPIRED
        return Counts(
            total=total,
            succeeded=succeeded + made,
            errored=len(results) - succeeded,
            cancelled=0 if has_expired else self.undone,
            expired=self.undone if has_expired else 0,
            processing=total - len(results) - made - self.undone,
        )

    @property
    def units_done(self) -> int:
        """How many units are committed as a whole."""
        return sum(all(part.place == "done" for part in parts) for parts in self.units)

    @property
    def kept_until_ms(self) -> int | None:
        """Until when it is kept; None while it is open, or held."""
        if self.ended_ms is None or self.held_by is not None:
            return None
        return self.ended_ms + self.ttl_s * 1_000

    def is_kept_for(self, worker: str) -> bool:
        """True while the ingest is kept for a worker."""
        unit = self.ingest
        is_waiting = unit is not None and unit.place == "waiting"
        return is_waiting and unit is not None and self.kept_for == (unit.attempt, worker)

    def unit(self, name: str) -> Unit | None:
        """Return a unit or part by its name; None where there is none (any more)."""
        return next((unit for unit in self.claimed if unit.name == name), None)

    def whole(self, name: str) -> list[Unit]:
        """Return the parts of the unit that a name belongs to; none where there is no such unit."""
        number = number_of(name)
        return self.units[number] if number < len(self.units) else []

    def next_unit(self) -> Unit | None:
        """Return the unit that is claimed next: the lowest number, of parts by name."""
        todo = [unit for unit in self.claimed if unit.place == "todo"]
        return min(
            todo, key=lambda unit: (unit.rank or number_of(unit.name), unit.name), default=None
        )


def number_of(name: str) -> int:
    """Return the number of the unit that a name belongs to; that of a training is its only one."""
    number = name.partition(":")[0]
    return int(number) if number.isdecimal() else 0


@dataclass
class Range:
    """Units of a file that one worker reads ahead."""

    first: int
    units: int
    taken_ms: int = 0
    takes: int = 0
    worker: str | None = None


@dataclass
class Offers:
    """The ranges of a job, and what was read of them."""

    since_ms: int = 0
    until_ms: int = 0
    ranges: dict[int, Range] = field(default_factory=dict)
    #: Units that were read ahead, by number.
    ahead: dict[int, ItemChunk] = field(default_factory=dict)
