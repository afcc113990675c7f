"""How each queue stands: what waits of a task and model, how fast it goes, and who can run it.

Pure: reads counts, rates and records, changes nothing.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp
from typing import Final, Literal

from seqd.kinds import TRAIN
from seqd.scaling import QueueWork, Rate, RouteWork, is_overdue, work_left
from seqd.serving import can_run, does, has_lost_claim, serves, takes, waiting_for
from seqd_schemas import JobState, QueueName, Waiting, WaitingCode, WorkerState, WorkerStatus

#: Seconds after which what was done counts for 1/e in a rate; `note_rate.lua` has the same number.
RECENT_S: Final = 60.0

#: Seconds that a rate is of at least: one note of a worker may be of many units.
_LEAST_S: Final = 2.0

#: What a queue is said to do. `moving`: items are in hand, or were done within the last minute and
#: a worker can go on.
#: `waiting`: a worker can run it and has not begun, or may once it has started. `unserved`:
#: nobody can run it. `paused`: all of its jobs are, or its model is. `idle`: nothing is left.
QueueVerdict = Literal["moving", "waiting", "unserved", "paused", "idle"]


@dataclass(frozen=True, slots=True)
class WorkDone:
    """What was done of a queue, as workers have noted it."""

    #: So far, and those of them that have errors.
    items: int
    errors: int
    #: The same of about the last minute; they fade by the clock from `at_ms` on.
    recent_items: float
    recent_errors: float
    #: When what is recent began, and when it was noted last, on the server's clock.
    since_ms: int
    at_ms: int

    def rates(self, now_ms: int) -> tuple[float, float]:
        """Return items and errors a second, of about the last minute; the latest count more.

        Items are divided by the seconds that they are of, so that a queue that has just begun has
        its rate at once. Errors are divided by a whole minute: they are shown as errors a minute,
        and one that was the first in two seconds is not thirty.
        """
        rest_s = max(0.0, (now_ms - self.at_ms) / 1000)
        if rest_s > RECENT_S:
            return 0.0, 0.0
        age_s = max(_LEAST_S, (now_ms - self.since_ms) / 1000)
        weight = exp(-rest_s / RECENT_S) / RECENT_S
        part = 1.0 - exp(-age_s / RECENT_S)  # of a minute
        return self.recent_items * weight / part, self.recent_errors * weight


@dataclass(frozen=True, slots=True)
class JobRow:
    """What a queue's state needs of one open job."""

    job_id: str
    queue: str
    tenant: str
    state: JobState
    created_ms: int
    #: Items without an outcome.
    items: int


@dataclass(frozen=True, slots=True)
class WorkerCounts:
    """Workers that are there for a task and model, by whether they can run it now."""

    #: They can run it; a busy one may be busy with something else.
    busy: int = 0
    idle: int = 0
    #: They have the model, and cannot run what waits.
    unfit: int = 0
    #: An operator's rule keeps them from claiming.
    cordoned: int = 0
    #: They could run it, and take no new work until their plugin lets them: they report nothing, or
    #: compute what they do not hold any more.
    silent: int = 0
    #: They start, or start again: they load what they need first.
    starting: int = 0

    @property
    def able(self) -> int:
        """Workers that can run it now."""
        return self.busy + self.idle


@dataclass(frozen=True, slots=True)
class QueueState:
    """How a task of a model stands; or of one tenant's jobs of it."""

    task: str
    model: str
    #: None for all tenants together.
    tenant: str | None
    state: QueueVerdict
    #: Why nobody can run it; of one of several versions, too.
    reason: str
    #: Items that no worker holds; of paused jobs and of a paused model: `paused_items`.
    waiting_items: int
    items_in_hand: int
    paused_items: int
    oldest_wait_s: float | None
    #: Items and errors a second, of about the last minute; None for one tenant: not counted.
    rate_per_s: float | None
    errors_per_s: float | None
    #: Items done so far, and those of them that have errors, as workers have noted them.
    items_done: int
    errors: int
    #: Seconds for which one slot would work at what is left.
    work_left_s: float
    is_measured: bool
    #: The same by the workers that can run it now; None where there is none.
    eta_s: float | None
    workers: WorkerCounts
    #: Who has paused or disabled its model, since when and why, as a sentence; '' where nobody has.
    model_pause: str = ""


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """What `queue_states` and `tenant_states` make their rows of."""

    now_ms: int
    work: Sequence[QueueWork]
    rates: Mapping[str, Rate]
    done: Mapping[str, WorkDone]
    workers: Sequence[WorkerStatus]
    #: The oldest open jobs.
    jobs: Sequence[JobRow]
    #: Tasks and models of the catalog, which have a row without work, too.
    known: Iterable[tuple[str, str]] = ()
    #: By model that is paused or disabled a sentence on that.
    pauses: Mapping[str, str] = field(default_factory=dict)
    #: Those of the workers that report nothing.
    unheard: Collection[str] = ()


