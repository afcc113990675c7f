"""The workers as a table: slot, state, what they take and hold, and whether plugins are broken."""

import time
from collections import Counter
from collections.abc import Sequence

from seqd.cli.rendering.numbers import age
from seqd.cli.rendering.screen import Screen
from seqd.cli.rendering.tables import print_table
from seqd_schemas import WorkerStatus

_COLUMNS = ("worker", "state", "takes", "loaded", "plugins", "up for")


def print_workers(screen: Screen, workers: Sequence[WorkerStatus]) -> None:
    """Print a row for each worker, or that there is none."""
    if not workers:
        screen.say("No worker is up: `seqd up` starts them.", "yellow")
        return
    now_ms = time.time_ns() // 1_000_000
    print_table(screen, _COLUMNS, [_row(worker, now_ms) for worker in workers])


def _row(worker: WorkerStatus, now_ms: int) -> tuple[str, ...]:
    states = Counter(str(plugin.state) for plugin in worker.plugins)
    plugins = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    return (
        worker.worker,
        str(worker.state),
        ", ".join(worker.tasks),
        ", ".join(worker.models_loaded) or "-",
        plugins,
        age(worker.started_at_ms, now_ms),
    )
