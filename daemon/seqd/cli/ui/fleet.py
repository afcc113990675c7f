"""Workers as a table, with what they compute on, and what they cannot run and why."""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from seqd.cli.ui.deaths import death_lines
from seqd.cli.ui.memory import memory_lines
from seqd.cli.ui.numbers import age
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_table
from seqd.local.gpus import in_gib
from seqd.serving import shown_state, takes_nothing_told
from seqd.targets import option_of
from seqd_schemas import (
    Cordon,
    DeviceStatus,
    UnfitVersion,
    WorkerStatus,
)

_WORKER_COLUMNS = ("worker", "state", "takes", "loaded", "plugins", "child up")


def print_workers(
    screen: Screen, workers: Sequence[WorkerStatus], unheard: Collection[str]
) -> None:
    """Print a row for each worker, or that there is none; what they cannot run, and deaths."""
    if not workers:
        screen.say("No worker is up: `seqd up` starts them.", "yellow")
        return
    now_ms = time.time_ns() // 1_000_000
    rows = [_worker_row(worker, shown_state(worker, unheard), now_ms) for worker in workers]
    print_table(screen, _WORKER_COLUMNS, rows)
    for worker in workers:
        if worker.device is not None:
            screen.say(_device_line(worker.worker, worker.device), "dim")
        for line in memory_lines(worker):
            screen.say(line, "dim")
        print_unfit(screen, worker, now_ms)
        if worker.cordon is not None:
            screen.say(_cordon_line(worker, worker.cordon, now_ms), "yellow")
    for line in death_lines(workers, now_ms):
        screen.say(line, "red")


def print_unfit(screen: Screen, worker: WorkerStatus, now_ms: int) -> None:
    """Print what a worker cannot run, a line each; nothing where it can run all that it has."""
    for entry in worker.unfit:
        screen.say(_unfit_line(worker, entry, now_ms), "red")


def print_held_up(
    screen: Screen, workers: Iterable[WorkerStatus], unheard: Mapping[str, float]
) -> None:
    """Print who is up and takes no work until its plugin lets it; nothing where none is."""
    for sentence in takes_nothing_told(workers, unheard):
        screen.say(sentence, "yellow")


def _device_line(worker: str, device: DeviceStatus) -> str:
    whole = in_gib(device.memory_bytes)
    share = "" if device.share_bytes is None else f"{in_gib(device.share_bytes)} of "
    return f"{worker} computes on {device.name} ({device.uuid}) with {share}{whole}"


def _worker_row(worker: WorkerStatus, state: str, now_ms: int) -> tuple[str, ...]:
    states = Counter(str(plugin.state) for plugin in worker.plugins)
    plugins = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    if worker.unfit:
        plugins += f", {len(worker.unfit)} unfit"
    return (
        worker.worker,
        state,
        ", ".join((*worker.tasks, *_own_tasks(worker))),
        ", ".join(worker.models_loaded) or "-",
        plugins,
        "-" if state in ("drained", "starting") else age(worker.started_at_ms, now_ms),
    )


def _own_tasks(worker: WorkerStatus) -> list[str]:
    """Return the tasks that plugins of a worker have named, each once."""
    return sorted({task for tasks in worker.run_tasks.values() for task in tasks})


def _cordon_line(worker: WorkerStatus, cordon: Cordon, now_ms: int) -> str:
    held = f"for {age(cordon.since_ms, now_ms)}"
    by = f" by {cordon.by}" if cordon.by else ""
    why = f": {cordon.reason}" if cordon.reason else ""
    option = f" (`seqd workers uncordon {option_of(cordon.target)}`)" if cordon.target else ""
    return f"{worker.worker} has been {cordon.phase} {held}{by}{why}{option}"


def _unfit_line(worker: WorkerStatus, entry: UnfitVersion, now_ms: int) -> str:
    what = (
        f"trainings of {entry.model}" if entry.version is None else f"{entry.model}@{entry.version}"
    )
    held = age(entry.since_ms, now_ms)
    return f"{worker.worker} has been unfit for {what} for {held}: {entry.code}: {entry.message}"
