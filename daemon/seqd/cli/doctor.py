"""`seqd doctor`: what is wrong with Redis, the fleet and this machine, and what to do about it."""

from dataclasses import asdict
from typing import Annotated

import typer

from seqd.cli import readers
from seqd.cli.showing import Found, shown
from seqd.cli.ui.findings import STYLES
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_facts
from seqd.doctor.examination import examine
from seqd.doctor.findings import Finding, Report, Severity
from seqd.ledger.acl import Role
from seqd.settings import load_settings
from seqd.views.numbers import counted

#: What looks at jobs: a fleet that is well may still have one that stands still.
_OF_JOBS = "A job is slow or stands still? seqd explain JOB, seqd queues --by-tenant"


@shown
def doctor(
    deep: Annotated[
        bool, typer.Option("--deep", help="Read all bytes of all stored versions.")
    ] = False,
    role: Annotated[
        str | None,
        typer.Option(
            "--role",
            metavar="ROLE",
            help="Whose rights the user of Redis must have: worker, client, operator, exporter, "
            "doctor or inbox. Else those of any.",
        ),
    ] = None,
) -> Found:
    """Examine Redis, the fleet and this machine: what is wrong, why it matters, what to do.

    Exit status 0 without an error, also with warnings; 1 with one. It works from any machine that
    reaches Redis, and without Redis it examines this machine.
    """
    settings = load_settings()  # what is no setting is a finding, and no line beside the answer
    report = examine(settings, deep=deep, role=_role(role))
    found = {
        "findings": [asdict(one) for one in report.findings],
        "checked": report.checked,
        "not_checked": [asdict(one) for one in report.not_checked],
    }
    return Found(
        found,
        lambda screen: _show(screen, report),
        status=0 if report.is_well else 1,
    )


def _role(name: str | None) -> Role | None:
    return (
        None if name is None else Role(readers.choice("--role", name, [one.value for one in Role]))
    )


def _show(screen: Screen, report: Report) -> None:
    for one in report.findings:
        _show_finding(screen, one)
    for why, names in _by_reason(report).items():
        screen.say(f"Not checked: {', '.join(names)}: {why}", "dim")
    screen.say(_closing_line(report), "bold")
    if report.is_well:
        screen.say(_OF_JOBS, "dim")


def _show_finding(screen: Screen, one: Finding) -> None:
    screen.say(f"{one.severity}  {one.id}", STYLES[one.severity])
    print_facts(screen, {"  what": one.what, "  why": one.why, "  do": one.do, "  see": one.page})
    screen.say()


def _by_reason(report: Report) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for one in report.not_checked:
        names.setdefault(one.why, []).append(one.what)
    return names


def _closing_line(report: Report) -> str:
    """Return what came of it, such as `23 checks: 1 error, 2 warnings; not checked: 3`."""
    found = [
        counted(len(report.of(severity)), str(severity))
        for severity in Severity
        if report.of(severity)
    ]
    told = ", ".join(found) or "all well"
    rest = f"; not checked: {len(report.not_checked)}" if report.not_checked else ""
    return f"{counted(len(report.checked), 'check')}: {told}{rest}"
