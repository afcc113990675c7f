"""Figures of a whole fleet, for an exporter: work, workers, tenants, the inbox, Redis.

A read costs by queues, workers and the tenants that are looked at, however many jobs are open. What
the user may not read is left out, and so is each part that Redis cannot give: the rest still tells.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar, cast

from redis.exceptions import ResponseError

from seqd.errors import RedisNoPermission
from seqd.ledger.exchange import Command, Exchange, pipeline

if TYPE_CHECKING:
    from seqd.ledger.inbox import InboxState
    from seqd.ledger.ledger import LedgerParts
    from seqd.ledger.retention import Evictions
    from seqd.scaling import RouteWork
    from seqd_schemas import TenantRecord, WorkerStatus

T = TypeVar("T")

#: Tenants that are looked at, each with two commands: a tenth of a second where all is slow.
MAX_TENANTS: Final = 250


@dataclass(frozen=True, slots=True)
class ServerState:
    """What Redis says of itself."""

    memory_bytes: int
    #: Used share of its `maxmemory`; None without one.
    memory_ratio: float | None
    is_primary: bool
    replicas: int
    #: False where the last write to its disk, of either kind, has failed.
    is_persistence_ok: bool


@dataclass(frozen=True, slots=True)
class FleetFigures:
    """One look at a fleet. None stands for what could not be read, unlike the rest."""

    routes: "list[RouteWork]"
    #: Those that are up.
    workers: "list[WorkerStatus]"
    #: Jobs by state: `open`, and `uploading` of them.
    jobs: Mapping[str, int]
    #: The time on the server's clock.
    now_ms: int
    #: Workers of the last day that are not heard of any more, and did not end in order.
    silent_workers: int | None = None
    tenants: "list[TenantRecord] | None" = None
    inbox: "InboxState | None" = None
    server: ServerState | None = None
    #: Entries of the dead letters.
    failures: int | None = None
    #: Ended jobs that were removed before their time so far.
    evictions: "Evictions | None" = None


def fleet_figures(ledger: "LedgerParts") -> Exchange[FleetFigures]:
    """Return the figures. Raises where the work itself, or the workers, cannot be read."""
    workers = yield from ledger.fleet.workers.steps()
    routes = yield from ledger.backlog.routes.steps(workers)
    counted = (ledger.keys.open_jobs(), ledger.keys.uploads())
    replies = yield from pipeline(Command(("ZCARD", key)) for key in counted)
    opened, uploading = cast(list[int], replies)
    now_ms = yield from ledger.fleet.now_ms.steps()
    silent = yield from _if_possible(ledger.fleet.silent_workers.steps)
    tenants = yield from _if_possible(lambda: ledger.tenants.busiest.steps(MAX_TENANTS))
    inbox = yield from _if_possible(ledger.inbox.state.steps)
    server = yield from _if_possible(_server_state)
    failures = yield from _if_possible(ledger.failures.count.steps)
    evictions = yield from _if_possible(ledger.retention.evictions.steps)
    return FleetFigures(
        routes,
        workers,
        {"open": opened, "uploading": uploading},
        now_ms,
        silent_workers=None if silent is None else len(silent),
        tenants=tenants,
        inbox=inbox,
        server=server,
        failures=failures,
        evictions=evictions,
    )


def _if_possible(read: Callable[[], Exchange[T]]) -> Exchange[T | None]:
    """Return what a read returns; None where it is denied, or finds what seqd has not written."""
    try:
        return (yield from read())
    except (RedisNoPermission, ResponseError):
        return None


def _server_state() -> Exchange[ServerState]:
    sections = ("memory", "replication", "persistence")
    replies = yield from pipeline(Command(("INFO", section)) for section in sections)
    info: dict[str, object] = {}
    for reply in replies:
        info |= cast(Mapping[str, object], reply)
    most, used = _count(info, "maxmemory"), _count(info, "used_memory")
    states = ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status")
    return ServerState(
        memory_bytes=used,
        memory_ratio=used / most if most else None,
        is_primary=info.get("role", "master") == "master",
        replicas=_count(info, "connected_slaves"),
        is_persistence_ok=all(info.get(name, "ok") == "ok" for name in states),
    )


def _count(info: Mapping[str, object], name: str) -> int:
    value = info.get(name)
    return value if isinstance(value, int) else 0
