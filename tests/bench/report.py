"""What a benchmark has found: figures round by round, as tables for people and as JSON.

Sides take turns in rounds, so that a busy moment of the machine meets all of them. A ratio is taken
within a round, between neighbours in time, and only then summed up.
"""

import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from seqd.local.slots import cores

Side = Callable[[], float]
#: A figure as it stands in the JSON. Its unit is one of `a second`, `count`, `s`, `ms`, `times`,
#: `share`, `bytes`, `bits` and `nats`.
Figure = dict[str, Any]

#: Distributions whose version may change a figure.
_TAKING_PART = {"seqd", "numpy", "celery", "redis", "keras", "tensorflow", "onnxruntime"}
_NOT_SHOWN = {"name", "unit", "rounds", "values_ms"}


def in_turn(sides: Mapping[str, Side], rounds: int) -> dict[str, list[float]]:
    """Run each side once a round; returns what each returned, by its name.

    Every other round goes backwards, so that no side always comes right behind the same one.
    """
    figures: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}")
        for name in list(sides) if number % 2 else reversed(list(sides)):
            figures[name].append(sides[name]())
    return figures


def warm_up(sides: Mapping[str, Side]) -> None:
    """Run each side once, for nothing."""
    say("warming up")
    for side in sides.values():
        side()


def say(line: str) -> None:
    """Tell on stderr what happens."""
    print(f"… {line}", file=sys.stderr, flush=True)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return how many times theirs ours is, round by round."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest value that at least `percent` of all values do not exceed."""
    return sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]


def row(name: str, unit: str, rounds: Sequence[float]) -> Figure:
    """Return one measured thing with its figure of each round."""
    found = {"name": name, "unit": unit, "rounds": list(rounds)}
    ends = {"lowest": min(rounds), "highest": max(rounds)}
    return {**found, "median": statistics.median(rounds), **ends}


def latencies(name: str, values_ms: Sequence[float]) -> Figure:
    """Return how long single things took, too many to show each."""
    found = {"name": name, "unit": "ms", "values_ms": list(values_ms)}
    ends = {"99%": percentile(values_ms, 99), "longest": max(values_ms)}
    return {**found, "median": percentile(values_ms, 50), **ends}


def fact(name: str, unit: str, value: float) -> Figure:
    """Return one figure that has no rounds, or sums up all of them."""
    return {"name": name, "unit": unit, "value": value}


def this_machine() -> dict[str, Any]:
    """Return what the figures are measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    installed = {found.name.partition("_")[0]: found.version for found in metadata.distributions()}
    return {
        "processor": next(names, "") or platform.processor() or "unknown",
        "cores": cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: installed[name] for name in sorted(_TAKING_PART & installed.keys())},
    }


@dataclass
class Report:
    """A whole benchmark; its fields are its JSON. Loads are those of the last minute."""

    bench: str
    what: str
    #: All that the figures hang on: options, counts, where the data came from.
    setup: dict[str, object]
    machine: dict[str, Any] = field(default_factory=this_machine)
    load_before: float = field(default_factory=lambda: os.getloadavg()[0])
    load_after: float = 0.0
    sections: list[dict[str, Any]] = field(default_factory=list)
    #: What was left out and why, and what a reader must know.
    notes: list[str] = field(default_factory=list)

    def add(self, title: str, rows: Sequence[Figure] = (), **parts: Sequence[Any]) -> None:
        """Add what stands under one heading: rows, latencies, facts, or lines with their units."""
        empty = dict.fromkeys(("latencies", "facts", "lines", "units"), ())
        lists = {name: list(part) for name, part in {"rows": rows, **empty, **parts}.items()}
        self.sections.append({"title": title, **lists})


def shown(value: float, unit: str) -> str:
    """Return a figure as people read it, its unit with it where the heading has none."""
    if unit == "share":
        return f"{value:.1%}"
    if unit == "bytes":
        return f"{value / 1e6:,.1f} MB"
    if unit in ("bits", "nats"):
        return f"{value:.4f}"
    if unit in ("a second", "count"):
        return f"{value:,.1f}" if value != int(value) and abs(value) < 100 else f"{value:,.0f}"
    digits = 1 if abs(value) >= 100 else 2
    return f"{value:,.{digits}f}" + {"s": " s", "ms": " ms"}.get(unit, "")


def show(report: Report) -> None:
    """Print all of it for people."""
    machine, memory_gib = report.machine, report.machine["memory_bytes"] / 1024**3
    versions = {machine["system"]: "", "Python": machine["python"], **machine["versions"]}
    facts = {
        "machine": f"{machine['processor']}, {machine['cores']} cores, {memory_gib:.0f} GiB",
        "versions": ", ".join(f"{name} {version}".strip() for name, version in versions.items()),
        "load average": f"{report.load_before:.2f} to {report.load_after:.2f}",
        **{name: value for name, value in report.setup.items() if value is not None},
    }
    print(f"{report.bench}: {report.what}")
    for name, value in facts.items():
        print(f"{name:<27} {value:,}" if type(value) is int else f"{name:<27} {value}")
    for table in _tables(report.sections):
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        print()
        for first, *rest in table:
            print("  ".join([first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])]))
    for note in report.notes:
        print(f"\nNote: {note}")


def _tables(sections: Sequence[Mapping[str, Any]]) -> Iterator[list[list[str]]]:
    """Yield tables of cells, the first line of each its heading."""
    for section in sections:
        for figures in filter(None, (section["rows"], section["latencies"], section["facts"])):
            keys = [key for key in figures[0] if key not in _NOT_SHOWN]
            heading = [section["title"], *keys]
            yield [
                heading,
                *(
                    [one["name"], *(shown(one[key], one["unit"]) for key in keys)]
                    for one in figures
                ),
            ]
        if lines := section["lines"]:
            cells = (["", *map(shown, line.values(), section["units"])] for line in lines)
            yield [[section["title"], *lines[0]], *cells]
