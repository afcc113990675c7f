"""Figures of a whole fleet, for an exporter: work, workers, tenants, the inbox, Redis.

A read costs by queues, workers and the tenants that are looked at, however many jobs are open. What
the user may not read is left out, and so is each part that Redis cannot give: the rest still tells.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar, cast

from redis.exceptions import ResponseError

from seqd.errors import RedisNoPermission
from seqd.ledger.exchange import Command, Driver, Exchange, command, exchange, pipeline

if TYPE_CHECKING:
    from seqd.ledger.backlog import Backlog, FleetState
    from seqd.ledger.fleet import Fleet
    from seqd.ledger.inbox import InboxState, InboxStream
    from seqd.ledger.retention import Evictions, Retention
    from seqd.ledger.tenants import Tenants
    from seqd_schemas import Keys, TenantRecord

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

    state: "FleetState"
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


class Figures:
    """Reads the figures."""

    def __init__(
        self,
        driver: Driver,
        backlog: "Backlog",
        fleet: "Fleet",
        inbox: "InboxStream",
        tenants: "Tenants",
        retention: "Retention",
        keys: "Keys",
    ) -> None:
        self.driver = driver
        self._keys = keys
        self._backlog = backlog
        self._fleet = fleet
        self._inbox = inbox
        self._tenants = tenants
        self._retention = retention

    @exchange
    def read(self) -> Exchange[FleetFigures]:
        """Return the figures. Raises where the work itself, or the workers, cannot be read."""
        state = yield from self._backlog.state.steps()
        now_ms = yield from self._fleet.now_ms.steps()
        silent = yield from _if_possible(self._fleet.silent_workers.steps)
        tenants = yield from _if_possible(lambda: self._tenants.busiest.steps(MAX_TENANTS))
        inbox = yield from _if_possible(self._inbox.state.steps)
        server = yield from _if_possible(_server_state)
        failures = yield from _if_possible(self._failures)
        evictions = yield from _if_possible(self._retention.evictions.steps)
        return FleetFigures(
            state,
            now_ms,
            silent_workers=None if silent is None else len(silent),
            tenants=tenants,
            inbox=inbox,
            server=server,
            failures=failures,
            evictions=evictions,
        )

    def _failures(self) -> Exchange[int]:
        return cast(int, (yield from command("XLEN", self._keys.failures())))


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
