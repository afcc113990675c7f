"""`seqd queues`: what waits of each task and model, how fast it goes, and who can run it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import options
from seqd.cli.showing import shown
from seqd.cli.ui.no_writes import redis_told, say_first
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.stdout import print_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.text import Text

    from seqd.queue_states import QueueState

    _Show = Callable[[list[QueueState], "_Beside"], None]

#: Seconds between two looks of `--watch`.
_WATCH_S = 2.0


@dataclass(frozen=True, slots=True)
class _Beside:
    """What is shown beside the states."""

    #: Tasks and models without work, which are left out.
    others: int
    by_tenant: bool
    #: Why Redis takes no writes just now; None where it does.
    no_writes: str | None
    #: What `redis_told` returns.
    told: str
    #: Jobs whose input is not complete.
    uploading: int
    #: Who is up and takes no work until its plugin lets it, as sentences.
    held_up: "Sequence[str]"


@shown
def queues(
    by_tenant: Annotated[
        bool, typer.Option("--by-tenant", help="A row for each tenant that has jobs.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Also those of the catalog that have no work.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again every two seconds, until Ctrl-C.")
    ] = False,
    *,
    screen: Screen,
) -> None:
    """Show what waits of each model, how fast it goes, who can run it.

    And why, where nobody can. By tenant, the 5,000 oldest open jobs count.
    """
    from seqd.serving import takes_nothing_told

    with (
        options.open_client() as client,
        options.open_ledger() as ledger,
        _shown(screen, watch and not screen.is_beside_json) as show,
    ):
        while True:
            states = client.queues(by_tenant=by_tenant)
            chosen, no_writes = _chosen(states, every=every), client.why_no_writes()
            told = redis_told(ledger, no_writes)
            if screen.is_beside_json:
                # The rows stay a list: who reads them finds the reason on standard error.
                say_first(screen, told)
                print_json([asdict(state) for state in chosen])
            else:
                others, uploading = len(states) - len(chosen), ledger.jobs.uploading()
                workers = ledger.fleet.workers()
                held_up = [*takes_nothing_told(workers, ledger.fleet.unheard(workers))]
                show(chosen, _Beside(others, by_tenant, no_writes, told, uploading, held_up))
            if not watch:
                return
            time.sleep(_WATCH_S)


@contextmanager
def _shown(screen: Screen, is_watched: bool) -> "Iterator[_Show]":
    """Yield what shows states; watched on a terminal, it draws over what it has shown before."""

    def show(states: "list[QueueState]", beside: _Beside) -> None:
        for line in _lines(screen, states, beside):
            screen.console.print(line, soft_wrap=not screen.is_live)

    if not (is_watched and screen.is_live):
        yield show
        return
    from rich.console import Group
    from rich.live import Live

    with Live(console=screen.console, auto_refresh=False, vertical_overflow="crop") as live:

        def draw(states: "list[QueueState]", beside: _Beside) -> None:
            live.update(Group(*_lines(screen, states, beside)), refresh=True)

        yield draw


def _chosen(states: "list[QueueState]", *, every: bool) -> "list[QueueState]":
    """Return the states with the most work first; without those that have nothing to do."""
    chosen = [state for state in states if every or state.state != "idle" or state.rate_per_s]
    return sorted(chosen, key=lambda state: -state.work_left_s)


def _lines(screen: Screen, states: "list[QueueState]", beside: _Beside) -> "list[Text]":
    from rich.text import Text

    from seqd.cli.ui.queues import (
        TENANT_COLUMNS,
        WIDE,
        no_work_told,
        pause_reasons,
        queue_columns,
        queue_reasons,
    )
    from seqd.cli.ui.tables import Signs, table_lines
    from seqd.escaping import printable

    signs, width = Signs(screen.console.encoding), screen.console.width
    lines = []
    if beside.told:
        lines += [Text(printable(beside.told), style="bold yellow"), Text("")]
    if states:
        columns = TENANT_COLUMNS if beside.by_tenant else queue_columns(is_wide=width >= WIDE)
        lines += table_lines(columns, states, width, signs)
    else:
        lines.append(Text(no_work_told(beside.uploading)))
    if others := beside.others:
        noun = "task and model" if others == 1 else "tasks and models"
        lines.append(Text(f"{others} more {noun} without work: --all", style="dim"))
    # By what workers could write they are all gone, which is no reason then.
    reasons = queue_reasons(states) if beside.no_writes is None else []
    for sentence in (*reasons, *pause_reasons(states), *beside.held_up):
        lines += [Text(""), Text(printable(sentence), style="yellow")]
    return lines
