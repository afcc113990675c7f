"""The autoscale signal: for each task and model, the seconds for which one slot would have to work.

Pure: reads counts, rates and records, changes nothing. `ceil(seconds / target)` is how many slots
bring the work that is left to its end within `target` seconds. Work in hand counts as what waits
does, so that nothing is scaled away that is busy.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from seqd.kinds import kind_of_task
from seqd.serving import can_run
from seqd_schemas import QueueName, WorkerStatus

#: The least that an item counts for: what is left of a very fast model is not nothing.
LEAST_ITEM_S = 1e-6


@dataclass(frozen=True, slots=True)
class Rate:
    """What busy slots have done lately: the quotient is the rate."""

    items: float
    seconds: float
    #: When it was noted last, on the server's clock.
    at_ms: int

    @property
    def item_s(self) -> float | None:
        """Seconds of a slot for an item; None where no item was done yet."""
        return max(LEAST_ITEM_S, self.seconds / self.items) if self.items > 0 else None


@dataclass(frozen=True, slots=True)
class QueueWork:
    """What is left of one queue: a route, with the version that its jobs run on."""

    queue: str
    #: Items that nobody has done, leased ones and those estimated of files among them.
    items: int
    #: Those of them that workers hold.
    leased_items: int = 0
    #: Units that workers hold, the ingest of a file among them.
    leased_units: int = 0
    #: Workers that hold any.
    busy_workers: int = 0
    #: Trainings in hand that say how long they will take, and the sum of what they say.
    reported: int = 0
    reported_s: float = 0.0
    #: Seconds since the oldest of its jobs was made that nobody has begun; None where there is
    #: none, or it stands too far behind to be looked for.
    oldest_wait_s: float | None = None
    #: Items that wait for a paused model, which are not among `items`.
    held_up_items: int = 0
    #: Those of the leased items whose jobs are paused.
    paused_leased_items: int = 0


@dataclass(frozen=True, slots=True)
class RouteWork:
    """What is left of one task of a model."""

    task: str
    model: str
    #: Seconds that one slot would work: the autoscale signal.
    seconds: float = 0.0
    #: Those of them that no worker that is up can run.
    unserved_s: float = 0.0
    items: int = 0
    leased_items: int = 0
    #: Units that workers hold.
    leased_units: int = 0
    #: Workers that hold any of it.
    busy_workers: int = 0
    oldest_wait_s: float | None = None
    #: False where any of it is reckoned by what its kind takes by default.
    is_measured: bool = True

    @property
    def waiting_items(self) -> int:
        """Items that no worker holds."""
        return max(0, self.items - self.leased_items)


def item_seconds(queue: str, rates: Mapping[str, Rate]) -> tuple[float, bool]:
    """Return seconds of an item of a queue, and whether they were measured.

    Of a version that was never measured, those of the version of its model that was last.
    """
    own = rates.get(queue)
    if own is not None and own.item_s is not None:
        return own.item_s, True
    task, model, _ = QueueName.parse(queue)
    others = [
        (rate.at_ms, rate.item_s)
        for name, rate in rates.items()
        if rate.item_s is not None and QueueName.parse(name)[:2] == (task, model)
    ]
    if others:
        return max(others)[1], True
    # Not zero, so that a model that has never run wakes a fleet of none. The first seconds of work
    # replace it.
    return kind_of_task(task).item_s, False


def is_overdue(held_s: float, reckoned_s: float) -> bool:
    """Return whether work in hand takes so long that its rate says nothing of what is left.

    That is more than twice what it was reckoned to take, and a second, by which clocks may differ.
    """
    return held_s > 2.0 * reckoned_s + 1.0


def queue_seconds(work: QueueWork, rates: Mapping[str, Rate]) -> float:
    """Return for how long one slot would work at what is left of a queue."""
    item_s, _ = item_seconds(work.queue, rates)
    reported = min(work.reported, work.items)
    return (work.items - reported) * item_s + (work.reported_s if reported else 0.0)


def work_left(
    queues: Iterable[QueueWork],
    rates: Mapping[str, Rate],
    workers: Iterable[WorkerStatus],
    known_routes: Iterable[tuple[str, str]] = (),
) -> list[RouteWork]:
    """Return what is left by task and model, sorted; of known routes without work, zeros."""
    fleet = list(workers)
    by_route: dict[tuple[str, str], list[QueueWork]] = defaultdict(list)
    for route in known_routes:
        by_route[route] = []
    for work in queues:
        task, model, _ = QueueName.parse(work.queue)
        by_route[task, model].append(work)
    return [_route_work(*route, by_route[route], rates, fleet) for route in sorted(by_route)]


def _route_work(
    task: str,
    model: str,
    queues: list[QueueWork],
    rates: Mapping[str, Rate],
    fleet: list[WorkerStatus],
) -> RouteWork:
    seconds = unserved_s = 0.0
    for work in queues:
        own_s = queue_seconds(work, rates)
        seconds += own_s
        version = QueueName.parse(work.queue).version
        if not any(can_run(worker, task, model, version) for worker in fleet):
            unserved_s += own_s
    waits = [work.oldest_wait_s for work in queues if work.oldest_wait_s is not None]
    return RouteWork(
        task=task,
        model=model,
        seconds=seconds,
        unserved_s=unserved_s,
        items=sum(work.items for work in queues),
        leased_items=sum(min(work.leased_items, work.items) for work in queues),
        leased_units=sum(work.leased_units for work in queues),
        busy_workers=sum(work.busy_workers for work in queues),
        oldest_wait_s=max(waits, default=None),
        is_measured=all(
            item_seconds(work.queue, rates)[1] for work in queues if work.items > work.reported
        ),
    )
