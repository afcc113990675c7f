"""Placements as people see them, and the same as records for programs."""

from collections.abc import Sequence

from pydantic import JsonValue

from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_table
from seqd.kinds import TRAIN
from seqd.targets import Place, is_placed_on, targets_in_words
from seqd.views.columns import Column
from seqd.views.numbers import age
from seqd_schemas import ModelReference, PlacementRule, WorkerStatus


def record_of(rule: PlacementRule, workers: Sequence[WorkerStatus]) -> dict[str, JsonValue]:
    """Return a placement with the workers that it means, and those that have the model loaded."""
    return {
        **rule.model_dump(mode="json"),
        "workers": [one.worker for one in meant_by(rule, workers)],
        "loaded_on": [one.worker for one in workers if has_loaded(one, rule.model)],
    }


def print_placed(screen: Screen, rule: PlacementRule, workers: Sequence[WorkerStatus]) -> None:
    """Print what a placement that was made does now."""
    screen.say(f"{rule.model} is placed: {targets_in_words(rule.targets)}.", "green")
    serving = [one for one in meant_by(rule, workers) if _can_serve(one, rule.model)]
    if serving:
        screen.say(f"Workers: {', '.join(one.worker for one in serving)}")
    else:
        screen.say(
            f"No worker that is up serves {rule.model} there: its jobs wait until one does. "
            f"`seqd models place {rule.model} --anywhere` takes that back.",
            "yellow",
        )


def print_placements(
    screen: Screen,
    rules: Sequence[PlacementRule],
    workers: Sequence[WorkerStatus],
    model: str | None,
) -> None:
    """Print a row for each placement; `model` is the one that was asked for."""
    if not rules:
        what = "No model is placed" if model is None else f"{model} is not placed"
        screen.say(f"{what}.")
        return
    now_ms = max([one.seen_at_ms for one in workers] + [rule.at_ms for rule in rules])
    columns: tuple[Column[PlacementRule], ...] = (
        Column("model", lambda rule: rule.model),
        Column("where", lambda rule: targets_in_words(rule.targets)),
        Column("workers", lambda rule: len(meant_by(rule, workers))),
        Column("loaded on", lambda rule: sum(has_loaded(one, rule.model) for one in workers)),
        Column("by", lambda rule: rule.by or "-"),
        Column("since", lambda rule: age(rule.at_ms, now_ms)),
        Column("reason", lambda rule: rule.reason or "-"),
    )
    print_table(screen, columns, rules)


def meant_by(rule: PlacementRule, workers: Sequence[WorkerStatus]) -> list[WorkerStatus]:
    """Return the workers that a placement means."""
    return [one for one in workers if is_placed_on(rule, Place.of(one))]


def has_loaded(worker: WorkerStatus, model: str) -> bool:
    """Return True where a worker has a version of a model in memory."""
    return any(ModelReference.parse(ref).name == model for ref in worker.models_loaded)


def _can_serve(worker: WorkerStatus, model: str) -> bool:
    return model in worker.versions and any(task != TRAIN for task in worker.tasks)
