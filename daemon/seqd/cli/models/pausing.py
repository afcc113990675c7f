"""`seqd models pause`, `disable` and `resume`: have the jobs of a model wait, and go on.

A pause stands in the ledger until it is removed, and holds for all workers at once.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import completion, options
from seqd.cli.many_jobs import ManyJobs, act_on_many
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_json

if TYPE_CHECKING:
    from seqd_schemas import ModelPause

_Model = Annotated[str, typer.Argument(help="A model: topics.", autocompletion=completion.models)]
_Reason = Annotated[str, typer.Option("--reason", help="Why, for whoever looks at it.")]


def pause(model: _Model, reason: _Reason = "", as_json: options.Json = False) -> None:
    """Begin no further unit of a model's jobs, on any worker, until `seqd models resume`.

    Units in hand are finished. New jobs are taken, and wait. Trainings go on. A disabled model
    stays disabled: it is refused.
    """
    with options.open_client() as client:
        rule = client.pause_model(model, reason=reason)
    if as_json:
        print_json(rule)
        return
    screen = Screen()
    screen.say(f"{model} is paused: no further unit of its jobs is begun.", "bold")
    _say_how_it_goes_on(screen, rule)


def disable(
    model: _Model,
    reason: _Reason = "",
    cancel_jobs: Annotated[
        bool, typer.Option("--cancel-jobs", help="Cancel the jobs that are open on it, too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Cancel them without asking.")] = False,
    as_json: options.Json = False,
) -> None:
    """Take no new job on a model, and begin no unit of those that wait, until `models resume`.

    A job is refused with the code model_disabled, whoever hands it in, and so is a training.
    """
    with options.open_client() as client:
        rule = client.disable_model(model, reason=reason)
    if as_json and not cancel_jobs:
        print_json(rule)
        return
    screen = Screen(to_stderr=as_json)
    waits = "" if cancel_jobs else ", and those that are open wait"
    screen.say(f"{model} is disabled: it takes no new jobs{waits}.", "bold")
    _say_how_it_goes_on(screen, rule)
    if cancel_jobs:
        act_on_many("cancel", ManyJobs(model=model, yes=yes), as_json=as_json)
    else:
        screen.say(f"Cancel those that are open: seqd jobs cancel --model {model}")


def resume(model: _Model, as_json: options.Json = False) -> None:
    """Let the jobs of a paused or disabled model go on, and take new ones."""
    with options.open_client() as client:
        was_paused = client.resume_model(model)
    if as_json:
        print_json({"model": model, "was_paused": was_paused})
    elif was_paused:
        Screen().say(f"{model} goes on.", "bold green")
    else:
        Screen().say(f"{model} was neither paused nor disabled; nothing was changed.")


def _say_how_it_goes_on(screen: Screen, rule: "ModelPause") -> None:
    screen.say(f"Let it go on: seqd models resume {rule.model}")
