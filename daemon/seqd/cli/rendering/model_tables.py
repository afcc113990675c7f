"""Models and versions as tables, a version in full, its curve, and what a plugin shows of it."""

import time
from collections.abc import Mapping, Sequence
from typing import Final

from seqd.cli.rendering.numbers import age, clock, count, metric, size
from seqd.cli.rendering.screen import Screen
from seqd.cli.rendering.tables import print_facts, print_table, values_line
from seqd.cli.rendering.training_chart import epochs_chart
from seqd.hookspecs import Inspection
from seqd_schemas import CatalogEntry, ModelManifest

#: Characters of the bar of the largest share, and the eighths that end a bar.
_BAR_CHARS: Final = 24
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"


def print_models(screen: Screen, entries: Sequence[CatalogEntry]) -> None:
    """Print a table of models."""
    rows = [
        (
            entry.model,
            ", ".join(entry.tasks),
            ", ".join(_with_labels(one.version, entry.labels) for one in entry.versions) or "none",
            entry.summary,
        )
        for entry in entries
    ]
    if rows:
        print_table(screen, ("model", "tasks", "versions", "what it is"), rows)
    else:
        screen.say("No models. `seqd plugins list` shows the plugins that should bring some.")


def print_version(screen: Screen, manifest: ModelManifest, labels: Mapping[str, int]) -> None:
    """Print a version's manifest."""
    made = {
        "version": f"{manifest.model}@{_with_labels(manifest.version, labels)}",
        "made": clock(manifest.created_at_ms)
        + (f" by job {manifest.job_id}" if manifest.job_id else ""),
        "preset": manifest.preset,
        "data": f"{manifest.data.description}, size {count(manifest.data.records)}, "
        f"sha256 {manifest.data.sha256[:12]}",
        "parameters": values_line(manifest.parameters),
        "seed": manifest.seed,
        "libraries": ", ".join(f"{name} {known}" for name, known in manifest.libraries.items()),
        "files": ", ".join(
            f"{name} ({size(digest.size_bytes)})" for name, digest in manifest.files.items()
        ),
    }
    metrics = {name.replace("_", " "): metric(value) for name, value in manifest.metrics.items()}
    print_facts(screen, made)
    screen.say()
    print_facts(screen, metrics)
    chart = epochs_chart(manifest.epochs, screen.console.width)
    if chart:
        screen.say()
        screen.block(chart)


def print_versions(
    screen: Screen, versions: Sequence[ModelManifest], labels: Mapping[str, int]
) -> None:
    """Print a table of a model's versions, where there are several."""
    if len(versions) < 2:
        return
    now_ms = time.time_ns() // 1_000_000
    rows = [
        (
            _with_labels(one.version, labels),
            one.preset or "",
            age(one.created_at_ms, now_ms),
            ", ".join(f"{name} {metric(value)}" for name, value in one.metrics.items()),
        )
        for one in versions
    ]
    screen.say()
    print_table(screen, ("version", "preset", "age", "metrics"), rows)


def print_inspections(
    screen: Screen, tables: Sequence[Inspection], *, is_first: bool = True
) -> None:
    """Print what a plugin shows of a version, a blank line between tables."""
    for number, table in enumerate(tables):
        if number or not is_first:
            screen.say()
        bars = bars_of(table) if screen.is_live else []
        rows = [(*row, bars[place]) for place, row in enumerate(table.rows)] if bars else table.rows
        columns = (*table.columns, "") if bars else table.columns
        print_table(screen, columns, rows, title=table.title)


def bars_of(table: Inspection) -> list[str]:
    """Draw each row's share as a bar, the largest as the longest; none of any other table."""
    if table.distribution is None or not table.rows:
        return []
    place = table.columns.index(table.distribution.shares)
    shares = [float(row[place]) for row in table.rows]
    longest = max(shares)
    return [_bar(share / longest if longest > 0 else 0.0) for share in shares]


def _bar(share: float) -> str:
    eighths = round(share * _BAR_CHARS * 8)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()


def _with_labels(version: int, labels: Mapping[str, int]) -> str:
    names = sorted(label for label, number in labels.items() if number == version)
    return f"{version} ({', '.join(names)})" if names else str(version)
