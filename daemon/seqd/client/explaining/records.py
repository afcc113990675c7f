"""`Explanation`: what `Client.explain` returns."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from seqd_schemas import ItemFailure, ItemSuccess, JobState


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened to the job."""

    #: `accepted`, `started`, `progress`, `paused`, `ended`, `expires` or `kept_until`.
    what: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class UnitCounts:
    """The units of a job, by where they stand."""

    #: Units known so far; more may come while the input is not complete.
    known: int
    done: int
    in_hand: int
    waiting: int
    backing_off: int
    #: Units that were claimed more than once.
    tried_again: int
    is_input_complete: bool
    #: True where there were more than were counted.
    is_partial: bool


@dataclass(frozen=True, slots=True)
class UnitInHand:
    """A unit that a worker holds."""

    unit: str
    worker: str
    attempt: int
    #: Seconds since it was claimed; None where its worker has reported nothing since.
    held_s: float | None
    #: Seconds until the lease runs out, unless the worker renews it.
    lease_left_s: float | None
    #: False where the worker is not heard of any more.
    is_worker_up: bool
    #: True where it is up by its parent alone, which renews: as while it computes without letting
    #: its other threads run.
    is_renewed: bool = False


@dataclass(frozen=True, slots=True)
class UnitTriedAgain:
    """A unit that was claimed more than once, or whose worker died, and why."""

    unit: str
    attempts: int
    #: Times that a worker died or went silent with it.
    crashes: int
    #: Times that a worker that was not fit for it released it, and the last that did.
    released: int
    released_by: str | None
    #: How the last worker died with it: a `seqd_schemas.DeathCause`, and a sentence.
    death_cause: str | None
    death_message: str | None
    #: Seconds until it is claimable again, where it backs off.
    due_in_s: float | None
    held_by: str | None


@dataclass(frozen=True, slots=True)
class WorkerAnswer:
    """Whether a worker that is up can run the job, and what it does now."""

    worker: str
    #: `idle`, `busy`, or why it cannot: `cordoned`, `draining`, `starting`, `no_plugin`, `broken`,
    #: `disabled`, `slot`, `left_out`, `later_version` or the code of an unfit version.
    code: str
    message: str

    @property
    def can_run(self) -> bool:
        """True where it can run the job."""
        return self.code in ("idle", "busy")


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that the job waits for."""

    #: `model_paused`, `no_worker`, `not_served`, `not_placed`, `unfit`, `starting`, `paused`,
    #: `upload`, `reading`, `busy`, `back_off`, `max_units`, `redis_full`, `turn`, `dead_worker`,
    #: `stopped_worker` or `no_writes`.
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ItemExplanation:
    """Where one item of the job stands."""

    custom_id: str
    #: Its place in the input, counted from 1; None where that is not known.
    number: int | None
    unit: str | None
    #: `waiting`, `in_hand`, `backing_off`, `succeeded`, `errored`, or that of the job.
    state: str
    #: A sentence: who has it, or its result or error, and why.
    message: str
    worker: str | None = None
    attempts: int = 0
    crashes: int = 0
    death_cause: str | None = None
    death_message: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    #: Its output or its error, where it has one.
    result: ItemSuccess | ItemFailure | None = None
    #: Versions of the model that may have computed it.
    versions: tuple[int, ...] = ()
    #: Units that were read to find it.
    units_read: int = 0


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a job stands where it does."""

    job_id: str
    state: JobState
    kind: str
    model: str
    tenant: str
    priority: str
    #: One sentence: the state, and the first reason for it.
    headline: str
    timeline: tuple[Moment, ...]
    units: UnitCounts
    #: At most `MAX_LISTED`, those with most attempts first.
    in_hand: tuple[UnitInHand, ...]
    tried_again: tuple[UnitTriedAgain, ...]
    waits_for: tuple[Reason, ...]
    #: Workers that are up, those that can run it first; at most `MAX_ANSWERS`.
    workers: tuple[WorkerAnswer, ...]
    #: Workers that are up, and those of them that can run it.
    workers_up: int
    workers_able: int
    #: Units in hand of workers, by job, of those that can run it; `MAX_LISTED` jobs at most.
    busy_with: Mapping[str, int]
    #: What happens next, in words.
    next: tuple[str, ...]
    #: Seconds to its end by measured rates; None where that is not known.
    left_s: float | None
    #: False where the rate is a default, since it was never measured.
    is_measured: bool
    item: ItemExplanation | None = None
    #: Items that failed, by code: of the newest 1,000 dead letters.
    errors: Mapping[str, int] = field(default_factory=dict)
    #: Why Redis takes no writes just now, so that workers look silent; None where it does.
    takes_no_writes: str | None = None

    def as_json(self) -> dict[str, object]:
        """Return it as a program reads it; a unit has `held_s` where that is known."""
        held = [_as_json(unit) for unit in self.in_hand]
        return {**asdict(self), "state": self.state.value, "in_hand": held}


def _as_json(unit: UnitInHand) -> dict[str, object]:
    row = asdict(unit)
    if unit.held_s is None:
        del row["held_s"]
    return row
