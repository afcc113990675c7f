"""The figures of a plugin's own task on one set of items, and the F1 of what has labels."""

from collections import Counter
from dataclasses import dataclass, field

from seqd.analysis.intervals import OnlineRatio, wilson_interval
from seqd.analysis.wilson import Interval
from seqd_schemas import EvaluatedClass, EvaluatedMetric


@dataclass(frozen=True, slots=True)
class TaskReport:
    """Figures by name, and those of each label where outputs have labels."""

    items: int
    metrics: dict[str, EvaluatedMetric]
    #: Those of all labels, the most frequent first.
    classes: tuple[EvaluatedClass, ...] = ()
    #: Items that were given and are in no figure, as there is no room for them.
    beyond_limit: int = 0


def share_of(right: int, items: int) -> EvaluatedMetric:
    """Return a share of items with its interval (Wilson 1927)."""
    low, high = wilson_interval(right, items)
    return EvaluatedMetric(value=right / items, low=low, high=high, method="wilson")


def by_normal(value: float, interval: Interval | None) -> EvaluatedMetric:
    """Return a figure whose interval, where there is one, is by the normal distribution."""
    low, high = interval or (None, None)
    return EvaluatedMetric(
        value=value, low=low, high=high, method=None if interval is None else "normal"
    )


@dataclass(slots=True)
class SetCounts:
    """Precision, recall and F1 of items that each have a set of labelled things.

    The memory grows with the labels alone. Micro figures are of all things together, the macro F1
    is the mean over the labels that occur among the true ones.
    """

    items: int = 0
    exact: int = 0
    true: Counter[str] = field(default_factory=Counter)
    given: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    _f1: OnlineRatio = field(default_factory=OnlineRatio)
    _precision: OnlineRatio = field(default_factory=OnlineRatio)
    _recall: OnlineRatio = field(default_factory=OnlineRatio)

    def add(self, true: Counter[str], given: Counter[str], right: Counter[str]) -> None:
        """Count one item: the true things of each label, those given, and those in both."""
        trues, givens, rights = true.total(), given.total(), right.total()
        self.items += 1
        self.exact += trues == givens == rights
        self.true.update(true)
        self.given.update(given)
        self.right.update(right)
        self._f1.add(2 * rights, trues + givens)
        self._precision.add(rights, givens)
        self._recall.add(rights, trues)

    def metrics(self) -> dict[str, EvaluatedMetric]:
        """Return the figures; one whose denominator is zero is left out."""
        found = {
            "f1_micro": self._f1,
            "precision_micro": self._precision,
            "recall_micro": self._recall,
        }
        metrics = {
            name: by_normal(ratio.value, ratio.interval())
            for name, ratio in found.items()
            if ratio.value is not None
        }
        if self.true:
            f1s = [
                _f1(self.right[label], self.true[label], self.given[label]) for label in self.true
            ]
            metrics["f1_macro"] = EvaluatedMetric(value=sum(f1s) / len(f1s))
        metrics["exact_match"] = share_of(self.exact, self.items)
        return metrics

    def classes(self) -> tuple[EvaluatedClass, ...]:
        """Return the figures of each label, the most frequent among the true ones first."""
        labels = sorted({*self.true, *self.given}, key=lambda one: (-self.true[one], one))
        return tuple(
            EvaluatedClass(
                label=label,
                items=self.true[label],
                predicted=self.given[label],
                precision=_ratio(self.right[label], self.given[label]),
                recall=_ratio(self.right[label], self.true[label]),
                f1=_f1(self.right[label], self.true[label], self.given[label]),
            )
            for label in labels
        )


def _f1(right: int, true: int, given: int) -> float:
    return 2 * right / (true + given)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