def queue_states(facts: QueueFacts) -> list[QueueState]:
    """Return the state of each task and model, sorted; those of the catalog without work, too."""
    of_done, of_jobs = set(map(_route_of, facts.done)), {_route_of(job.queue) for job in facts.jobs}
    known = {*facts.known, *of_jobs, *(route for route in of_done if _is_recent(route, facts))}
    routes = work_left(facts.work, facts.rates, facts.workers, known)
    return [_state_of(route, facts) for route in routes]


def tenant_states(facts: QueueFacts) -> list[QueueState]:
    """Return the state of each task, model and tenant that has items among the jobs, sorted.

    What is in hand is not told apart by tenant: their items wait or are in hand.
    """
    whole = {(state.task, state.model): state for state in queue_states(facts)}
    of_tenant: dict[tuple[str, str, str], list[JobRow]] = defaultdict(list)
    for job in facts.jobs:
        of_tenant[*_route_of(job.queue), job.tenant].append(job)
    return [
        _tenant_state(whole[task, model], tenant, of_tenant[task, model, tenant], facts.now_ms)
        for task, model, tenant in sorted(of_tenant)
    ]


def _state_of(route: RouteWork, facts: QueueFacts) -> QueueState:
    own = (route.task, route.model)
    of_route = [one for one in facts.work if _is_of(one.queue, own)]
    versions = {QueueName.parse(one.queue).version for one in of_route}
    workers = _counts(route, versions, facts)
    done = [one for queue, one in facts.done.items() if _is_of(queue, own)]
    rates = [one.rates(facts.now_ms) for one in done]
    paused = sum(j.items for j in facts.jobs if j.state.is_held and _is_of(j.queue, own))
    paused -= sum(one.paused_leased_items for one in of_route)
    paused = max(0, paused) + sum(one.held_up_items for one in of_route)
    pause = "" if route.task == TRAIN else facts.pauses.get(route.model, "")
    left = {QueueName.parse(one.queue).version for one in of_route if one.items}
    waiting = _waiting(route, left, facts.workers)
    rate_per_s = sum(items for items, _ in rates)
    return QueueState(
        task=route.task,
        model=route.model,
        tenant=None,
        state=_verdict(route, paused, rate_per_s if workers.able else 0.0, waiting),
        model_pause=pause,
        reason="" if waiting is None else waiting.message,
        waiting_items=route.waiting_items,
        items_in_hand=route.leased_items,
        paused_items=paused,
        oldest_wait_s=route.oldest_wait_s,
        rate_per_s=rate_per_s,
        errors_per_s=sum(errors for _, errors in rates),
        items_done=sum(one.items for one in done),
        errors=sum(one.errors for one in done),
        work_left_s=route.seconds,
        is_measured=route.is_measured,
        eta_s=_eta_s(route, workers, facts),
        workers=workers,
    )


