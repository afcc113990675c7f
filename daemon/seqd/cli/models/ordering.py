"""Changes of a model as orders, which a worker carries out."""

from collections.abc import Callable

from seqd.cli import options
from seqd.cli.ui.screen import Screen
from seqd.client.model import ModelSteps
from seqd.ledger.exchange import Exchange
from seqd_schemas import CatalogEntry, OrderAnswer


def ordered(
    entry: CatalogEntry,
    order: Callable[[ModelSteps], Exchange[OrderAnswer]],
    screen: Screen,
) -> OrderAnswer:
    """Return the answer to an order on a published model; raises as `ModelHandle.promote` does.

    What was not as it should be, though the order was carried out, is said.
    """
    with options.open_ledger() as ledger:
        answer = ledger.transport.run(order(ModelSteps(ledger, entry)))
    for note in answer.notes:
        screen.say(note, "yellow")
    return answer
