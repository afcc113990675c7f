"""`seqd queues`: what waits of each task and model, how fast it goes, and who can run it."""

from dataclasses import asdict
from typing import Annotated

import typer

from seqd.cli import options
from seqd.cli.showing import Found, shown
from seqd.cli.ui.findings import print_findings, redis_told, say_first
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import table_lines
from seqd.doctor.judging import OF_QUEUES, judged
from seqd.ledger.overview import fleet_overview
from seqd.queue_states import QueueState
from seqd.views.queues import TENANT_COLUMNS, WIDE, no_work_told, queue_columns


@shown
def queues(
    by_tenant: Annotated[
        bool, typer.Option("--by-tenant", help="A row for each tenant that has jobs.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Also models that have no work.")] = False,
    *,
    screen: Screen,
) -> Found:
    """Show what waits of each model, how fast it goes, who can run it.

    Where nobody can run it, it says why. --by-tenant looks at the 5,000 oldest open jobs. `seqd top
    --view queues` shows it live.
    """
    with options.open_ledger() as ledger:
        fleet = ledger.transport.run(fleet_overview(ledger))
        states = ledger.queues.states(by_tenant=True) if by_tenant else fleet.queues
        told = redis_told(fleet)
    why = [one for one in judged(fleet) if one.id in OF_QUEUES]
    chosen = _chosen(states, every=every)
    # Programs read a list of rows: they find the reason on standard error.
    say_first(screen, told)

    def view(screen: Screen) -> None:
        width = screen.console.width
        columns = TENANT_COLUMNS if by_tenant else queue_columns(is_wide=width >= WIDE)
        if chosen:
            screen.block(table_lines(columns, chosen, width))
        else:
            screen.say(no_work_told(fleet.uploading_jobs))
        if others := len(states) - len(chosen):
            noun = "task and model" if others == 1 else "tasks and models"
            screen.say(f"{others} more {noun} without work: --all", "dim")
        if why:
            screen.say()
        print_findings(screen, why)

    return Found([asdict(state) for state in chosen], view)


def _chosen(states: list[QueueState], *, every: bool) -> list[QueueState]:
    """Return the states with the most work first; without those that have nothing to do."""
    chosen = [state for state in states if every or state.state != "idle" or state.rate_per_s]
    return sorted(chosen, key=lambda state: -state.work_left_s)
