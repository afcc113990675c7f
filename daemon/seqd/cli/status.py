"""`seqd status`: the server, the workers with what they do, and the jobs that are open."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict

from seqd import __version__
from seqd.cli import options
from seqd.cli.showing import Found, shown
from seqd.cli.ui.findings import print_findings, redis_told, say_first
from seqd.cli.ui.jobs import print_jobs
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_table
from seqd.cli.ui.workers import print_workers
from seqd.client import Client
from seqd.doctor.judging import judged
from seqd.ledger.overview import FleetOverview
from seqd.ledger.retention import Evictions
from seqd.local.endpoint import redis_url_of
from seqd.masking import without_password
from seqd.serving import lacking
from seqd.views.queues import WIDE, queue_columns

#: Open jobs that are shown, the newest.
_SHOWN_JOBS = 10


@shown
def status() -> Found:
    """Show the server, the workers, and the jobs that have not ended.

    Exit status 2 when no server answers.
    """
    settings = options.read_settings()
    url = redis_url_of(settings)
    with Client(url, settings=settings) as client:
        fleet = client.overview()
        evictions = client.evictions()
    server, told = without_password(url), redis_told(fleet)
    lacked = lacking(fleet.workers, fleet.catalog, fleet.at_ms)
    releases = Counter(worker.seqd_version for worker in fleet.workers)

    def view(screen: Screen) -> None:
        say_first(screen, told)
        _show(screen, server, fleet)
        said = {"redis-memory-high"} if told else set[str]()
        said |= set() if fleet.workers else {"no-workers"}
        print_findings(screen, judged(fleet), without=said)
        if line := _releases_line(releases):
            screen.say(line, "yellow")
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


def _releases_line(releases: Mapping[str, int]) -> str:
    """Return that all workers are of one release, and this command of another; else ''."""
    if len(releases) != 1 or __version__ in releases:
        return ""
    return (
        f"The workers are of seqd {next(iter(releases))}, this command of {__version__}: "
        "docker/upgrade.md"
    )


def _show_losses(screen: Screen, evictions: Evictions, failures: int | None) -> None:
    if evictions != Evictions():
        screen.say(_evictions_line(evictions))
    if failures:
        screen.say(f"Dead letters of what failed: {failures:,}. See: seqd failures list")


def _evictions_line(evictions: Evictions) -> str:
    soon = evictions.within_hour
    return (
        "Ended jobs removed before their time, to make room: "
        f"{evictions.tenant_kept_bytes:,} of tenants that kept too much, "
        f"{evictions.memory:,} when Redis was short of memory"
        f"{f'; {soon:,} of them within an hour of their end' if soon else ''}"
    )


def _show(screen: Screen, server: str, fleet: FleetOverview) -> None:
    screen.say(f"Redis {server}")
    screen.say()
    if fleet.workers or fleet.no_writes is None:
        print_workers(screen, fleet.workers, fleet.unheard, fleet.at_ms)
    else:
        screen.say("No worker can report.", "yellow")
    screen.say()
    if fleet.jobs:
        print_jobs(screen, fleet.jobs[:_SHOWN_JOBS], fleet.at_ms)
        if (rest := fleet.open_jobs - _SHOWN_JOBS) > 0:
            screen.say(f"and {rest:,} more: seqd jobs list", "dim")
    else:
        screen.say("No open jobs.")
    left = [queue for queue in fleet.queues if queue.state != "idle"]
    if left and fleet.no_writes is None:  # else who can run it is not known
        screen.say()
        print_table(screen, queue_columns(is_wide=screen.console.width >= WIDE), left)
