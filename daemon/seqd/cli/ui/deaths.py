"""Deaths of workers' processes, in a line each."""

from collections.abc import Iterable, Iterator, Sequence

from seqd.cli.ui.numbers import age
from seqd.cli.ui.screen import Screen
from seqd.serving import (
    at_most,
    deaths_in_loop,
    place_of,
    recent_deaths,
    tellers_of_deaths,
    times_told,
    who_died,
)
from seqd_schemas import Log, WorkerStatus


def death_lines(workers: Iterable[WorkerStatus], now_ms: int) -> Iterator[str]:
    """Yield a line on the deaths of processes within the last hour for each place that had some."""
    for worker in tellers_of_deaths(workers):
        yield from _lines_of(worker, now_ms)


def _lines_of(worker: WorkerStatus, now_ms: int) -> Iterator[str]:
    in_loop, recent = deaths_in_loop(worker, now_ms), recent_deaths(worker, now_ms)
    if not recent:
        return
    last, counted = recent[-1], in_loop or recent
    who, count = who_died(place_of(worker.worker), counted), len(counted)
    within = "10 min, a crash loop" if in_loop else "hour"
    what = f"died {times_told(count, count)} in the last {within}"
    ago = age(last.at_ms, now_ms)
    yield f"{who} {what}, last {last.cause} {at_most(last)}{ago} ago: {last.message}"


def log_told(event: Log) -> str:
    """Return what a job's log event says, with the worker and the cause where one has died."""
    if event.cause is None:
        return event.message
    worker = "a worker" if event.worker is None else event.worker
    return f"{worker} died, {event.cause}: {event.message}"


def print_deaths(screen: Screen, workers: Sequence[WorkerStatus], now_ms: int) -> None:
    """Print which workers' processes have died lately; nothing where none has."""
    lines = list(death_lines(workers, now_ms))
    if lines:
        screen.say()
    for line in lines:
        screen.say(line, "red")
