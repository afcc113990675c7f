"""`seqd plugins dev`: a plugin alone while it is being written; a change of its files is served."""

from typing import Annotated

import typer

from seqd.cli import readers
from seqd.cli.plugins.trying import Model, Parameters, Plugin, Slot, Subject, Version


def dev(
    subject: Subject,
    task: Annotated[
        str,
        typer.Option("--task", metavar="TASK", help="The task to begin with; else the first."),
    ] = "",
    param: Parameters = None,
    version: Version = "",
    plugin: Plugin = "",
    model: Model = "",
    slot: Slot = "cpu:0",
) -> None:
    """Try texts on a plugin while you write it; no daemon and no Redis.

    A change of the plugin's files is served at once. A line is a text for the current task;
    :help lists the commands. Ctrl-C ends a call, Ctrl-D the session.
    """
    from seqd.cli.plugins.dev_session import Session
    from seqd.cli.plugins.subjects import order_of, tell_of_folder, watched_of

    parameters = readers.parameters(param)
    tell_of_folder(subject)
    order = order_of(subject, plugin=plugin, model=model, version=version, slot=slot)
    watched = watched_of(order)
    with Session(order, watched, task, parameters) as session:
        session.run()
