"""`seqd audit`: which acts of operators and clients were done, by whom, when and from where."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer

from seqd.cli import options, readers
from seqd.cli.showing import Found, shown
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_table
from seqd.views.columns import Column
from seqd.views.numbers import clock
from seqd_schemas import AuditRecord

_Since = Annotated[
    datetime | None,
    readers.typed(
        "--since",
        by=readers.moment,
        help="Only since then: 30m, 2h or 7d back from now, 2026-11-26 or 2026-11-26T10:00.",
    ),
]
_Action = Annotated[
    str | None,
    typer.Option(
        "--action", metavar="NAME", help="Only this act, jobs.cancel, or all on jobs: jobs."
    ),
]
_Who = Annotated[
    str | None,
    typer.Option(
        "--who",
        metavar="USER",
        help="Only of this user, ana or ana@host, or this key of the gateway.",
    ),
]
_Target = Annotated[
    str | None,
    typer.Option("--target", metavar="TEXT", help="Only on what has this text in its name."),
]
_Limit = Annotated[int, options.limit("Acts")]


@shown
def audit(
    since: _Since = None,
    action: _Action = None,
    who: _Who = None,
    target: _Target = None,
    limit: _Limit = 20,
) -> Found:
    """Show who did what, when and from where: acts on jobs, models, workers, tenants and keys.

    The newest first. An act is written down before it is done. One that was refused has a second
    line with the error's code, one on many jobs a second line with their number.
    """
    with options.open_client() as client:
        entries = client.audit(limit, since=since, action=action, who=who, target=target)
    is_filtered = any(one is not None for one in (since, action, who, target))
    return Found(entries, lambda screen: _print(screen, entries, is_filtered=is_filtered))


def _print(screen: Screen, entries: Sequence[AuditRecord], *, is_filtered: bool) -> None:
    if not entries:
        screen.say(
            "No act is written down that matches."
            if is_filtered
            else "Nobody has changed anything that is still written down."
        )
        return
    columns: tuple[Column[AuditRecord], ...] = (
        Column("when", lambda entry: clock(entry.at_ms)),
        Column("who", lambda entry: f"{entry.who}@{entry.host}"),
        Column("act", lambda entry: entry.action),
        Column("on", lambda entry: entry.target, wraps=True),
        Column("details", _rest, wraps=True),
    )
    print_table(screen, columns, entries)


def _rest(entry: AuditRecord) -> str:
    """Return what an act was done with, what came of it, and by which program."""
    parts = [f"{name}={value}" for name, value in entry.details.items()]
    parts += [entry.outcome] if entry.outcome else []
    return f"{' '.join(parts)} ({entry.program})".strip()
