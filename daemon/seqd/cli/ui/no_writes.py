"""What is said first of a fleet whose Redis takes no writes: its workers look silent, and run."""

from seqd.cli.ui.screen import Screen


def say_no_writes(screen: Screen, refusal: str | None) -> None:
    """Print that Redis takes no writes and what that means; nothing where it takes them."""
    if refusal is None:
        return
    from seqd.ledger.writing import no_writes_line

    screen.say(no_writes_line(refusal), "bold yellow")
    screen.say()
