"""`seqd models place`: which workers serve a model, and which have it in memory.

A placement stands in the ledger until it is removed. Workers follow within about half a second:
who is placed loads the model and keeps it, the others unload it and leave its items alone.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, cast

import typer
from pydantic import JsonValue

from seqd.admission import find_model
from seqd.cli import completion, options
from seqd.cli.many_jobs import ManyJobs, act_on_many
from seqd.cli.showing import Found, shown
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_table
from seqd.cli.workers import check_form, targets_typed, unknown_target
from seqd.errors import InvalidRequest, SeqdError, UnknownWorker
from seqd.kinds import TRAIN
from seqd.ledger import Ledger
from seqd.local.caller import caller
from seqd.targets import Place, is_meant, is_placed_on, targets_in_words
from seqd.validation import MODEL_NAME
from seqd.views.columns import Column
from seqd.views.numbers import age
from seqd_schemas import MAX_PLACEMENT_TARGETS, ModelReference, PlacementRule, WorkerStatus

#: What the device of a slot may be.
_KINDS = ("cpu", "gpu")


_AHEAD_HINT = " With --ahead the model is placed for one that starts later."

_Reason = Annotated[str, typer.Option("--reason", help="Why, for whoever looks at it.")]


@shown
def place(
    model: Annotated[
        str | None,
        typer.Argument(
            help="The model; without one, the placements that stand.",
            autocompletion=completion.models,
        ),
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(
            "--on",
            metavar="TARGET",
            help="gpu, cpu, a worker by name or a slot such as gpu:0@host; may be given again.",
        ),
    ] = None,
    host: Annotated[
        list[str] | None, typer.Option("--host", help="Workers of a host; may be given again.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="KEY=VALUE", help="Workers with a label; again as well."),
    ] = None,
    anywhere: Annotated[bool, typer.Option("--anywhere", help="Remove the placement.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, for whoever looks at it.")] = "",
    ahead: Annotated[
        bool, typer.Option("--ahead", help="Also a model or a target that is not there yet.")
    ] = False,
) -> Found:
    """Say which workers serve a model: those of each target, and no others.

    They load it and keep it in memory. Other workers leave its items alone.

    Trainings are not placed: they go to slots such as train@gpu.
    """
    has_targets = bool(on or host or label)
    if model is None and (has_targets or anywhere):
        raise InvalidRequest("no model is named; `seqd models place NAME --on gpu` places one")
    if anywhere and has_targets:
        raise InvalidRequest("--anywhere removes the placement; leave the targets away")
    with options.open_ledger() as ledger:
        if model is None or not (has_targets or anywhere):
            return _placements(ledger, model)
        if anywhere:
            return _removed(ledger, _name_of(model))
        name = _known(ledger, model, ahead=ahead)
        targets = _targets_of(ledger, on or (), host or (), label or (), ahead=ahead)
        return _placed(ledger, name, targets, reason)


def _placed(ledger: Ledger, model: str, targets: Sequence[str], reason: str) -> Found:
    if len(targets) > MAX_PLACEMENT_TARGETS:
        raise InvalidRequest(
            f"{len(targets)} targets; allowed: {MAX_PLACEMENT_TARGETS}. Mean many workers by one "
            "--label"
        )
    rule = PlacementRule(
        model=model,
        targets=tuple(targets),
        reason=reason[:500],
        by=caller(),
        at_ms=ledger.fleet.now_ms(),
    )
    with ledger.audit.act("models.place", model, {"on": " ".join(targets), "reason": reason}):
        ledger.placements.place(rule)
    workers = ledger.fleet.workers()
    return Found(record_of(rule, workers), lambda screen: print_placed(screen, rule, workers))


def _removed(ledger: Ledger, model: str) -> Found:
    with ledger.audit.act("models.place", model, {"on": "anywhere"}):
        was_placed = ledger.placements.remove(model)
    found = {"model": model, "targets": [], "was_placed": was_placed}
    if was_placed:
        return Found(found, f"{model} is not placed any more.", "green")
    return Found(found, f"{model} was not placed.")


def _placements(ledger: Ledger, model: str | None) -> Found:
    rules, workers = ledger.placements.rules(), ledger.fleet.workers()
    standing = list(rules.values())
    if model is not None:
        standing = [rule for rule in standing if rule.model == _name_of(model)]
    return Found(
        [record_of(rule, workers) for rule in standing],
        lambda screen: print_placements(screen, standing, workers, model),
    )


def _name_of(model: str) -> str:
    if MODEL_NAME.fullmatch(model) is None:
        raise InvalidRequest(
            f"the model is {model!r}; allowed: its name alone, such as topics, since all versions "
            "of a model are placed together"
        )
    return model


def _known(ledger: Ledger, model: str, *, ahead: bool) -> str:
    name = _name_of(model)
    if not ahead:
        find_model(name, ledger.fleet.catalog())
    return name


def _targets_of(
    ledger: Ledger,
    names: Sequence[str],
    hosts: Sequence[str],
    labels: Sequence[str],
    *,
    ahead: bool,
) -> list[str]:
    """Return the targets. Raises UnknownWorker for one that no worker is, InvalidRequest."""
    workers = ledger.fleet.workers()
    wanted = [f"kind:{name}" for name in dict.fromkeys(names) if name in _KINDS]
    wanted += targets_typed([name for name in names if name not in _KINDS], hosts, labels, workers)
    for target in wanted:
        is_there = any(is_meant(Place.of(one), target) for one in workers)
        if target.startswith("kind:"):
            if not is_there and not ahead:
                raise _no_such_kind(target.partition(":")[2], workers)
            continue
        check_form(target)
        if not is_there and not ahead:
            raise unknown_target(target, workers, set(), _AHEAD_HINT)
    return wanted


def _no_such_kind(kind: str, workers: Sequence[WorkerStatus]) -> UnknownWorker:
    slots = ", ".join(sorted({one.slot for one in workers})[:10]) or "none"
    return UnknownWorker(f"No worker that is up runs on a {kind}. Slots: {slots}.{_AHEAD_HINT}")


@shown
def pause(model: options.ModelNameArgument, reason: _Reason = "") -> Found:
    """Begin no further unit of a model's jobs, on any worker, until `seqd models resume`.

    Units in hand are finished. New jobs are taken, and wait. Trainings go on. A disabled model
    stays disabled: it is refused.
    """
    with options.open_client() as client:
        rule = client.pause_model(model, reason=reason)

    def view(screen: Screen) -> None:
        screen.say(f"{model} is paused: no further unit of its jobs is begun.", "bold")
        screen.say(_way_on(model))

    return Found(rule, view)


@shown
def disable(
    model: options.ModelNameArgument,
    reason: _Reason = "",
    cancel_jobs: Annotated[
        bool, typer.Option("--cancel-jobs", help="Cancel the jobs that are open on it, too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Cancel them without asking.")] = False,
    *,
    screen: Screen,
) -> Found:
    """Take no new job on a model, and begin no unit of those that wait, until `models resume`.

    A job is refused with the code model_disabled, whoever hands it in, and so is a training.
    """
    with options.open_client() as client:
        rule = client.disable_model(model, reason=reason)
    waits = "" if cancel_jobs else ", and those that are open wait"
    screen.say(f"{model} is disabled: it takes no new jobs{waits}.", "bold")
    screen.say(_way_on(model))
    found = Found(rule, f"Cancel those that are open: seqd jobs cancel --model {model}")
    if not cancel_jobs:
        return found
    try:
        cancelled = act_on_many("cancel", ManyJobs(model=model, yes=yes))
    except (typer.Abort, SeqdError):
        found.print_on(screen)  # it is disabled all the same
        raise
    of_jobs = cast("dict[str, object]", cancelled.record)
    return replace(cancelled, record=rule.model_dump(mode="json") | of_jobs)


@shown
def resume(model: options.ModelNameArgument) -> Found:
    """Let the jobs of a paused or disabled model go on, and take new ones."""
    with options.open_client() as client:
        was_paused = client.resume_model(model)
    found = {"model": model, "was_paused": was_paused}
    if was_paused:
        return Found(found, f"{model} goes on.", "bold green")
    return Found(found, f"{model} was neither paused nor disabled; nothing was changed.")


def _way_on(model: str) -> str:
    return f"Let it go on: seqd models resume {model}"


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
