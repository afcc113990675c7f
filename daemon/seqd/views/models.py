"""What is said of models: columns of their versions, their workers and roll-outs, facts of one."""

from collections.abc import Mapping, Sequence
from typing import Final

from seqd.kinds import TRAIN
from seqd.serving import ServingWorker
from seqd.views.columns import Column
from seqd.views.numbers import age, clock, counted, metrics_line
from seqd_schemas import (
    CatalogEntry,
    ModelManifest,
    ModelPause,
    Rollout,
    RolloutKind,
    ServiceChange,
    VersionCounts,
    VersionSummary,
)

#: Stands where a version's time would: one that is the plugin's code was not made at a time.
BUILT_IN: Final = "built in"

#: Versions of one worker that a table names, the newest.
_MOST_VERSIONS = 8

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


def with_labels(version: int, labels: Mapping[str, int]) -> str:
    """Return a version with its labels, such as `3 (production)`."""
    names = sorted(label for label, number in labels.items() if number == version)
    return f"{version} ({', '.join(names)})" if names else str(version)


def version_columns(
    labels: Mapping[str, int], now_ms: int
) -> tuple[Column[ModelManifest | VersionSummary], ...]:
    """Return what tables say of a model's versions."""
    return (
        Column("version", lambda one: with_labels(one.version, labels)),
        Column("preset", lambda one: one.preset or ""),
        Column("age", lambda one: BUILT_IN if one.is_built_in else age(one.created_at_ms, now_ms)),
        Column("metrics", lambda one: metrics_line(one.metrics), wraps=True),
    )


def workers_told(
    entry: CatalogEntry, serving: Sequence[ServingWorker], pause: ModelPause | None
) -> str:
    """Return how many workers that have a model can run it now, and whether it is paused.

    That is the version in service: `seqd explain` counts by the same rule for a job's version.
    """
    version = entry.labels.get("production")
    able = sum(
        (one.takes_items and version in one.versions) or not entry.versions for one in serving
    )
    of = "" if able == len(serving) else f"{able} of "
    workers = f"{of}{counted(len(serving), 'worker')}" if serving else "none is up"
    if pause is not None:
        workers += ", disabled" if pause.disabled else ", paused"
    return workers


def model_facts(
    entry: CatalogEntry, version: VersionSummary | None, *, is_brief: bool
) -> dict[str, object]:
    """Return what there is to say of a model and of a version of it, by name."""
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


#: What tables say of a worker that has a model.
SERVING_COLUMNS: Final[tuple[Column[ServingWorker], ...]] = (
    Column("worker", lambda one: one.worker),
    Column("state", lambda one: one.state),
    Column("takes", lambda one: ", ".join(one.tasks), wraps=True),
    Column(
        "versions",
        lambda one: ", ".join(map(str, one.versions[-_MOST_VERSIONS:])) or "none",
        wraps=True,
    ),
    Column("what it cannot run", lambda one: "; ".join(one.unfit)),
)


#: What tables say of a change of the version in service.
CHANGE_COLUMNS: Final[tuple[Column[ServiceChange], ...]] = (
    Column("when", lambda one: clock(one.at_ms)),
    Column("what", lambda one: _changed(one)),
    Column("by", lambda one: one.by or "-"),
    Column("why", lambda one: one.why or "-"),
    Column("figures", lambda one: metrics_line(one.gate) or "-", is_left_out_empty=True),
)


def _changed(change: ServiceChange) -> str:
    if change.from_version == change.to_version:
        kind = "roll-out" if change.rollout is None else change.rollout.kind
        return f"{kind}, {change.to_version} stays"
    before = "none" if change.from_version is None else change.from_version
    after = "none" if change.to_version is None else change.to_version
    return f"{before} → {after}{', rolled back' if change.is_rollback else ''}"


def rollout_title(model: str, rollout: Rollout) -> str:
    """Return which roll-out goes on, and since when."""
    kind = rollout.kind.capitalize()
    return f"{kind} of {model}@{rollout.version} since {clock(rollout.at_ms)}"


def rollout_told(model: str, rollout: Rollout) -> str:
    """Return what a roll-out does, by whom, and when it ends by itself."""
    is_canary = rollout.kind == RolloutKind.CANARY
    share, bound = f"{100 * rollout.share:.6g}%", f"{100 * rollout.max_error_rate:.6g}%"
    does = f"answers {share} of" if is_canary else f"computes {share} of"
    return (
        f"It {does} the items of new jobs on {model}, by {rollout.by or 'nobody known'}. It ends "
        f"by itself where more than {bound} of them fail with it and not with "
        f"{model}@{rollout.serving}."
    )


def rollout_columns(model: str, rollout: Rollout) -> tuple[Column[VersionCounts], ...]:
    """Return what tables say of what a version did in a roll-out."""
    is_canary = rollout.kind == RolloutKind.CANARY
    differing = Column[VersionCounts](
        "other answer", lambda one: _with_share(one.differing, one.items)
    )
    return (
        Column("version", lambda one: f"{model}@{one.version}"),
        Column("items", lambda one: f"{one.items:,}"),
        Column("errors", lambda one: _with_share(one.errors, one.items)),
        *(() if is_canary else (differing,)),
        Column("ms an item", lambda one: _per_item(one.busy_s, one.items)),
        Column("batch p50 ms", lambda one: f"{one.p50_ms:g}" if one.batches else "-"),
        Column("p99 ms", lambda one: f"{one.p99_ms:g}" if one.batches else "-"),
    )


def counts_of_both(rollout: Rollout, counts: Sequence[VersionCounts]) -> list[VersionCounts]:
    """Return what the version in service did, and the one that is tried; none yet is nothing."""
    by_version = {one.version: one for one in counts}
    versions = (rollout.serving, rollout.version)
    return [by_version.get(version, VersionCounts(version=version)) for version in versions]


def _per_item(busy_s: float, items: int) -> str:
    return f"{1000 * busy_s / items:.3g}" if items else "-"


def _with_share(count: int, items: int) -> str:
    return f"{count:,} ({count / items:.2%})" if count and items else f"{count:,}"
