"""`seqd status`: the server, the workers with what they do, and the jobs that are open."""

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from seqd.cli import options
from seqd.cli.showing import Found, shown
from seqd.cli.ui.findings import print_findings, redis_told, say_first
from seqd.cli.ui.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seqd.ledger.inbox import InboxState
    from seqd.ledger.overview import FleetOverview
    from seqd.ledger.retention import Evictions
    from seqd.scaling import RouteWork

#: Open jobs that are shown, the newest.
_SHOWN_JOBS = 10

#: Findings that stand in the lines on workers, on work and on the inbox.
_SAID_ABOVE = ("no-workers", "route-unserved", "inbox-stuck")


@shown
def status() -> Found:
    """Show the server, the workers, and the jobs that have not ended.

    Exit status 2 when no server answers.
    """
    from seqd.client import Client
    from seqd.doctor.judging import judged
    from seqd.local.endpoint import redis_url_of
    from seqd.masking import without_password
    from seqd.serving import lacking

    settings = options.read_settings()
    url = redis_url_of(settings)
    with Client(url, settings=settings) as client:
        fleet = client.overview()
        evictions = client.evictions()
        catalog = client.catalog()
    with options.open_ledger() as ledger:
        told = redis_told(ledger, fleet.no_writes)
    server = without_password(url)
    lacked = lacking(fleet.workers, catalog, fleet.at_ms)
    releases = Counter(worker.seqd_version for worker in fleet.workers)

    def view(screen: Screen) -> None:
        say_first(screen, told)
        _show(screen, server, fleet)
        print_findings(screen, judged(fleet, catalog), without=_SAID_ABOVE)
        if line := _releases_line(releases):
            screen.say(line, "yellow")
        for route in fleet.work_left:
            if route.items:
                screen.say(_work_line(route, can_report=fleet.no_writes is None))
        if fleet.inbox.entries:
            screen.say(_inbox_line(fleet.inbox))
        _show_losses(screen, evictions, fleet.failure_count)

    found = {
        "server": server,
        "workers": fleet.workers,
        "releases": dict(sorted(releases.items())),
        "open_jobs": fleet.jobs,
        "work_left": [asdict(route) for route in fleet.work_left],
        "evicted_jobs": asdict(evictions),
        "failures": fleet.failure_count,
        "inbox": asdict(fleet.inbox),
        "paused_models": list(fleet.pauses.values()),
        "takes_no_writes": fleet.no_writes,
        "lacking": {ref: [one.worker for one in who] for ref, who in lacked.items()},
    }
    return Found(found, view)


def _releases_line(releases: "Mapping[str, int]") -> str:
    """Return that all workers are of one release, and this command of another; else ''."""
    from seqd import __version__

    if len(releases) != 1 or __version__ in releases:
        return ""
    return (
        f"The workers are of seqd {next(iter(releases))}, this command of {__version__}: "
        "docker/upgrade.md"
    )


def _show_losses(screen: Screen, evictions: "Evictions", failures: int | None) -> None:
    from seqd.ledger.retention import Evictions

    if evictions != Evictions():
        screen.say(_evictions_line(evictions))
    if failures:
        screen.say(f"Dead letters of what failed: {failures:,}. See: seqd failures list")


def _evictions_line(evictions: "Evictions") -> str:
    soon = evictions.within_hour
    return (
        "Ended jobs removed before their time, to make room: "
        f"{evictions.tenant_kept_bytes:,} of tenants that kept too much, "
        f"{evictions.memory:,} when Redis was short of memory"
        f"{f'; {soon:,} of them within an hour of their end' if soon else ''}"
    )


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


def _is_unserved(route: "RouteWork") -> bool:
    return 0 < route.unserved_s >= route.seconds and route.waiting_items > 0


def _inbox_line(inbox: "InboxState") -> str:
    allowed = "" if inbox.allowed_entries is None else f" of {inbox.allowed_entries:,}"
    age = "" if inbox.oldest_age_s is None else f", the oldest added {inbox.oldest_age_s:.0f} s ago"
    return f"Inbox: entries waiting: {inbox.entries:,}{allowed}{age}"


def _show(screen: Screen, server: str, fleet: "FleetOverview") -> None:
    from seqd.cli.ui.jobs import print_jobs, print_waiting
    from seqd.cli.ui.workers import print_workers

    can_report = fleet.no_writes is None
    screen.say(f"Redis {server}")
    screen.say()
    if fleet.workers or can_report:
        print_workers(screen, fleet.workers, fleet.unheard)
    else:
        screen.say("No worker can report.", "yellow")
    screen.say()
    if fleet.jobs:
        print_jobs(screen, fleet.jobs[:_SHOWN_JOBS])
        if (rest := fleet.open_jobs - _SHOWN_JOBS) > 0:
            screen.say(f"and {rest:,} more: seqd jobs list", "dim")
        if can_report:
            print_waiting(screen, fleet.jobs)
    else:
        screen.say("No open jobs.")
