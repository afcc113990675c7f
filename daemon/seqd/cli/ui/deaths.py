"""Deaths of workers' processes, in a line each."""

from collections.abc import Iterator, Sequence

from seqd.cli.ui.numbers import age
from seqd.cli.ui.screen import Screen
from seqd.serving import recent_deaths
from seqd_schemas import MAX_DEATHS, ChildDeath, Log, WorkerStatus

#: Deaths within so long that are a crash loop.
_LOOP_MS = 600_000
_LOOP_DEATHS = 3


def death_lines(worker: WorkerStatus, now_ms: int) -> Iterator[str]:
    """Yield a line on the deaths of a worker's processes within the last hour, if there were any.

    Three or more within ten minutes are a crash loop.
    """
    recent = recent_deaths(worker, now_ms)
    if not recent:
        return
    last = recent[-1]
    in_loop = [death for death in recent if now_ms - death.at_ms <= _LOOP_MS]
    if len(in_loop) >= _LOOP_DEATHS:
        what = f"died {_times(in_loop)} in the last 10 min, a crash loop"
    else:
        what = f"died {_times(recent)} in the last hour"
    ago = age(last.at_ms, now_ms)
    yield f"{worker.worker} {what}, last {last.cause} {ago} ago: {last.message}"


def log_told(event: Log) -> str:
    """Return what a job's log event says, with the worker and the cause where one has died."""
    if event.cause is None:
        return event.message
    worker = "a worker" if event.worker is None else event.worker
    return f"{worker} died, {event.cause}: {event.message}"


def print_deaths(screen: Screen, workers: Sequence[WorkerStatus], now_ms: int) -> None:
    """Print which workers' processes have died lately; nothing where none has."""
    lines = [line for worker in workers for line in death_lines(worker, now_ms)]
    if lines:
        screen.say()
    for line in lines:
        screen.say(line, "red")


def _times(deaths: Sequence[ChildDeath]) -> str:
    if len(deaths) == 1:
        return "once"
    least = "at least " if len(deaths) == MAX_DEATHS else ""
    return f"{least}{len(deaths)} times"
