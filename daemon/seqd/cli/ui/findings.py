"""What is wrong with a fleet and what to do, a line each; `seqd doctor` says why it matters."""

from collections.abc import Collection, Iterable
from typing import Final

from seqd.cli.ui.screen import Screen
from seqd.doctor.findings import Finding, Severity
from seqd.ledger.overview import FleetOverview
from seqd.ledger.writing import SHORT_OF_MEMORY, no_writes_line

#: How a finding is shown.
STYLES: Final = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow"}


def print_findings(
    screen: Screen, findings: Iterable[Finding], without: Collection[str] = ()
) -> None:
    """Print what was found but for kinds that are said already; nothing where nothing is wrong."""
    for one in findings:
        if one.id not in without:
            screen.say(f"{one.what} {one.do}", STYLES[one.severity])


def redis_told(fleet: FleetOverview) -> str:
    """Return what Redis lacks and what that means, writes or room; or ''."""
    if fleet.no_writes is not None:
        return no_writes_line(fleet.no_writes)
    return SHORT_OF_MEMORY if fleet.memory is not None and fleet.memory.is_short else ""


def say_first(screen: Screen, told: str) -> None:
    """Print what `redis_told` returns; nothing of ''."""
    if told:
        screen.say(told, "bold yellow")
        screen.say()
