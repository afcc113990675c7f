"""What a child counts of its work: for its status, for autoscaling, and for metrics.

For metrics a claim takes a few microseconds: its series are looked up once, and then numbers in
memory are added to. Off, it takes nothing.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from threading import Lock
from time import monotonic
from typing import Final, Literal

from seqd.kinds import TRAIN
from seqd.ledger.units import Unit
from seqd.worker.channel import Channel
from seqd.worker.logs import try_now
from seqd_schemas import (
    ItemFailure,
    ItemSuccess,
    ModelReference,
    UnfitCode,
    WorkerStatus,
    WorkTotals,
)

#: Tasks of models that have labels of their own; the others of a task count as this model.
MOST_ROUTES: Final = 100
OTHER: Final = "other"

#: Upper bounds of the buckets of all histograms, in seconds. One is above all of them, and behind
#: the buckets stands the sum.
BOUNDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0, 3600.0)
_SUM: Final = len(BOUNDS) + 1
HISTOGRAM: Final = _SUM + 1

Stage = Literal["read", "load", "compute", "commit"]
STAGES: Final[tuple[Stage, ...]] = ("read", "load", "compute", "commit")


#: Units of which all the time is one stage.
_WHOLE: Final[dict[str, Stage]] = {"ingest": "read", TRAIN: "compute"}


@dataclass(slots=True)
class WorkerStats:
    """What a child has done with items since it started, for its status; see `WorkTotals`.

    Written to by the thread that works, read by the thread that publishes the status: a reading
    may be of the moment before. Not a profile of trainings, whose events carry their own times.
    """

    units: int = 0
    items: int = 0
    #: Those of them that have an error.
    errored: int = 0
    batches: int = 0
    batch_items: int = 0
    real_tokens: int = 0
    computed_tokens: int = 0
    claim_s: float = 0.0
    unpack_s: float = 0.0
    vectorise_s: float = 0.0
    compute_s: float = 0.0
    commit_s: float = 0.0

    def totals(self) -> WorkTotals:
        """Return all of them, since the child started."""
        return WorkTotals(**{name: getattr(self, name) for name in WorkTotals.model_fields})

    def since(self, before: "WorkerStats") -> "WorkerStats":
        """Return what was done since these were `before`, a copy."""
        # Not by `fields`, which takes twice as long: this is done at each claim.
        return WorkerStats(*(getattr(self, n) - getattr(before, n) for n in self.__slots__))

    def batch(
        self,
        items: int,
        real_tokens: int,
        computed_tokens: int,
        vectorise_s: float,
        compute_s: float,
    ) -> None:
        """Count what a plugin reports of one batch; see `RunContext.batch`."""
        self.batches += 1
        self.batch_items += items
        self.real_tokens += real_tokens
        self.computed_tokens += computed_tokens
        self.vectorise_s += vectorise_s
        self.compute_s += compute_s


@dataclass(slots=True)
class _Route:
    """Where the numbers of a task and model begin."""

    task: str
    model: str
    wait: int
    job: int
    busy: int
    succeeded: int
    stages: dict[Stage, int]


class WorkCounts:
    """Counts what one child does. One thread works, and others may note what they see."""

    def __init__(self, memory: Channel | None = None) -> None:
        """Without a memory nothing is counted."""
        self._memory = memory
        self._routes: dict[tuple[str, str], _Route] = {}
        self._route: _Route | None = None
        #: What its time counts as, where it is not told by stage.
        self._whole: Stage | None = None
        #: Seconds since the jobs in hand were made, when they were claimed.
        self._ages_s: dict[str, float] = {}
        self._claimed_s = 0.0
        self._lock = Lock()
        #: Since when the busy seconds are not counted.
        self._busy_since_s: float | None = None
        self._leases_lost = 0
        #: Labels of models of which it was noted what they take.
        self._sized: set[str] = set()

    def begin(self, task: str, model: str, units: Sequence[Unit], began_s: float) -> None:
        """Count a claim that was asked for at a time, and how long its jobs have waited."""
        memory = self._memory
        if memory is None:
            return
        self._route = route = self._route_of(memory, task, model)
        self._whole = _WHOLE.get(units[0].name)
        self._ages_s = {unit.job_id: unit.job_age_s for unit in units}
        self._claimed_s = monotonic()
        _observe(memory, route.wait, [unit.job_age_s for unit in units if unit.started_job])
        with self._lock:
            self._busy_since_s = began_s

    def end(self, done: WorkerStats, load_s: float | None) -> None:
        """Count the time since `begin`, and what was `done` meanwhile: its stages, its tokens.

        `load_s` is what a load took that the claim waited for; None without one.
        """
        memory, route = self._memory, self._route
        if memory is None or route is None:
            return
        if self._whole is not None:
            _observe(memory, route.stages[self._whole], [monotonic() - self._claimed_s])
        else:
            _observe(memory, route.stages["read"], [done.unpack_s])
            _observe(memory, route.stages["commit"], [done.commit_s])
        if load_s is not None:
            _observe(memory, route.stages["load"], [load_s])
        self._count_busy(memory, route, ends=True)
        self._route = None
        if done.computed_tokens:
            padding = max(0, done.computed_tokens - done.real_tokens)
            memory.numbers[memory.place("tokens", route.model)] += done.real_tokens
            memory.numbers[memory.place("padding_tokens", route.model)] += padding

    def stage(self, name: Stage, seconds: float) -> None:
        """Count what a part of the work on a claim took."""
        if self._memory is not None and self._route is not None:
            _observe(self._memory, self._route.stages[name], [seconds])

    def items(self, units: Sequence[Sequence[ItemSuccess | ItemFailure]]) -> None:
        """Count the results of units that were committed."""
        memory, route = self._memory, self._route
        if memory is None or route is None:
            return
        succeeded = list(map(type, chain.from_iterable(units))).count(ItemSuccess)
        memory.numbers[route.succeeded] += succeeded
        if succeeded == sum(map(len, units)):
            return
        results = chain.from_iterable(units)
        codes = Counter(one.error.code.value for one in results if isinstance(one, ItemFailure))
        for code, count in codes.items():
            at = memory.place("items", route.task, route.model, "errored", code)
            memory.numbers[at] += count

    def jobs_ended(self, job_ids: Iterable[str]) -> None:
        """Count how long jobs in hand took that this worker has ended, from their making on."""
        memory, route = self._memory, self._route
        if memory is None or route is None:
            return
        since_s, ages_s = monotonic() - self._claimed_s, self._ages_s
        _observe(memory, route.job, [ages_s[one] + since_s for one in job_ids if one in ages_s])

    def note_state(self, status: WorkerStatus, leases_lost: int) -> None:
        """Note what a worker publishes of itself; also from another thread than the one at work."""
        memory, route = self._memory, self._route
        if memory is None:
            return
        if route is not None:
            self._count_busy(memory, route)
        breaker_open = any(one.code == UnfitCode.BREAKER_OPEN for one in status.unfit)
        with self._lock:
            memory.numbers[memory.place("breaker_open")] = float(breaker_open)
            memory.numbers[memory.place("leases_lost")] += leases_lost - self._leases_lost
            self._leases_lost = leases_lost
            sizes = dict.fromkeys(self._sized, 0)
            for reference, size in status.loaded_bytes.items():
                label = self._label_of(ModelReference.parse(reference).name)
                sizes[label] = sizes.get(label, 0) + size
            self._sized = set(sizes)
            for model, size in sizes.items():
                memory.numbers[memory.place("model_bytes", model)] = float(size)

    def _count_busy(self, memory: Channel, route: _Route, *, ends: bool = False) -> None:
        """Count the busy seconds since they were counted last: a training takes hours."""
        with self._lock:
            if self._busy_since_s is not None:
                now_s = monotonic()
                memory.numbers[route.busy] += now_s - self._busy_since_s
                self._busy_since_s = None if ends else now_s

    def _route_of(self, memory: Channel, task: str, model: str) -> _Route:
        route = self._routes.get((task, model))
        if route is not None:
            return route
        if len(self._routes) >= MOST_ROUTES and model != OTHER:
            return self._route_of(memory, task, OTHER)
        stages = {
            stage: memory.place("unit_seconds", task, model, stage, width=HISTOGRAM)
            for stage in STAGES
        }
        self._routes[task, model] = route = _Route(
            task,
            model,
            wait=memory.place("wait_seconds", task, model, width=HISTOGRAM),
            job=memory.place("job_seconds", task, model, width=HISTOGRAM),
            busy=memory.place("busy_seconds", task, model),
            succeeded=memory.place("items", task, model, "succeeded", ""),
            stages=stages,
        )
        return route

    def _label_of(self, model: str) -> str:
        """Return a model's label: its name, while no more than so many have one."""
        # A copy, made in one step: the thread at work adds to it.
        known = {name for _, name in tuple(self._routes)} | self._sized
        return model if model in known or len(known) < MOST_ROUTES else OTHER


