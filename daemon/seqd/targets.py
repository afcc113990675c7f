"""Whom an operator's rule means: a worker by name, a slot of a host, a host, a label, a kind.

Pure: reads records, changes nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from seqd_schemas import CordonAction, CordonRule, WorkerStatus

#: Means every worker, also one that starts later: no host has such a name.
EVERY_WORKER = "host:*"


@dataclass(frozen=True, slots=True)
class Place:
    """What rules know a worker by. `worker` is empty before one has been started there."""

    worker: str
    slot: str
    host: str
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, status: WorkerStatus) -> Self:
        """Return that of a worker that has published its record."""
        return cls(status.worker, status.slot, status.host, status.labels)

    @property
    def slot_at_host(self) -> str:
        """Return `SLOT@HOST`, which stays when the worker is started again."""
        return f"{self.slot}@{self.host}"

    @property
    def kind(self) -> str:
        """Return the kind of its device, `gpu` of `train@gpu:0=0.5`."""
        return self.slot.rpartition("@")[2].partition(":")[0]


def is_meant(place: Place, target: str) -> bool:
    """Return True where a rule with this target, such as `label:pool=a`, means the worker."""
    if target == EVERY_WORKER:
        return True
    kind, _, value = target.partition(":")
    if kind == "label":
        key, _, wanted = value.partition("=")
        return place.labels.get(key) == wanted
    named = {
        "worker": place.worker,
        "slot": place.slot_at_host,
        "host": place.host,
        "kind": place.kind,
    }
    return kind in named and named[kind] == value


def rule_for(rules: Iterable[CordonRule], place: Place) -> CordonRule | None:
    """Return the rule that keeps a worker from claiming, a drain before a cordon; else None."""
    meant = [
        rule
        for rule in rules
        if rule.action is not CordonAction.RESTART and is_meant(place, rule.target)
    ]
    return min(meant, key=_strictest_first, default=None)


def drain_for(rules: Iterable[CordonRule], place: Place) -> CordonRule | None:
    """Return the rule that has a worker end, and no other start there; else None."""
    rule = rule_for(rules, place)
    return rule if rule is not None and rule.action is CordonAction.DRAIN else None


def option_of(target: str) -> str:
    """Return a target as it is typed: `--all`, `--host gpu7`, `--label pool=a`, or a name."""
    if target == EVERY_WORKER:
        return "--all"
    kind, _, value = target.partition(":")
    return f"--{kind} {value}" if kind in ("host", "label") else value


def _strictest_first(rule: CordonRule) -> tuple[bool, int, str]:
    return rule.action is not CordonAction.DRAIN, rule.at_ms, rule.target
