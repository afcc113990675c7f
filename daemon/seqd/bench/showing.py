"""Prints a report for people: a table a heading, and what all of it was measured on."""

from collections.abc import Sequence

from seqd.bench.machine import Machine
from seqd.bench.report import Report, Section, Unit
from seqd.cli.rendering.numbers import size
from seqd.cli.rendering.screen import Screen
from seqd.cli.rendering.tables import print_facts, print_table

_GIB = 1024**3


def show(report: Report, screen: Screen) -> None:
    """Print all of it."""
    screen.say(f"seqd bench {report.bench}: {report.what}", "bold")
    load = (report.load_before, report.load_after)
    print_facts(screen, _machine_facts(report.machine, load) | _texts(report.setup))
    for section in report.sections:
        screen.say()
        _show_section(section, screen)
    if report.notes:
        screen.say()
    for note in report.notes:
        screen.say(f"Note: {note}", "yellow")


def shown(value: float, unit: Unit) -> str:
    """Give a figure as people read it, its unit with it where the heading has none."""
    if unit == "share":
        return f"{value:.1%}"
    if unit == "bytes":
        return size(round(value))
    if unit in ("bits", "nats"):
        return f"{value:.4f}"
    if unit in ("a second", "count"):
        if value == int(value):
            return f"{value:,.0f}"
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}"
    digits = 1 if abs(value) >= 100 else 2
    return f"{value:,.{digits}f}" + {"s": " s", "ms": " ms", "times": ""}[unit]


def _machine_facts(machine: Machine, load: tuple[float | None, float | None]) -> dict[str, object]:
    memory = f"{machine.memory_bytes / _GIB:.0f} GiB"
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    loads = " to ".join(f"{value:g}" for value in load if value is not None)
    return {
        "machine": f"{machine.processor}, {machine.cores} cores, {memory}, {machine.system}",
        "versions": f"Python {machine.python}, {versions}",
        "load average": loads,
    }


def _texts(setup: dict[str, str | int | float]) -> dict[str, object]:
    return {
        name: f"{value:,}" if isinstance(value, int) else value for name, value in setup.items()
    }


def _show_section(section: Section, screen: Screen) -> None:
    if section.rows:
        rows = [
            (
                row.name,
                *_cells((row.spread.median, row.spread.lowest, row.spread.highest), row.unit),
            )
            for row in section.rows
        ]
        _table(screen, (section.title, "median", "lowest", "highest"), rows)
    if section.latencies:
        latencies = [
            (one.name, f"{len(one.values_ms):,}", *_cells(list(one.summary.values()), "ms"))
            for one in section.latencies
        ]
        _table(screen, (section.title, "number", "median", "99%", "longest"), latencies)
    if section.facts:
        title = "" if section.rows or section.latencies else section.title
        facts = [(fact.name, shown(fact.value, fact.unit)) for fact in section.facts]
        _table(screen, (title, ""), facts)
    if section.grid is not None:
        columns = section.grid.columns
        lines = [
            ["", *(shown(value, column.unit) for value, column in zip(line, columns, strict=True))]
            for line in section.grid.lines
        ]
        _table(screen, [section.title, *(column.name for column in columns)], lines)


def _cells(values: Sequence[float], unit: Unit) -> list[str]:
    return [shown(value, unit) for value in values]


def _table(screen: Screen, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print texts of figures right-aligned, which `print_table` does with numbers alone."""
    widths = [max(len(row[place]) for row in [columns, *rows]) for place in range(len(columns))]
    aligned = [
        (row[0], *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)))
        for row in rows
    ]
    heads = [
        columns[0],
        *(name.rjust(width) for name, width in zip(columns[1:], widths[1:], strict=True)),
    ]
    print_table(screen, heads, aligned)
