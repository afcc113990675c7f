"""Plays a load against the signal, an autoscaler and a fleet, a second a step."""

from dataclasses import dataclass, field
from itertools import pairwise

from scale.autoscaler import Autoscaler, Metrics, ScaledObject
from scale.fleet import Ending, Fleet
from scale.loads import Load

#: Seconds between two scrapes: what an autoscaler reads is as old at most.
SCRAPE_S = 15

#: Seconds from a pod's creation to its worker being ready, with an image that is on the node: 2 s
#: of the container, 7 s of imports and kernels (`docker/up.md`), and room.
START_S = 20.0

#: The grace period that the guide gives.
GRACE_S = 60.0


@dataclass(frozen=True)
class Span:
    """A time in which the metric cannot be read, as when Prometheus is down."""

    from_s: int
    to_s: int

    def holds(self, now_s: int) -> bool:
        return self.from_s <= now_s < self.to_s


@dataclass
class Course:
    """What happened, second by second."""

    load: Load
    replicas: list[int] = field(default_factory=list)
    busy: list[int] = field(default_factory=list)
    signal_s: list[float] = field(default_factory=list)
    true_s: list[float] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    done_items: int = 0

    @property
    def turns(self) -> int:
        """How often the number of pods turned from growing to shrinking, or back."""
        changes = [b - a for a, b in pairwise(self.replicas) if a != b]
        return sum(a * b < 0 for a, b in pairwise(changes))

    @property
    def pod_s(self) -> int:
        """Seconds of pods in all: what it costs."""
        return sum(self.replicas)

    @property
    def wakes(self) -> int:
        """How often the first pod was made."""
        return sum(a == 0 < b for a, b in pairwise([0, *self.replicas]))

    @property
    def ended_s(self) -> int:
        """The second at which the last item was done."""
        return max(at for at, left in enumerate(self.true_s) if left > 0) + 1

    @property
    def busy_endings(self) -> list[Ending]:
        """Pods that were scaled away while they worked."""
        return [ending for ending in self.endings if ending.was_busy]


def simulate(
    load: Load,
    spec: ScaledObject | None = None,
    *,
    outages: tuple[Span, ...] = (),
    start_s: float = START_S,
    grace_s: float = GRACE_S,
) -> Course:
    """Return the course of a load."""
    fleet = Fleet(load, start_s, grace_s)
    scaler, course = Autoscaler(spec or ScaledObject()), Course(load)
    scraped: Metrics | None = None
    for now_s in range(load.length_s):
        fleet.step(now_s)
        if any(span.holds(now_s) for span in outages):
            scraped = None
        elif now_s % SCRAPE_S == 0:
            scraped = Metrics(fleet.work_left_s(), fleet.busy())
        fleet.scale(scaler.replicas(now_s, fleet.replicas(), scraped), now_s)
        course.replicas.append(fleet.replicas())
        course.busy.append(fleet.busy())
        course.signal_s.append(fleet.work_left_s())
        course.true_s.append(fleet.true_work_left_s())
    course.endings, course.done_items = fleet.endings, fleet.done_items
    return course
