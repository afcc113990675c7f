"""Changes of a model as orders, which a worker carries out; and `seqd models rename`."""

from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import completion, options
from seqd.cli.models.params import check_names_no_version, entry_of
from seqd.cli.showing import Found, shown
from seqd.cli.ui.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqd.client.model_steps import ModelSteps
    from seqd.ledger.exchange import Exchange
    from seqd_schemas import CatalogEntry, OrderAnswer


def ordered(
    entry: "CatalogEntry",
    order: "Callable[[ModelSteps], Exchange[OrderAnswer]]",
    screen: Screen,
) -> "OrderAnswer":
    """Return the answer to an order on a published model; raises as `ModelHandle.promote` does.

    What was not as it should be, though the order was carried out, is said.
    """
    from seqd.client.model_steps import ModelSteps

    with options.open_ledger() as ledger:
        answer = ledger.transport.run(order(ModelSteps(ledger, entry)))
    for note in answer.notes:
        screen.say(note, "yellow")
    return answer


@shown
def rename(
    model: Annotated[
        str, typer.Argument(help="A model: topics.", autocompletion=completion.models)
    ],
    new_name: Annotated[str, typer.Argument(metavar="NEW_NAME", help="Its new name: subjects.")],
    *,
    screen: Screen,
) -> Found:
    """Give a model another name: its versions, labels and history move along.

    A worker does it. Refused while an open job names it, a training among them. Its old name goes
    to no other model.
    """
    check_names_no_version(model)
    entry = entry_of(model)
    ordered(entry, lambda steps: steps.rename(new_name), screen)
    versions = [one.version for one in entry.versions]
    found = {"model": new_name, "before": model, "versions": versions}
    return Found(found, f"{model} is called {new_name} now.", "bold green")
