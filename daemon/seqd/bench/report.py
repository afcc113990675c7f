"""What a bench has found, as data: figures round by round, and what they were measured on.

`showing` prints it for people; `as_json` gives it to programs, each round included. Knows no
bench.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

from pydantic import JsonValue, TypeAdapter

from seqd.bench.machine import Machine
from seqd.bench.rounds import Spread, percentile, spread

#: How a row's figures read: a rate or count, a time, a factor, a share of 1, a size in bytes, bits
#: or nats a character.
Unit = Literal["a second", "count", "s", "ms", "times", "share", "bytes", "bits", "nats"]

_JSON: TypeAdapter[JsonValue] = TypeAdapter(JsonValue)


@dataclass(frozen=True, slots=True)
class Row:
    """One measured thing, with its figure of each round."""

    name: str
    unit: Unit
    rounds: Sequence[float]

    @property
    def spread(self) -> Spread:
        """The middle and the ends."""
        return spread(self.rounds)


@dataclass(frozen=True, slots=True)
class Latencies:
    """How long single things took, in ms; too many to show each."""

    name: str
    values_ms: Sequence[float]

    @property
    def summary(self) -> dict[str, float]:
        """Median, 99th percentile and longest, in ms."""
        return {
            "median": percentile(self.values_ms, 0.5),
            "99%": percentile(self.values_ms, 0.99),
            "longest": max(self.values_ms),
        }


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure that has no rounds, or sums up all of them."""

    name: str
    unit: Unit
    value: float


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a grid."""

    name: str
    unit: Unit


@dataclass(frozen=True, slots=True)
class Grid:
    """Figures of several things that are alike, a line each."""

    columns: Sequence[Column]
    lines: Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Section:
    """What stands under one heading."""

    title: str
    rows: Sequence[Row] = ()
    latencies: Sequence[Latencies] = ()
    facts: Sequence[Fact] = ()
    grid: Grid | None = None


@dataclass(slots=True)
class Report:
    """A whole bench."""

    bench: str
    #: What was done, in a sentence.
    what: str
    machine: Machine
    #: All that the figures hang on: counts, sizes, slots, where the data came from.
    setup: dict[str, str | int | float]
    load_before: float | None
    load_after: float | None = None
    sections: list[Section] = field(default_factory=list)
    #: What was left out and why, and what a reader must know.
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, JsonValue]:
        """Give all of it for programs, with the medians and ends beside the rounds."""
        plain = asdict(self)
        plain["sections"] = [_section_as_json(section) for section in self.sections]
        found = _JSON.validate_python(plain)
        assert isinstance(found, dict)
        return found


def _section_as_json(section: Section) -> dict[str, object]:
    rows = [
        {**asdict(row), "rounds": list(row.rounds), **asdict(row.spread)} for row in section.rows
    ]
    latencies = [
        {"name": one.name, "unit": "ms", "values_ms": list(one.values_ms), **one.summary}
        for one in section.latencies
    ]
    facts = [asdict(fact) for fact in section.facts]
    found: dict[str, object] = {
        "title": section.title,
        "rows": rows,
        "latencies": latencies,
        "facts": facts,
    }
    if section.grid is not None:
        names = [column.name for column in section.grid.columns]
        found["lines"] = [dict(zip(names, line, strict=True)) for line in section.grid.lines]
    return found
