"""What is said first of a fleet whose Redis takes no writes, or has no room for new work."""

from typing import TYPE_CHECKING

from seqd.cli.ui.screen import Screen

if TYPE_CHECKING:
    from seqd.ledger import Ledger


def redis_told(ledger: "Ledger", refusal: str | None) -> str:
    """Return what Redis lacks and what that means: writes, by their `refusal`, or room; or ''."""
    from seqd.ledger.writing import SHORT_OF_MEMORY, no_writes_line

    if refusal is not None:
        return no_writes_line(refusal)
    return SHORT_OF_MEMORY if ledger.inbox.memory_is_short() else ""


def say_first(screen: Screen, told: str) -> None:
    """Print what `redis_told` returns; nothing of ''."""
    if told:
        screen.say(told, "bold yellow")
        screen.say()
