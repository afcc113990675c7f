"""Deaths of workers' processes, in a line each."""

from collections.abc import Iterator, Sequence

from seqd.cli.ui.numbers import age
from seqd.cli.ui.screen import Screen
from seqd.local.slots import place_of
from seqd.serving import deaths_in_loop, recent_deaths, times_told, who_died
from seqd_schemas import Log, WorkerStatus


def death_lines(worker: WorkerStatus, now_ms: int) -> Iterator[str]:
    """Yield one line on the deaths of a worker's processes within the last hour, or none.

    It names the place: a worker tells of those before it in its slot, too.
    """
    in_loop, recent = deaths_in_loop(worker, now_ms), recent_deaths(worker, now_ms)
    if not recent:
        return
    last, counted = recent[-1], in_loop or recent
    who, count = who_died(place_of(worker.worker), counted), len(counted)
    within = "10 min, a crash loop" if in_loop else "hour"
    what = f"died {times_told(count, count)} in the last {within}"
    ago = age(last.at_ms, now_ms)
    yield f"{who} {what}, last {last.cause} {ago} ago: {last.message}"


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
