"""A fleet of pods as a simulation has it: one slot each, units of work, drains.

What the ledger would have of it goes through `seqd.scaling`, the same function that the exporter
uses; rates are measured and fade as `note_rate.lua` has them.
"""

import math
from collections import deque
from dataclasses import dataclass, field

from scale.loads import Arrival, Load
from seqd.ledger.backlog import FADE_S
from seqd.scaling import QueueWork, Rate, work_left


@dataclass
class Unit:
    """Work in hand."""

    queue: str
    items: int
    began_s: float
    ends_s: float


@dataclass
class Pod:
    """A pod with one worker of one slot."""

    number: int
    made_s: float
    ready_s: float
    unit: Unit | None = None
    #: When it was asked to end; it takes no more work then.
    asked_s: float | None = None
    ended_s: float | None = None

    @property
    def is_up(self) -> bool:
        return self.ended_s is None

    @property
    def counts(self) -> bool:
        """True while it is one of the replicas: one that ends is none any more."""
        return self.is_up and self.asked_s is None

    def is_ready(self, now_s: float) -> bool:
        return self.counts and now_s >= self.ready_s


@dataclass(frozen=True)
class Ending:
    """A pod that was scaled away."""

    pod: int
    was_busy: bool
    #: Seconds from being asked to its end.
    took_s: float
    #: Seconds of work that it lost: that of a unit which was killed.
    lost_s: float


@dataclass
class Fleet:
    """Pods, queues, and what was measured of them."""

    load: Load
    #: Seconds from a pod's creation to its being ready: image, imports, warm-up.
    start_s: float
    grace_s: float
    pods: list[Pod] = field(default_factory=list)
    waiting: dict[str, deque[Arrival]] = field(default_factory=dict)
    rates: dict[str, Rate] = field(default_factory=dict)
    endings: list[Ending] = field(default_factory=list)
    done_items: int = 0
    _left: dict[str, int] = field(default_factory=dict)
    _next: int = 0

    def replicas(self) -> int:
        return sum(pod.counts for pod in self.pods)

    def work_left_s(self) -> float:
        """Return the signal: seconds of one slot for all that nobody has done."""
        queues = [QueueWork(queue, items) for queue, items in self._left.items() if items]
        return sum(route.seconds for route in work_left(queues, self.rates, []))

    def true_work_left_s(self) -> float:
        """Return what it would be if the rates were known."""
        return sum(items * self.load.item_s[queue] for queue, items in self._left.items())

    def busy(self) -> int:
        return sum(pod.is_up and pod.unit is not None for pod in self.pods)

    def step(self, now_s: float) -> None:
        """Let jobs arrive, units end, workers claim, pods end."""
        self._arrive(now_s)
        for pod in self.pods:
            self._work(pod, now_s)
        self.pods = [pod for pod in self.pods if pod.is_up]

    def scale(self, replicas: int, now_s: float) -> None:
        """Make pods, or ask some to end: those that are not ready, then the youngest."""
        for _ in range(replicas - self.replicas()):
            self.pods.append(Pod(self._next, now_s, now_s + self.start_s))
            self._next += 1

        def order(pod: Pod) -> tuple[bool, float]:
            return pod.is_ready(now_s), -pod.ready_s

        many = self.replicas() - replicas
        for pod in sorted((pod for pod in self.pods if pod.counts), key=order)[:many]:
            pod.asked_s = now_s
            if pod.unit is None:
                self._end(pod, now_s, was_busy=False)

    def _arrive(self, now_s: float) -> None:
        arrivals = self.load.arrivals
        while self._arrived < len(arrivals) and arrivals[self._arrived].at_s <= now_s:
            arrival = arrivals[self._arrived]
            self.waiting.setdefault(arrival.queue, deque()).append(arrival)
            self._left[arrival.queue] = self._left.get(arrival.queue, 0) + arrival.items
            self._arrived += 1

    _arrived: int = 0

    def _work(self, pod: Pod, now_s: float) -> None:
        if pod.unit is not None and now_s >= pod.unit.ends_s:
            self._commit(pod.unit)
            pod.unit = None
            if pod.asked_s is not None:
                self._end(pod, now_s, was_busy=True)
        if pod.asked_s is not None and pod.unit is not None and now_s >= pod.asked_s + self.grace_s:
            self._kill(pod, now_s)
        if pod.unit is None and pod.is_ready(now_s):
            pod.unit = self._claim(now_s)

    def _claim(self, now_s: float) -> Unit | None:
        """Take a unit of the job that came first; fairness among tenants changes no sum."""
        queues = [queue for queue, jobs in self.waiting.items() if jobs]
        if not queues:
            return None
        queue = min(queues, key=lambda name: self.waiting[name][0].at_s)
        job = self.waiting[queue].popleft()
        items = min(job.items, self.load.unit_items[queue])
        if job.items > items:
            self.waiting[queue].appendleft(Arrival(job.at_s, queue, job.items - items))
        return Unit(queue, items, now_s, now_s + items * self.load.item_s[queue])

    def _commit(self, unit: Unit) -> None:
        self._left[unit.queue] -= unit.items
        self.done_items += unit.items
        seconds = unit.ends_s - unit.began_s
        known = self.rates.get(unit.queue, Rate(0, 0, 0))
        fading = math.exp(-seconds / max(FADE_S, 5 * seconds))
        self.rates[unit.queue] = Rate(
            known.items * fading + unit.items, known.seconds * fading + seconds, int(unit.ends_s)
        )

    def _kill(self, pod: Pod, now_s: float) -> None:
        unit = pod.unit
        assert unit is not None
        self.waiting[unit.queue].appendleft(Arrival(unit.began_s, unit.queue, unit.items))
        pod.unit = None
        self._end(pod, now_s, was_busy=True, lost_s=now_s - unit.began_s)

    def _end(self, pod: Pod, now_s: float, *, was_busy: bool, lost_s: float = 0.0) -> None:
        assert pod.asked_s is not None
        pod.ended_s = now_s
        self.endings.append(Ending(pod.number, was_busy, now_s - pod.asked_s, lost_s))
