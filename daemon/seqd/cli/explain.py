"""`seqd explain`: why a job, or an item of it, stands where it does, and what happens next."""

from typing import Annotated

import typer

from seqd.cli import options
from seqd.cli.showing import Found, shown
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_facts
from seqd.client.explaining.records import Explanation
from seqd.escaping import one_line
from seqd.views.explanation import explanation_facts, item_facts, item_told, sections_of
from seqd.views.numbers import count


@shown
def explain(
    job: options.JobIdArgument,
    item: Annotated[
        str | None,
        typer.Option(
            "--item",
            metavar="ID",
            help="Also where this item stands: its custom_id, or row-1, row-2 … by its position.",
        ),
    ] = None,
) -> Found:
    """Explain a job: its units, what it waits for and why, its attempts, and what happens next.

    Exit status 2 for a job that nobody knows, or that is removed meanwhile.
    """
    with options.open_client() as client:
        found = client.explain(job, item)
    return Found(found.as_json(), lambda screen: print_explanation(screen, found))


def print_explanation(screen: Screen, found: Explanation) -> None:
    """Print an explanation: the headline, the item, the facts, the reasons, what is next."""
    screen.say(one_line(found.headline), "bold")
    if found.item is not None:
        screen.say()
        screen.say(item_told(found.item), "bold")
        print_facts(screen, item_facts(found.item))
    screen.say()
    print_facts(screen, explanation_facts(found))
    for section in sections_of(found):
        screen.say()
        screen.say(section.title, "dim")
        for line in section.lines:
            screen.say(f"- {line}")
        if section.more:
            screen.say(f"- and {count(section.more)} more")
