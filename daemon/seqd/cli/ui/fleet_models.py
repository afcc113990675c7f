"""The fleet's models as people see them: a table, and a model in full with its workers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from seqd.cli.ui.models import BUILT_IN, MODEL_COLUMNS, print_versions, with_labels
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_facts, print_table
from seqd.kinds import TRAIN
from seqd.ledger.model_pauses import pause_in_words
from seqd.serving import ServingWorker
from seqd.views.columns import Column
from seqd.views.numbers import clock, counted, metrics_line
from seqd_schemas import (
    CatalogEntry,
    ModelPause,
    Rollout,
    RolloutKind,
    VersionCounts,
    VersionSummary,
)

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
    served = {entry.model: serving for entry, serving in rows}

    def workers(entry: CatalogEntry) -> str:
        return _workers(entry, served[entry.model], pauses.get(entry.model))

    *first, last = MODEL_COLUMNS
    print_table(screen, [*first, Column("workers", workers), last], [entry for entry, _ in rows])


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
    print_versions(screen, entry.versions, entry.labels)
    if entry.rollout is not None:
        screen.say()
        _print_rollout(screen, entry.model, entry.rollout, counts or ())
    screen.say()
    _print_workers(screen, entry, serving)
    if shown is not None and not has_card:
        screen.say()
        screen.say(
            "Its card, and what it has learnt, on a machine that has the store: seqd models show "
            f"{entry.model}@{version} --local",
            "dim",
        )


def _workers(
    entry: CatalogEntry, serving: Sequence[ServingWorker], pause: ModelPause | None
) -> str:
    able = sum(bool(one.versions) or not entry.versions for one in serving)
    of = "" if able == len(serving) else f"{able} of "
    workers = f"{of}{counted(len(serving), 'worker')}" if serving else "none is up"
    if pause is not None:
        workers += ", disabled" if pause.disabled else ", paused"
    return workers


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
            "metrics": metrics_line(version.metrics),
        }
    return facts


def _no_version(entry: CatalogEntry) -> str:
    """Say how a model gets a version."""
    adds = f"models add FOLDER --plugin {entry.model}"
    return f"none yet: seqd {f'train {entry.model}' if TRAIN in entry.tasks else adds}"


def _print_workers(screen: Screen, entry: CatalogEntry, serving: Sequence[ServingWorker]) -> None:
    if not serving:
        screen.say(
            f"No worker that is up has {entry.model}: `seqd status` shows the workers.", "yellow"
        )
        return
    columns: tuple[Column[ServingWorker], ...] = (
        Column("worker", lambda one: one.worker),
        Column("state", lambda one: one.state),
        Column("takes", lambda one: ", ".join(one.tasks), wraps=True),
        Column("versions", lambda one: _versions(one.versions), wraps=True),
        Column("what it cannot run", lambda one: "; ".join(one.unfit)),
    )
    print_table(screen, columns, serving)


def _versions(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[-_MOST_VERSIONS:])) or "none"


def _print_rollout(
    screen: Screen, model: str, rollout: Rollout, counts: Sequence[VersionCounts]
) -> None:
    """Print a roll-out that goes on, with what its versions did so far."""
    is_canary = rollout.kind == RolloutKind.CANARY
    share, bound = f"{100 * rollout.share:.6g}%", f"{100 * rollout.max_error_rate:.6g}%"
    does = f"answers {share} of" if is_canary else f"computes {share} of"
    kind = rollout.kind.capitalize()
    screen.say(f"{kind} of {model}@{rollout.version} since {clock(rollout.at_ms)}", "bold")
    screen.say(
        f"It {does} the items of new jobs on {model}, by {rollout.by or 'nobody known'}. It ends "
        f"by itself where more than {bound} of them fail with it and not with "
        f"{model}@{rollout.serving}."
    )
    by_version = {one.version: one for one in counts}
    differing = Column[VersionCounts](
        "other answer", lambda one: _with_share(one.differing, one.items)
    )
    columns: tuple[Column[VersionCounts], ...] = (
        Column("version", lambda one: f"{model}@{one.version}"),
        Column("items", lambda one: f"{one.items:,}"),
        Column("errors", lambda one: _with_share(one.errors, one.items)),
        *(() if is_canary else (differing,)),
        Column("ms an item", lambda one: _per_item(one.busy_s, one.items)),
        Column("batch p50 ms", lambda one: f"{one.p50_ms:g}" if one.batches else "-"),
        Column("p99 ms", lambda one: f"{one.p99_ms:g}" if one.batches else "-"),
    )
    versions = (rollout.serving, rollout.version)
    known = [by_version.get(version, VersionCounts(version=version)) for version in versions]
    print_table(screen, columns, known)


def _per_item(busy_s: float, items: int) -> str:
    return f"{1000 * busy_s / items:.3g}" if items else "-"


def _with_share(count: int, items: int) -> str:
    return f"{count:,} ({count / items:.2%})" if count and items else f"{count:,}"
