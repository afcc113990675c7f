"""Workers as people see them: tables, what each computes on and has in memory, what is wrong."""

from collections.abc import Collection, Sequence

from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_table
from seqd.views.workers import (
    IN_STATUS,
    LISTED,
    SeenWorker,
    cordon_line,
    device_line,
    memory_lines,
    rule_columns,
    seen_workers,
)
from seqd_schemas import CordonRule, WorkerStatus


def print_workers_list(screen: Screen, seen: Sequence[SeenWorker]) -> None:
    """Print a row for each worker, or that there is none."""
    if seen:
        print_table(screen, LISTED, seen)
    else:
        screen.say("No worker is up: `seqd up` starts them, in some seconds.", "yellow")


def print_workers(
    screen: Screen, workers: Sequence[WorkerStatus], unheard: Collection[str], now_ms: int
) -> None:
    """Print a row for each worker, or that there is none."""
    if not workers:
        screen.say("No worker is up: `seqd up` starts them, in some seconds.", "yellow")
        return
    print_table(screen, IN_STATUS, seen_workers(workers, {}, unheard, now_ms))
    for worker in workers:
        if worker.device is not None:
            screen.say(device_line(worker.worker, worker.device), "dim")
        for line in memory_lines(worker):
            screen.say(line, "dim")
        if worker.cordon is not None:
            screen.say(cordon_line(worker, worker.cordon, now_ms), "yellow")


def print_rules(
    screen: Screen, rules: Sequence[CordonRule] | None, workers: Sequence[WorkerStatus], now_ms: int
) -> None:
    """Print the rules that stand, with the workers that each means; nothing where none does.

    Of None it is said that the user may not read them.
    """
    if rules is None:
        screen.say()
        screen.say("Rules of operators are not known: this user may not read them.", "dim")
    if not rules:
        return
    screen.say()
    print_table(screen, rule_columns(workers, now_ms), rules)


def print_memory(screen: Screen, workers: Sequence[WorkerStatus]) -> None:
    """Print what each worker has loaded and leaves to others; nothing where that is nothing."""
    lines = [line for worker in workers for line in memory_lines(worker)]
    if lines:
        screen.say()
    for line in lines:
        screen.say(line, "dim")
