"""KEDA and the Horizontal Pod Autoscaler, by their published rules, for two external metrics.

KEDA looks every `polling_s`: above the activation threshold it makes the first pod, and takes the
last away when no metric has been above it for `cooldown_s`. In between the HPA decides, every
15 s: for each metric `ceil(metric / target)`, unless that is within its tolerance of what there is,
and of these the most; a scale-down takes the highest wish of its window. Metrics that cannot be
read leave the HPA where it is, until more than `failure_threshold` reads have failed: then the
fallback's replicas are the wish. KEDA goes to these at once, so they are to be no fewer than there
are.
Sources: keda.sh "Scaling Deployments", kubernetes.io "Horizontal Pod Autoscaling", November 2026.
"""

import math
from collections import deque
from dataclasses import dataclass, field

#: How often the HPA looks, and how far from 1 a ratio has to be before it acts.
SYNC_S = 15
TOLERANCE = 0.1


@dataclass(frozen=True)
class Policy:
    """Most pods, or most per cent of them, that may come or go within a period."""

    value: int
    is_percent: bool
    period_s: int


@dataclass(frozen=True)
class ScaledObject:
    """The fields of a KEDA ScaledObject that decide; defaults are those that the guide gives."""

    #: Seconds of `seqd_work_left_seconds` for a pod.
    target_s: float = 120.0
    #: `seqd_busy_workers` for a pod; None without that trigger.
    busy_target: float | None = 1.0
    activation: float = 0.0
    max_replicas: int = 20
    polling_s: int = 15
    cooldown_s: int = 600
    ignore_null_values: bool = False
    failure_threshold: int = 3
    fallback_replicas: int = 1
    #: `currentReplicasIfHigher` of the fallback's behavior.
    keeps_current_if_higher: bool = True
    up_window_s: int = 0
    down_window_s: int = 300
    up: tuple[Policy, ...] = (Policy(100, True, 15), Policy(4, False, 15))
    down: tuple[Policy, ...] = (Policy(50, True, 60),)


@dataclass(frozen=True)
class Metrics:
    """What a scrape has seen."""

    work_left_s: float
    busy_workers: int = 0


@dataclass
class Autoscaler:
    """What the two remember between looks."""

    spec: ScaledObject
    _active_s: float | None = None
    _failures: int = 0
    _wishes: deque[tuple[float, int]] = field(default_factory=deque)
    #: When how many pods there were, for the policies.
    _past: deque[tuple[float, int]] = field(default_factory=deque)

    def replicas(self, now_s: int, current: int, metric: Metrics | None) -> int:
        """Return how many pods there are to be; `metric` is None where it cannot be read."""
        if metric is None and self.spec.ignore_null_values:
            metric = Metrics(0.0)
        if now_s % self.spec.polling_s == 0:
            current = self._keda(now_s, current, metric)
        if now_s % SYNC_S == 0 and current > 0:
            current = self._hpa(now_s, current, metric)
        return current

    def _keda(self, now_s: int, current: int, metric: Metrics | None) -> int:
        """From none to one, and from what there is to none."""
        if metric is None:
            # KEDA itself goes to the fallback's replicas at the first error (keda#6659), and takes
            # no last pod away.
            self._failures += 1
            return self._fallback(current)
        self._failures = 0
        if self._is_active(metric):
            self._active_s = now_s
            return max(1, current)
        if current > 0 and (
            self._active_s is None or now_s - self._active_s > self.spec.cooldown_s
        ):
            self._wishes.clear()
            return 0
        return current

    def _hpa(self, now_s: int, current: int, metric: Metrics | None) -> int:
        wish = self._wish(current, metric)
        self._past.append((now_s, current))
        while self._past and self._past[0][0] < now_s - 600:
            self._past.popleft()
        if wish is None:
            return current
        self._wishes.append((now_s, wish))
        while self._wishes and self._wishes[0][0] <= now_s - max(
            self.spec.down_window_s, self.spec.up_window_s, 1
        ):
            self._wishes.popleft()
        return self._limited(now_s, current, self._stabilized(now_s, current, wish))

    def _wish(self, current: int, metric: Metrics | None) -> int | None:
        if metric is None:
            if self._failures <= self.spec.failure_threshold:
                return None
            return self._fallback(current)
        wishes = [self._wish_of(current, metric.work_left_s, self.spec.target_s)]
        if self.spec.busy_target is not None:
            wishes.append(self._wish_of(current, metric.busy_workers, self.spec.busy_target))
        return min(self.spec.max_replicas, max(1, *wishes))

    def _wish_of(self, current: int, value: float, target: float) -> int:
        if abs(1 - value / (target * current)) <= TOLERANCE:
            return current
        return math.ceil(value / target)

    def _is_active(self, metric: Metrics) -> bool:
        if metric.work_left_s > self.spec.activation:
            return True
        return self.spec.busy_target is not None and metric.busy_workers > self.spec.activation

    def _fallback(self, current: int) -> int:
        fallback = self.spec.fallback_replicas
        return max(fallback, current) if self.spec.keeps_current_if_higher else fallback

    def _stabilized(self, now_s: int, current: int, wish: int) -> int:
        """Return the lowest wish of the window for going up, the highest for going down."""
        up = min(n for at, n in self._wishes if at > now_s - max(self.spec.up_window_s, 1))
        down = max(n for at, n in self._wishes if at > now_s - max(self.spec.down_window_s, 1))
        if current < up:
            return up
        return down if current > down else current

    def _limited(self, now_s: int, current: int, wish: int) -> int:
        if wish > current:
            return min(wish, max(self._bound(now_s, current, policy, 1) for policy in self.spec.up))
        if wish < current:
            return max(
                wish, min(self._bound(now_s, current, policy, -1) for policy in self.spec.down)
            )
        return current

    def _bound(self, now_s: int, current: int, policy: Policy, sign: int) -> int:
        """Return how far one policy lets it go, from what there was when its period began."""
        within = [n for at, n in self._past if at > now_s - policy.period_s]
        start = (min(within) if sign > 0 else max(within)) if within else current
        if not policy.is_percent:
            return start + sign * policy.value
        share = start * policy.value / 100
        return start + math.ceil(share) if sign > 0 else start - math.floor(share + 1e-9)
