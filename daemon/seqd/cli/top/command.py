"""The command `seqd top`: full screen on a terminal, one look as text everywhere else."""

import sys
from typing import Annotated

import typer

from seqd.cli import options, readers
from seqd.cli.top.frame import page
from seqd.cli.top.reading import open_for_reads, server_of, state_of
from seqd.cli.top.view import VIEWS, View
from seqd.cli.ui.screen import Screen
from seqd.ledger.overview import fleet_overview
from seqd.settings import Settings


def top(
    every: Annotated[
        float,
        readers.typed(
            "--every",
            by=readers.seconds(0.2, 3_600),
            help="Seconds between reads.",
        ),
    ] = 1.0,
    view: Annotated[
        str,
        readers.typed(
            "--view",
            by=readers.one_of(*VIEWS),
            help="First view: overview, queues, workers, jobs, failures.",
        ),
    ] = "overview",
    once: Annotated[
        bool, typer.Option("--once", help="Print one look as text, as to a pipe.")
    ] = False,
) -> None:
    """Watch queues, workers, jobs and failures live. q ends it.

    ? lists the keys. While Redis is away it says since when, and goes on.
    """
    start = View(view)
    settings = options.read_settings()
    screen = Screen()
    if once or not (screen.is_live and sys.stdin.isatty()):
        if screen.console.is_dumb_terminal and not once:
            Screen(to_stderr=True).say("TERM=dumb: nothing can be drawn over, so this is one look.")
        _print_once(screen, settings, start)
        return
    from seqd.cli.top.terminal import watch

    raise typer.Exit(watch(screen.console, settings, start, every))


def _print_once(screen: Screen, settings: Settings, view: View) -> None:
    ledger = open_for_reads(settings)
    overview = ledger.transport.run(fleet_overview(ledger))
    state = state_of(server_of(settings), overview, {})
    for line in page(state, view, screen.console.width):
        screen.console.print(line, soft_wrap=True)
