"""What came of a chaos run, as rows for one seed and as a table for several.

Pure. Says OK or FAIL beside each figure that has a limit.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

#: Limits of the project, in MB: of a worker's growth over the job, not of its size.
WORKER_GROWTH_MB = 100
CLIENT_MB = 150
REDIS_MB = 300


@dataclass(frozen=True)
class Outcome:
    """One run: counts over all its jobs, times in seconds, memory in MB."""

    load: str
    seed: int
    faults: int
    faults_due: int
    jobs: int
    items_in: int
    items_out: int
    lost: int
    doubled: int
    misplaced: int
    wrong: int
    #: Labels that a person gave as well, of `judged`; the light plugin has none.
    right: int
    judged: int
    units_again: int
    late_commits: int
    longest_stall_s: float
    seconds: float
    worker_growth_mb: float
    worker_peak_mb: float
    client_peak_mb: float
    redis_peak_mb: float

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        return cls(**json.loads(path.read_text()))

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self)))

    @property
    def passed(self) -> bool:
        """True when all faults came, all is as it must be, and memory kept to its limits."""
        wrong = self.lost + self.doubled + self.misplaced + self.wrong
        whole = wrong == 0 and self.items_in == self.items_out > 0
        return whole and self.faults == self.faults_due and self.kept_to_limits

    @property
    def kept_to_limits(self) -> bool:
        """True when every peak is under its limit."""
        return (
            self.worker_growth_mb < WORKER_GROWTH_MB
            and self.client_peak_mb < CLIENT_MB
            and self.redis_peak_mb < REDIS_MB
        )


def print_rows(outcome: Outcome) -> None:
    """Print one run, a figure a line."""
    rows: dict[str, tuple[object, str]] = {
        "faults": (outcome.faults, _verdict(outcome.faults == outcome.faults_due)),
        "jobs": (outcome.jobs, ""),
        "items in": (outcome.items_in, ""),
        "items out": (outcome.items_out, _verdict(outcome.items_out == outcome.items_in)),
        "lost": (outcome.lost, _verdict(outcome.lost == 0)),
        "doubled": (outcome.doubled, _verdict(outcome.doubled == 0)),
        "out of place": (outcome.misplaced, _verdict(outcome.misplaced == 0)),
        "errors and other labels": (outcome.wrong, _verdict(outcome.wrong == 0)),
        **_accuracy(outcome),
        "units started again": (outcome.units_again, ""),
        "late commits refused": (outcome.late_commits, ""),
        "longest stall, s": (f"{outcome.longest_stall_s:.1f}", ""),
        "seconds": (f"{outcome.seconds:.1f}", ""),
        "worker peak, MB": (f"{outcome.worker_peak_mb:.0f}", ""),
        "worker growth, MB": _limited(outcome.worker_growth_mb, WORKER_GROWTH_MB),
        "client peak, MB": _limited(outcome.client_peak_mb, CLIENT_MB),
        "Redis peak, MB": _limited(outcome.redis_peak_mb, REDIS_MB),
    }
    for name, (value, verdict) in rows.items():
        print(f"{name:<26}{value:>12}  {verdict}".rstrip())


_COLUMNS = (
    "seed faults jobs  items in items out lost doubled misplaced wrong  again  late stall s    s "
    "worker+ client Redis MB"
)


def print_table(outcomes: list[Outcome]) -> None:
    """Print several runs of one load, a row each."""
    print(f"\n{outcomes[0].load}, by seed\n{_COLUMNS}")
    for one in outcomes:
        print(
            f"{one.seed:4} {one.faults:3}/{one.faults_due:<2} {one.jobs:4} {one.items_in:9} "
            f"{one.items_out:9} {one.lost:4} {one.doubled:7} {one.misplaced:9} {one.wrong:5} "
            f"{one.units_again:6} {one.late_commits:5} {one.longest_stall_s:7.1f} "
            f"{one.seconds:4.0f} {one.worker_growth_mb:7.0f} {one.client_peak_mb:6.0f} "
            f"{one.redis_peak_mb:8.0f}  {_verdict(one.passed)}"
        )
    print(
        f"limits: worker growth {WORKER_GROWTH_MB} MB, client {CLIENT_MB} MB, Redis {REDIS_MB} MB; "
        "again: units started more than once; late: commits that the ledger refused"
    )


def _accuracy(outcome: Outcome) -> dict[str, tuple[object, str]]:
    if not outcome.judged:
        return {}
    return {"accuracy": (f"{outcome.right / outcome.judged:.4f}", "")}


def _limited(value_mb: float, limit_mb: int) -> tuple[object, str]:
    return f"{value_mb:.0f}", f"{_verdict(value_mb < limit_mb)} (under {limit_mb})"


def _verdict(holds: bool) -> str:
    return "OK" if holds else "FAIL"
