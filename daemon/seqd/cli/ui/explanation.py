"""An explanation of a job for people: the answer first, then what it stands on."""

from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_facts
from seqd.client.explaining.records import Explanation
from seqd.escaping import one_line
from seqd.views.explanation import explanation_facts, item_facts, item_told, sections_of
from seqd.views.numbers import count


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
