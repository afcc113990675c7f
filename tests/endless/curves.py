"""The curves of an endless run, and whether each is flat after the warm-up.

Pure. A curve is flat when it does not rise: its slope after the warm-up,
times the length of that time, is within its tolerance. The slope is Theil and Sen's, the median of
the slopes between all pairs of samples, which single peaks do not move. A curve that goes up and
down by design, such as files that are rewritten when they are long, is judged by its peaks: those
of the second half against those of the first. A single sample makes no peak, since one that falls
into the start of a process counts what it holds for a moment; one of twenty does.
"""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations

#: Samples between which slopes are taken; more of them change the median by little.
SLOPE_SAMPLES = 120

#: Of so many samples one exceeds what counts as the peak.
SAMPLES_A_PEAK = 20

#: Samples after the warm-up without which there is no verdict.
MIN_SAMPLES = 4


@dataclass
class Curve:
    """One figure over time. `values` are NaN where there was nothing to measure."""

    name: str
    #: Rise that is still flat: a share of the curve's median, and at least so much.
    share: float
    least: float
    by_peaks: bool = False
    values: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    """How a curve went after the warm-up."""

    name: str
    median: float
    rise: float
    tolerance: float

    @property
    def is_flat(self) -> bool:
        """True when it did not rise beyond its tolerance."""
        return self.rise <= self.tolerance


@dataclass
class Soak:
    """All curves of a run, with the seconds at which they were sampled."""

    warm_up_s: float
    seconds: list[float] = field(default_factory=list)
    curves: dict[str, Curve] = field(default_factory=dict)
    #: Items that came out, by kind of work.
    items_of: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def add(self, second: float, sample: dict[str, tuple[Curve, float]]) -> None:
        """Add a sample of each curve; one that is missing in it has a gap there."""
        self.seconds.append(second)
        for name, (curve, _) in sample.items():
            if name not in self.curves:
                gap = [float("nan")] * (len(self.seconds) - 1)
                self.curves[name] = Curve(**{**asdict(curve), "values": gap})
        for name, curve in self.curves.items():
            curve.values.append(sample[name][1] if name in sample else float("nan"))

    def peak(self, name: str) -> float:
        """Return the highest value of a curve, or of all whose names end so; 0 without any."""
        return max((max(values) for values in self._of(name)), default=0.0)

    def growth(self, name: str) -> float:
        """Return how far such a curve has been above its own median, at most."""
        grown = (max(values) - statistics.median(values) for values in self._of(name))
        return round(max(grown, default=0.0), 1)

    def _of(self, name: str) -> list[list[float]]:
        curves = [curve for curve in self.curves.values() if curve.name.endswith(name)]
        found = [[value for value in curve.values if value == value] for curve in curves]
        return [values for values in found if values]

    def verdicts(self) -> list[Verdict]:
        """Return the verdict on each curve that has enough samples after the warm-up."""
        found = []
        for curve in self.curves.values():
            points = [
                (second, value)
                for second, value in zip(self.seconds, curve.values, strict=True)
                if second >= self.warm_up_s and value == value
            ]
            if len(points) >= MIN_SAMPLES:
                found.append(verdict_of(curve, points))
        return found


def verdict_of(curve: Curve, points: Sequence[tuple[float, float]]) -> Verdict:
    """Judge a curve by its points after the warm-up, as pairs of second and value."""
    median = statistics.median(value for _, value in points)
    rise = _rise_of_peaks(points) if curve.by_peaks else _rise_by_slope(points)
    return Verdict(curve.name, median, rise, max(curve.share * abs(median), curve.least))


def _rise_of_peaks(points: Sequence[tuple[float, float]]) -> float:
    half = len(points) // 2
    return _peak(points[half:]) - _peak(points[:half])


def _peak(points: Sequence[tuple[float, float]]) -> float:
    """Return the value that one of `SAMPLES_A_PEAK` samples exceeds."""
    values = sorted(value for _, value in points)
    return values[-1 - len(values) // SAMPLES_A_PEAK]


def _rise_by_slope(points: Sequence[tuple[float, float]]) -> float:
    step = max(1, len(points) // SLOPE_SAMPLES)
    slopes = [
        (value - earlier_value) / (second - earlier)
        for (earlier, earlier_value), (second, value) in combinations(points[::step], 2)
    ]
    return statistics.median(slopes) * (points[-1][0] - points[0][0])
