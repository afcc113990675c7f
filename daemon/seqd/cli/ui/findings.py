"""What is wrong with a fleet and what to do, a line each; `seqd doctor` says why it matters."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from seqd.cli.ui.screen import Screen
from seqd.doctor.findings import Severity

if TYPE_CHECKING:
    from seqd.doctor.findings import Finding

#: How a finding is shown.
STYLES: Final = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow"}


def print_findings(
    screen: Screen, findings: "Iterable[Finding]", without: Collection[str] = ()
) -> None:
    """Print what was found but for kinds that are said already; nothing where nothing is wrong."""
    for one in findings:
        if one.id not in without:
            screen.say(f"{one.what} {one.do}", STYLES[one.severity])
