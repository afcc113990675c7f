"""`seqd models rename`: another name for a model, with its versions, labels and history."""

from typing import Annotated

import typer

from seqd.cli import completion, options
from seqd.cli.models.ordering import ordered, say_notes
from seqd.cli.models.params import entry_of
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_json
from seqd.errors import InvalidRequest


def rename(
    model: Annotated[
        str, typer.Argument(help="A model: topics.", autocompletion=completion.models)
    ],
    new_name: Annotated[str, typer.Argument(metavar="NEW_NAME", help="Its new name: subjects.")],
    as_json: options.Json = False,
) -> None:
    """Give a model another name: its versions, labels and history move along.

    A worker does it. Refused while an open job names it, a training among them. Its old name goes
    to no other model.
    """
    if "@" in model:
        name = model.partition("@")[0]
        raise InvalidRequest(f"{model!r} names a version; allowed: a model, such as {name}")
    entry = entry_of(model)
    say_notes(ordered(entry, lambda steps: steps.rename(new_name)), as_json=as_json)
    if as_json:
        versions = [one.version for one in entry.versions]
        print_json({"model": new_name, "before": model, "versions": versions})
    else:
        Screen().say(f"{model} is called {new_name} now.", "bold green")
