"""Changes of a model as orders: a worker whose store has the model carries them out."""

from typing import TYPE_CHECKING

from seqd.cli import options
from seqd.cli.ui.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqd.client.model_steps import ModelSteps
    from seqd.ledger.exchange import Exchange
    from seqd_schemas import CatalogEntry, OrderAnswer


def ordered(
    entry: "CatalogEntry", order: "Callable[[ModelSteps], Exchange[OrderAnswer]]"
) -> "OrderAnswer":
    """Return the answer to an order on a published model; raises as `ModelHandle.promote` does."""
    from seqd.client.model_steps import ModelSteps

    with options.open_ledger() as ledger:
        return ledger.transport.run(order(ModelSteps(ledger, entry)))


def say_notes(answer: "OrderAnswer", *, as_json: bool) -> None:
    """Say what was not as it should be, though the order was carried out."""
    screen = Screen(to_stderr=as_json)
    for note in answer.notes:
        screen.say(note, "yellow")
