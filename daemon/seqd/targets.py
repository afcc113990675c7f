"""Whom an operator's rule means: a worker by name, a slot of a host, a host, a label, a kind.

A rule on a model says who serves it; one that no rule names is served wherever its plugin is. That
is of items alone: who trains is decided by slots. Pure: reads records, changes nothing.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from seqd.validation import did_you_mean
from seqd_schemas import CordonAction, CordonRule, PlacementRule, WorkerStatus

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


def target_of(worker: WorkerStatus) -> str:
    """Return the target of a worker: its slot, where the next one there gets another name."""
    slot_at_host = f"{worker.slot}@{worker.host}"
    fronts = (f"{slot_at_host}-", f"{slot_at_host.replace('@', '-', 1)}-")
    is_given = not worker.worker.startswith(fronts)
    own = is_given and not worker.supervised
    return f"worker:{worker.worker}" if own else f"slot:{slot_at_host}"


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


def standing(rules: Iterable[CordonRule]) -> list[CordonRule]:
    """Return the rules that keep workers from claiming."""
    return [rule for rule in rules if rule.action is not CordonAction.RESTART]


def meant_by(targets: Collection[str], workers: Iterable[WorkerStatus]) -> list[WorkerStatus]:
    """Return the workers that rules with these targets mean."""
    return [one for one in workers if any(is_meant(Place.of(one), target) for target in targets)]


def rule_for(rules: Iterable[CordonRule], place: Place) -> CordonRule | None:
    """Return the rule that keeps a worker from claiming, a drain before a cordon; else None."""
    meant = [rule for rule in standing(rules) if is_meant(place, rule.target)]
    return min(
        meant,
        key=lambda rule: (rule.action is not CordonAction.DRAIN, rule.at_ms, rule.target),
        default=None,
    )


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


def is_placed_on(rule: PlacementRule, place: Place) -> bool:
    """Return True where a rule means the worker."""
    return any(is_meant(place, target) for target in rule.targets)


def serves_model(
    model: str, served: Collection[str], rules: Mapping[str, PlacementRule], place: Place
) -> bool:
    """Return True where a worker serves the items of a model.

    Both have to allow it: its own setting `served`, which allows all where it is empty, and the
    rule of the model, where one stands.
    """
    if served and model not in served:
        return False
    rule = rules.get(model)
    return rule is None or is_placed_on(rule, place)


def unknown_served(served: Collection[str], known: Collection[str]) -> list[str]:
    """Return a sentence for each name to be served that no model of a worker has."""
    return [
        f"SEQD_SERVES (--serves) names {name!r}, and no model here has that name: nothing is "
        f"served by it until one is trained or imported.{did_you_mean(name, known)}"
        for name in served
        if name not in known
    ]


def targets_in_words(targets: Iterable[str]) -> str:
    """Return targets as they are typed: `--on gpu --label zone=a`."""
    return " ".join(
        option if (option := option_of(target)).startswith("--") else f"--on {option}"
        for target in targets
    )
