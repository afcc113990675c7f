"""`seqd status`: the server, the workers with what they do, and the jobs that are open."""

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from seqd.cli import options
from seqd.cli.showing import Found, shown
from seqd.cli.ui.no_writes import redis_told, say_first
from seqd.cli.ui.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from seqd.ledger.inbox import InboxState
    from seqd.ledger.retention import Evictions
    from seqd.scaling import RouteWork
    from seqd_schemas import JobRecord, ModelPause, WorkerStatus

#: Open jobs that are read at most, and those of them that are shown; the newest.
_READ_JOBS = 200
_SHOWN_JOBS = 10

#: What to heed while workers are not all of one release; it is the same in both directions.
_RULE = (
    "They work side by side. Replace workers before the services that hand jobs in: a worker of an "
    "older release refuses a request with what only a later one knows."
)


@shown
def status() -> Found:
    """Show the server, the workers, and the jobs that have not ended.

    Exit status 2 when no server answers.
    """
    from seqd import __version__
    from seqd.client import Client
    from seqd.local.endpoint import redis_url_of
    from seqd.masking import without_password
    from seqd.serving import lacking

    settings = options.read_settings()
    url = redis_url_of(settings)
    with Client(url, settings=settings) as client:
        workers = client.workers()
        jobs = client.open_jobs(_READ_JOBS)
        inbox = client.inbox()
        work_left = client.work_left()
        evictions = client.evictions()
        failures = client.failure_count()
        paused = client.paused_models()
        no_writes = client.why_no_writes()
        lacked = lacking(workers, client.catalog())
    with options.open_ledger() as ledger:
        unheard = ledger.fleet.unheard(workers)
        told = redis_told(ledger, no_writes)
    server = without_password(url)
    releases = _releases_of(workers)

    def view(screen: Screen) -> None:
        say_first(screen, told)
        _show(screen, server, workers, jobs, unheard, can_report=no_writes is None)
        if line := _releases_line(releases, __version__):
            screen.say(line, "yellow")
        for ref, who in lacked.items():
            screen.say(_lacking_line(ref, who), "red")
        _show_work(screen, work_left, paused.values(), can_report=no_writes is None)
        if inbox.entries:
            screen.say(_inbox_line(inbox))
        _show_losses(screen, evictions, failures)

    found = {
        "server": server,
        "workers": workers,
        "releases": releases,
        "open_jobs": jobs,
        "work_left": [asdict(route) for route in work_left],
        "evicted_jobs": asdict(evictions),
        "failures": failures,
        "inbox": asdict(inbox),
        "paused_models": list(paused.values()),
        "takes_no_writes": no_writes,
        "lacking": {ref: [one.worker for one in who] for ref, who in lacked.items()},
    }
    return Found(found, view)


def _releases_of(workers: "Iterable[WorkerStatus]") -> dict[str, int]:
    """Return how many workers there are of each release, by its version."""
    return dict(sorted(Counter(worker.seqd_version for worker in workers).items()))


def _releases_line(releases: "Mapping[str, int]", own: str) -> str:
    """Return what an upgrade needs now; '' where all workers are of this command's release."""
    if set(releases) <= {own}:
        return ""
    told = ", ".join(f"{version} ({count})" for version, count in releases.items())
    if len(releases) > 1:
        return f"Workers of {len(releases)} releases of seqd are up: {told}. {_RULE}"
    return f"The workers are of seqd {told}, this command of {own}. {_RULE}"


def _show_losses(screen: Screen, evictions: "Evictions", failures: int) -> None:
    from seqd.ledger.retention import Evictions

    if evictions != Evictions():
        screen.say(_evictions_line(evictions))
    if failures:
        screen.say(f"Dead letters of what failed: {failures:,}. See: seqd failures list")


def _show_work(
    screen: Screen,
    work_left: "Iterable[RouteWork]",
    paused: "Iterable[ModelPause]",
    *,
    can_report: bool,
) -> None:
    for route in work_left:
        if route.items:
            screen.say(_work_line(route, can_report=can_report))
    for pause in paused:
        screen.say(_pause_line(pause), "yellow")


def _evictions_line(evictions: "Evictions") -> str:
    soon = evictions.within_hour
    return (
        "Ended jobs removed before their time, to make room: "
        f"{evictions.tenant_kept_bytes:,} of tenants that kept too much, "
        f"{evictions.memory:,} when Redis was short of memory"
        f"{f'; {soon:,} of them within an hour of their end' if soon else ''}"
    )


def _lacking_line(ref: str, workers: "list[WorkerStatus]") -> str:
    from seqd.doctor.findings import listed

    named = listed(f"{one.worker} (host {one.host})" for one in workers)
    return f"{ref} is in service, and not in the store of {named}. What to do: seqd doctor"


def _work_line(route: "RouteWork", *, can_report: bool) -> str:
    from seqd.cli.ui.numbers import count, counted, duration

    reckoned = "" if route.is_measured else ", by a default: it was never measured"
    unserved = ", and no worker that is up can run it" if can_report and _is_unserved(route) else ""
    in_hand = f"{count(route.leased_items)} in hand, counted until they are done"
    held = f", {in_hand}" if route.leased_items else ""
    return (
        f"Work left, {route.task} {route.model}: {duration(route.seconds)} of one slot"
        f" ({counted(route.items, 'item')}{held}){reckoned}{unserved}"
    )


def _pause_line(pause: "ModelPause") -> str:
    from seqd.ledger.model_pauses import pause_in_words

    return (
        f"Model {pause.model} is {pause_in_words(pause)}. Let it go on: seqd models resume "
        f"{pause.model}"
    )


def _is_unserved(route: "RouteWork") -> bool:
    return 0 < route.unserved_s >= route.seconds and route.waiting_items > 0


def _inbox_line(inbox: "InboxState") -> str:
    allowed = "" if inbox.allowed_entries is None else f" of {inbox.allowed_entries:,}"
    age = "" if inbox.oldest_age_s is None else f", the oldest added {inbox.oldest_age_s:.0f} s ago"
    return f"Inbox: entries waiting: {inbox.entries:,}{allowed}{age}"


def _show(
    screen: Screen,
    server: str,
    workers: "list[WorkerStatus]",
    jobs: "list[JobRecord]",
    unheard: "Mapping[str, float]",
    *,
    can_report: bool,
) -> None:
    from seqd.cli.ui.jobs import print_jobs, print_waiting
    from seqd.cli.ui.workers import print_held_up, print_workers

    screen.say(f"Redis {server}")
    screen.say()
    if workers or can_report:
        print_workers(screen, workers, unheard)
        print_held_up(screen, workers, unheard)
    else:
        screen.say("No worker can report.", "yellow")
    screen.say()
    if jobs:
        print_jobs(screen, jobs[:_SHOWN_JOBS])
        if (rest := len(jobs) - _SHOWN_JOBS) > 0:
            more = f"{rest} or more others" if len(jobs) == _READ_JOBS else f"{rest} more"
            screen.say(f"and {more}: seqd jobs list", "dim")
        if can_report:
            print_waiting(screen, jobs)
    else:
        screen.say("No open jobs.")