def _eta_s(route: RouteWork, workers: WorkerCounts, facts: QueueFacts) -> float | None:
    """Return the seconds to the end of all items by the workers that can run them; None if unknown.

    What workers hold goes down by the time since they claimed it. It is unknown where all that is
    left has been in hand for longer than it was reckoned to take, or some of it is overdue.
    """
    if not workers.able or route.unserved_s > 0:
        return None
    if not route.items:
        return 0.0
    own = (route.task, route.model)
    jobs = {job.job_id for job in facts.jobs if _is_of(job.queue, own)}
    claims = [one.claim for one in facts.workers if one.claim and one.claim.job_id in jobs]
    held_s = route.seconds * route.leased_items / route.items
    most_s = held_s / max(1, route.busy_workers)
    spent = [max(0.0, (facts.now_ms - one.since_ms) / 1000) for one in claims]
    if any(is_overdue(one_s, most_s) for one_s in spent):
        return None
    spent_s = sum(min(most_s, one_s) for one_s in spent)
    left_s = route.seconds - spent_s
    # What is in hand is not shared out again.
    hands = workers.able if route.items > route.leased_items else route.busy_workers or 1
    return left_s / hands if left_s > 0 else None


def _verdict(
    route: RouteWork, paused_items: int, rate_per_s: float, waiting: Waiting | None
) -> QueueVerdict:
    if waiting is not None and waiting.code is WaitingCode.STARTING:
        return "waiting"
    if route.leased_items:
        return "moving"
    if waiting is not None:
        return "unserved"
    if route.items:
        return "moving" if rate_per_s > 0 else "waiting"
    return "paused" if paused_items else "idle"


def _tenant_state(
    whole: QueueState, tenant: str, jobs: Sequence[JobRow], now_ms: int
) -> QueueState:
    paused = sum(job.items for job in jobs if job.state.is_held or whole.model_pause)
    waiting = sum(job.items for job in jobs) - paused
    waits = [(now_ms - job.created_ms) / 1000 for job in jobs if job.state is JobState.QUEUED]
    left = whole.waiting_items + whole.items_in_hand
    seconds = whole.work_left_s * min(1.0, waiting / left) if left else 0.0
    if not waiting:
        verdict: QueueVerdict = "paused"
    elif whole.state == "unserved":
        verdict = "unserved"
    else:
        verdict = "moving" if any(job.state is JobState.RUNNING for job in jobs) else "waiting"
    return replace(
        whole,
        tenant=tenant,
        state=verdict,
        reason=whole.reason if verdict in ("unserved", "waiting") else "",
        waiting_items=waiting,
        items_in_hand=0,
        paused_items=paused,
        oldest_wait_s=max(0.0, *waits) if waits else None,
        rate_per_s=None,
        errors_per_s=None,
        items_done=0,
        errors=0,
        work_left_s=seconds,
        eta_s=None,
    )


def _counts(route: RouteWork, versions: Iterable[int | None], facts: QueueFacts) -> WorkerCounts:
    """Count workers by whether they can run what is left; without work, any version."""
    task, model, wanted = route.task, route.model, set(versions)
    counts = dict.fromkeys(("busy", "idle", "unfit", "cordoned", "silent", "starting"), 0)
    for one in facts.workers:
        if one.cordon is not None:
            counts["cordoned"] += does(one, task, model) and serves(one, model)
        elif not takes(one, task, model):
            continue
        elif wanted and not any(can_run(one, task, model, version) for version in wanted):
            counts["unfit"] += 1
        elif one.worker in facts.unheard or has_lost_claim(one):
            counts["silent"] += 1
        elif one.state is WorkerState.STARTING:
            counts["starting"] += 1
        else:
            counts["busy" if one.state is WorkerState.BUSY else "idle"] += 1
    return WorkerCounts(**counts)


def _waiting(
    route: RouteWork, versions: Iterable[int | None], workers: Sequence[WorkerStatus]
) -> Waiting | None:
    """Return why nobody can run what is left now, or one of its versions; None where some can."""
    for version in sorted(versions, key=lambda number: -1 if number is None else number):
        waiting = waiting_for(route.task, route.model, version, workers)
        if waiting is not None:
            return waiting
    return None


def _is_recent(route: tuple[str, str], facts: QueueFacts) -> bool:
    return any(
        one.rates(facts.now_ms)[0] > 0 for queue, one in facts.done.items() if _is_of(queue, route)
    )


def _route_of(queue: str) -> tuple[str, str]:
    return QueueName.parse(queue)[:2]


def _is_of(queue: str, route: tuple[str, str]) -> bool:
    return _route_of(queue) == route
