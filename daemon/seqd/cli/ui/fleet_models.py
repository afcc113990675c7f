"""The fleet's models as people see them: a table, and a model in full with its workers."""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from seqd.cli.ui.models import BUILT_IN, with_labels
from seqd.cli.ui.numbers import age, clock, counted, metric
from seqd.cli.ui.rollouts import print_rollout
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_facts, print_table
from seqd.kinds import TRAIN
from seqd.ledger.model_pauses import pause_in_words
from seqd.serving import ServingWorker
from seqd_schemas import CatalogEntry, ModelPause, VersionCounts, VersionSummary

#: Versions of one worker that a table names, the newest.
_MOST_VERSIONS = 8


def print_fleet_models(
    screen: Screen,
    rows: Sequence[tuple[CatalogEntry, Sequence[ServingWorker]]],
    pauses: Mapping[str, ModelPause],
) -> None:
    """Print a table of models with the workers that can run each."""
    if not rows:
        screen.say(
            "No worker has published a model yet: start workers with `seqd up`. The models of this "
            "machine's own store: seqd models list --local"
        )
        return
    columns = ("model", "tasks", "versions", "workers", "what it is")
    print_table(screen, columns, [_row(entry, serving, pauses) for entry, serving in rows])


class FleetModel(NamedTuple):
    """A model, the version of it that is meant, and whether it is paused."""

    entry: CatalogEntry
    version: int | None
    pause: ModelPause | None


def print_fleet_model(
    screen: Screen,
    model: FleetModel,
    serving: Sequence[ServingWorker],
    counts: Sequence[VersionCounts] | None,
    *,
    has_card: bool = False,
) -> None:
    """Print a model, a version of it, and the workers that have it.

    `counts` are those of the roll-out that goes on. `has_card` says that the version's card is
    printed below.
    """
    entry, version, pause = model
    shown = next((one for one in entry.versions if one.version == version), None)
    print_facts(screen, _facts(entry, shown, is_brief=has_card))
    if pause is not None:
        words = pause_in_words(pause)
        screen.say(f"It is {words}. Let it go on: seqd models resume {entry.model}", "yellow")
    if entry.labels_fault is not None:
        screen.say(f"Its labels mean nothing now: {entry.labels_fault}", "yellow")
    if len(entry.versions) > 1:
        screen.say()
        _print_versions(screen, entry)
    if entry.rollout is not None:
        screen.say()
        print_rollout(screen, entry.model, entry.rollout, counts or ())
    screen.say()
    _print_workers(screen, entry, serving)
    if shown is not None and not has_card:
        screen.say()
        screen.say(
            "Its card, and what it has learnt, on a machine that has the store: seqd models show "
            f"{entry.model}@{version} --local",
            "dim",
        )


def _row(
    entry: CatalogEntry, serving: Sequence[ServingWorker], pauses: Mapping[str, ModelPause]
) -> tuple[object, ...]:
    versions = ", ".join(with_labels(one.version, entry.labels) for one in entry.versions)
    able = sum(bool(one.versions) or not entry.versions for one in serving)
    of = "" if able == len(serving) else f"{able} of "
    workers = f"{of}{counted(len(serving), 'worker')}" if serving else "none is up"
    if pause := pauses.get(entry.model):
        workers += ", disabled" if pause.disabled else ", paused"
    return (entry.model, ", ".join(entry.all_tasks), versions or "none", workers, entry.summary)


def _facts(
    entry: CatalogEntry, version: VersionSummary | None, *, is_brief: bool
) -> dict[str, object]:
    facts: dict[str, object] = {
        "model": entry.model,
        "what it is": entry.summary,
        "plugin": f"{entry.plugin} {entry.plugin_version}",
        "tasks": ", ".join(entry.all_tasks),
        "presets": ", ".join(entry.presets),
        "data sets": ", ".join(entry.datasets),
        "version": _no_version(entry),
    }
    if version is not None:
        facts["version"] = with_labels(version.version, entry.labels)
    if version is not None and not is_brief:
        facts |= {
            "made": BUILT_IN if version.is_built_in else clock(version.created_at_ms),
            "preset": version.preset,
            "metrics": _metrics(version),
        }
    return facts


def _no_version(entry: CatalogEntry) -> str:
    """Say how a model gets a version."""
    adds = f"models add FOLDER --plugin {entry.model}"
    return f"none yet: seqd {f'train {entry.model}' if TRAIN in entry.tasks else adds}"


def _print_versions(screen: Screen, entry: CatalogEntry) -> None:
    now_ms = time.time_ns() // 1_000_000
    rows = [
        (
            with_labels(one.version, entry.labels),
            one.preset or "",
            BUILT_IN if one.is_built_in else age(one.created_at_ms, now_ms),
            _metrics(one),
        )
        for one in entry.versions
    ]
    print_table(screen, ("version", "preset", "age", "metrics"), rows)


def _print_workers(screen: Screen, entry: CatalogEntry, serving: Sequence[ServingWorker]) -> None:
    if not serving:
        screen.say(
            f"No worker that is up has {entry.model}: `seqd status` shows the workers.", "yellow"
        )
        return
    rows = [
        (
            one.worker,
            one.state,
            ", ".join(one.tasks),
            ", ".join(map(str, one.versions[-_MOST_VERSIONS:])) or "none",
            "; ".join(one.unfit),
        )
        for one in serving
    ]
    print_table(screen, ("worker", "state", "takes", "versions", "what it cannot run"), rows)


def _metrics(version: VersionSummary) -> str:
    return ", ".join(f"{name} {metric(value)}" for name, value in version.metrics.items())
