"""`seqd models pause`, `disable` and `resume`: have the jobs of a model wait, and go on.

A pause stands in the ledger until it is removed, and holds for all workers at once.
"""

from dataclasses import replace
from typing import Annotated, cast

import typer

from seqd.cli import options
from seqd.cli.many_jobs import ManyJobs, act_on_many
from seqd.cli.showing import Found, shown
from seqd.cli.ui.screen import Screen
from seqd.errors import SeqdError

_Reason = Annotated[str, typer.Option("--reason", help="Why, for whoever looks at it.")]


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
