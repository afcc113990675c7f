"""Models as people see them: tables, what a version has learnt, and how it predicts a text."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Final

from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_facts, print_rows, print_table
from seqd.hookspecs import Inspection
from seqd.views.columns import Column
from seqd.views.numbers import age, metric, metrics_line
from seqd_schemas import CatalogEntry, ModelManifest, VersionSummary

#: Stands where a version's time would: one that is the plugin's code was not made at a time.
BUILT_IN: Final = "built in"


#: What tables say of a model; who can run it stands before the last of them.
MODEL_COLUMNS: Final[tuple[Column[CatalogEntry], ...]] = (
    Column("model", lambda entry: entry.model),
    Column("tasks", lambda entry: ", ".join(entry.all_tasks)),
    Column("versions", lambda entry: versions_told(entry), wraps=True),
    Column("what it is", lambda entry: entry.summary, wraps=True),
)


def versions_told(entry: CatalogEntry) -> str:
    """Return the versions of a model, each with its labels."""
    told = (with_labels(one.version, entry.labels) for one in entry.versions)
    return ", ".join(told) or "none"


def print_models(screen: Screen, entries: Sequence[CatalogEntry]) -> None:
    """Print a table of models."""
    if entries:
        print_table(screen, MODEL_COLUMNS, entries)
    else:
        screen.say("No models. `seqd plugins list` shows the plugins that should bring some.")


def print_versions(
    screen: Screen, versions: Sequence[ModelManifest | VersionSummary], labels: Mapping[str, int]
) -> None:
    """Print a table of a model's versions, where there are several."""
    if len(versions) < 2:
        return
    now_ms = time.time_ns() // 1_000_000
    columns: tuple[Column[ModelManifest | VersionSummary], ...] = (
        Column("version", lambda one: with_labels(one.version, labels)),
        Column("preset", lambda one: one.preset or ""),
        Column("age", lambda one: BUILT_IN if one.is_built_in else age(one.created_at_ms, now_ms)),
        Column("metrics", lambda one: metrics_line(one.metrics), wraps=True),
    )
    screen.say()
    print_table(screen, columns, versions)


def print_inspections(
    screen: Screen, tables: Sequence[Inspection], *, is_first: bool = True
) -> None:
    """Print what a plugin shows of a version, a blank line between tables."""
    for number, table in enumerate(tables):
        if number or not is_first:
            screen.say()
        print_rows(screen, table.columns, table.rows, title=table.title)


def with_labels(version: int, labels: Mapping[str, int]) -> str:
    """Return a version with its labels, such as `3 (production)`."""
    names = sorted(label for label, number in labels.items() if number == version)
    return f"{version} ({', '.join(names)})" if names else str(version)


def print_text_figures(
    screen: Screen, figures: Mapping[str, float], *, model: str, data: str
) -> None:
    """Print how well a model predicts a text."""
    shown = {
        name.replace("_", " "): metric(figure) if math.isfinite(figure) else "infinite"
        for name, figure in figures.items()
    }
    print_facts(screen, {"model": model, "data": data} | shown)
