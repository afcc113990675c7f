"""One drill of the runbook: a fault is injected under load, named, cured, and counted."""

import re
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from checkout import ROOT
from drills import result
from drills.runbook.operator import Operator
from drills.runbook.stack import Stack, a_stack
from monitoring.files import alerts

#: Seconds that a person has until the cause has a name; beyond, the drill has failed.
NAMED_WITHIN_S = 60.0

#: How long work may stand still at most: the fault, until it has a name and is cured.
STALL_S = 75.0

RUNBOOK = ROOT / "docker" / "RUNBOOK.md"

#: Seconds between two looks of the operator.
LOOK_EVERY_S = 0.5

HEADINGS = ("page", "seed", "named by", "alerts", "named s", *result.HEADINGS[1:])

#: The first two lines of the table, as Markdown.
HEAD = f"| {' | '.join(HEADINGS)} |\n|{' --- |' * len(HEADINGS)}"


@dataclass(frozen=True)
class Fault:
    """A page of the runbook, as a drill."""

    page: str
    #: Injects the fault; returns what cures it.
    inject: Callable[[Stack], Callable[[], object]]
    #: What names the cause, such as `doctor: redis-full`; '' while it has no name.
    named: Callable[[Operator, Stack], str]
    stack: Callable[[Path], AbstractContextManager[Stack]] = a_stack


@dataclass
class Row(result.DrillResult):
    """One row of the table."""

    page: str = ""
    seed: int = 0
    named_by: str = ""
    named_s: float = 0.0

    @property
    def passed(self) -> bool:
        """True where the page's command named the cause in time, and nothing was lost or doubled.

        Nor failed, nor stood still for longer than that takes.
        """
        is_in_time = self.named_s <= NAMED_WITHIN_S and self.stall_s < STALL_S
        return self.is_clean and is_in_time and _is_on_page(self.page, self.named_by)

    def __str__(self) -> str:
        page = f"[{self.page}](../../docker/RUNBOOK.md#{self.page})"
        alerts = ", ".join(f"`{name}`" for name in alerts_of(self.page)) or "none"
        return self.row(page, self.seed, self.named_by or "nothing", alerts, f"{self.named_s:.1f}")


def pages() -> dict[str, str]:
    """Return the pages of the runbook that have a fault, by anchor."""
    text = RUNBOOK.read_text(encoding="utf-8")
    parts = re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", text, re.M)
    return {title.lower().replace(" ", "-"): page for title, page in parts}


def _is_on_page(page: str, named_by: str) -> bool:
    """Return whether a page says the command that named the cause, and the finding of a doctor."""
    command, _, finding = named_by.partition(": ")
    text = pages()[page]
    is_finding_there = command != "doctor" or f"`{finding}`" in text
    return bool(command) and f"`seqd {command}" in text and is_finding_there


def alerts_of(page: str) -> list[str]:
    """Return the alerts that lead to a page."""
    return [
        str(rule["alert"])
        for rule in alerts()
        if rule["annotations"]["runbook_url"].endswith(f"#{page}")
    ]


def drill(fault: Fault, seed: int) -> Row:
    """Inject a fault at a moment that hangs on the seed; return what came out."""
    with (
        tempfile.TemporaryDirectory(prefix="seqd-drill-") as name,
        fault.stack(Path(name)) as stack,
    ):
        load = stack.load
        load.wait_for_more(Random(seed).randint(100, 600))
        cure = fault.inject(stack)
        load.clock.start_over()
        began = time.monotonic()
        named_by = _named(fault, stack)
        named_s = time.monotonic() - began
        cure()
        load.wait_for_more(200)
        came = load.finish(fault.page, is_breakdown=True)
    return Row(**vars(came), page=fault.page, seed=seed, named_by=named_by, named_s=named_s)


def _named(fault: Fault, stack: Stack) -> str:
    """Ask until the cause has a name, or a person would have given up."""
    operator, deadline = stack.operator(), time.monotonic() + NAMED_WITHIN_S
    while not (named_by := fault.named(operator, stack)) and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)
    return named_by


def by_doctor(*ids: str) -> Callable[[Operator, Stack], str]:
    """Return a look at `seqd doctor` that is content with one of these findings."""

    def look(operator: Operator, stack: Stack) -> str:
        found = operator.findings()
        return next((f"doctor: {one}" for one in ids if one in found), "")

    return look
