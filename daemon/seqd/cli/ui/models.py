"""Models as people see them: tables, what a version has learnt, and how it predicts a text."""

import math
import time
from collections.abc import Mapping, Sequence

from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_facts, print_rows, print_table
from seqd.hookspecs import Inspection
from seqd.views.models import MODEL_COLUMNS, version_columns
from seqd.views.numbers import metric
from seqd_schemas import CatalogEntry, ModelManifest, VersionSummary


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
    screen.say()
    print_table(screen, version_columns(labels, now_ms), versions)


def print_inspections(
    screen: Screen, tables: Sequence[Inspection], *, is_first: bool = True
) -> None:
    """Print what a plugin shows of a version, a blank line between tables."""
    for number, table in enumerate(tables):
        if number or not is_first:
            screen.say()
        print_rows(screen, table.columns, table.rows, title=table.title)


def print_text_figures(
    screen: Screen, figures: Mapping[str, float], *, model: str, data: str
) -> None:
    """Print how well a model predicts a text."""
    shown = {
        name.replace("_", " "): metric(figure) if math.isfinite(figure) else "infinite"
        for name, figure in figures.items()
    }
    print_facts(screen, {"model": model, "data": data} | shown)