def _observe(memory: Channel, at: int, seconds: Sequence[float]) -> None:
    numbers = memory.numbers
    for each_s in seconds:
        numbers[at + bisect_left(BOUNDS, each_s)] += 1
    numbers[at + _SUM] += sum(seconds)


#: Seconds between two notes at least: many small jobs in a row are one note.
NOTE_EVERY_S = 1.0


class RateMeter:
    """Sums items and busy seconds by queue: what autoscaling reckons by. Safe between threads."""

    def __init__(
        self,
        note: Callable[[str, int, float, int], None],
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`note` writes queue, items, seconds and errors down."""
        self._note = note
        self._clock = clock
        self._lock = Lock()
        self._sums: dict[str, tuple[int, float, int]] = {}
        self._noted_at = self._clock()

    def add(self, queue: str, items: int, seconds: float, errors: int = 0) -> None:
        """Add a claim: its items, the seconds from the claim to the commit, items with errors."""
        with self._lock:
            known_items, known_s, known_errors = self._sums.get(queue, (0, 0.0, 0))
            self._sums[queue] = known_items + items, known_s + seconds, known_errors + errors

    def note(self, *, if_due: bool = False) -> None:
        """Write down what was added since; `if_due` says that once a second is enough.

        What cannot be written is lost: the next seconds of work are as good.
        """
        if if_due and self._clock() - self._noted_at < NOTE_EVERY_S:
            return
        with self._lock:
            sums, self._sums = self._sums, {}
            self._noted_at = self._clock()

        def write() -> None:
            for queue, (items, seconds, errors) in sums.items():
                self._note(queue, items, seconds, errors)

        try_now("measured rates are lost", write, is_repeated=True)
