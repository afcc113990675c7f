"""Tenants: what an operator has set for each, how each stands, and what each has used.

Limits are heeded by the scripts that take jobs and hand work out, so a change holds at once, for
every client and worker. Use is counted by `commit.lua`.
"""

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final, cast

from pydantic import TypeAdapter, ValidationError
from redis.exceptions import ResponseError

from seqd.errors import InvalidRequest, QuotaExceeded, UnknownTenant, WrongState
from seqd.ledger.exchange import Command, Driver, Exchange, command, exchange, pipeline, script
from seqd.ledger.scripts import as_int
from seqd.validation import did_you_mean, fault_sentence, shown
from seqd_schemas import (
    OTHER_TENANTS,
    Keys,
    Priority,
    TenantLimits,
    TenantName,
    TenantRecord,
    TenantUsage,
)

if TYPE_CHECKING:
    from seqd.ledger.audit import Audit

log = logging.getLogger(__name__)

#: Tenants that may have limits of their own.
MAX_TENANTS: Final = 10_000

#: Tenants of one queue, and of those that keep most, that a list looks at.
_LISTED: Final = 10_000

#: Calls of `evict.lua` for one tenant: half a million jobs at most.
_EVICT_CALLS: Final = 5_000

#: Fields that one step of a scan reads.
_SCAN_COUNT: Final = 1_000

#: Limit of the workers' settings that holds where a tenant has none of its own.
_DEFAULTS: Final = {
    "jobs": b"tenant_jobs",
    "items": b"tenant_items",
    "bytes": b"tenant_bytes",
    "kept_bytes": b"tenant_kept_bytes",
    "results_ttl_s": b"results_ttl_s",
}

#: Why more may wait than a limit allows: see `over_quota` in accounts.lua.
WHY_OVER: Final = (
    "More than a limit came as one unit while nothing waited, or the limit was lowered since."
)

#: Fields of a tenant's account, and limits of it, in the order of `TenantShare`.
_SHARED: Final = ("jobs", "items", "bytes", "kept_bytes")

_NAME: TypeAdapter[str] = TypeAdapter(TenantName)


@dataclass(frozen=True, slots=True)
class _Own:
    """What a tenant's keys hold: what seqd has written, and sentences on what it has not."""

    limits: TenantLimits
    damaged: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TenantShare:
    """What a tenant has waiting, and keeps, each with how much it may; None where nothing says."""

    tenant: str
    jobs: tuple[int, int | None]
    items: tuple[int, int | None]
    bytes: tuple[int, int | None]
    #: Bytes of its results and ended jobs.
    kept_bytes: tuple[int, int | None] = (0, None)

    @property
    def ratio(self) -> float:
        """The highest share of what waits; of a limit of 0, 1 where there is anything."""
        return max(map(_used_share, (self.jobs, self.items, self.bytes)))

    @property
    def kept_ratio(self) -> float:
        """The share of what it may keep, more than 1 where its last ended job alone is larger."""
        return _used_share(self.kept_bytes)


def _used_share(both: tuple[int, int | None]) -> float:
    used, most = both
    if most is None:
        return 0.0
    return used / most if most else float(used > 0)


class Tenants:
    """The tenants' limits, accounts and use."""

    def __init__(self, driver: Driver, keys: Keys) -> None:
        self.driver = driver
        self._keys = keys

    @exchange
    def set_limits(
        self,
        name: str,
        limits: TenantLimits | None = None,
        *,
        unset: Collection[str] = (),
        evicts: bool = False,
    ) -> Exchange[TenantRecord]:
        """Set those of a tenant's limits that are not None, and take those named in `unset` away.

        Return how it stands then. Raises InvalidRequest where there is nothing to set, and
        WrongState where `kept_bytes` are fewer than it keeps now, unless it `evicts`: then its
        oldest ended jobs are removed at once.
        """
        checked_name(name)
        changes = {} if limits is None else limits.model_dump(exclude_none=True, mode="json")
        _check_changes(changes, unset)
        kept_bytes = cast(int | None, changes.get("kept_bytes"))
        if kept_bytes is not None and not evicts:
            yield from self._check_kept(name, kept_bytes)
        weight = 1.0 if "weight" in unset else changes.pop("weight", "")
        row: list[str] = []
        for field, value in changes.items():
            row += [field, " ".join(value) if isinstance(value, list) else str(value)]
        for field in unset:
            row += [] if field == "weight" else [field, ""]
        written = "" if weight == "" else f"{weight:g}"
        if as_int((yield from script("set_tenant", name, MAX_TENANTS, written, *row))) == 0:
            raise QuotaExceeded(
                f"{MAX_TENANTS:,} tenants have limits of their own, which is as many as may. Take "
                "those of another away with `--unset all`.",
                retry_after_s=60.0,
            )
        if kept_bytes is not None:
            yield from _evict(name)
        return (yield from self.record.steps(name))

    @exchange
    def record(self, name: str) -> Exchange[TenantRecord]:
        """Return how a tenant stands; also of one of which nothing is known."""
        checked_name(name)
        return (yield from self._records([name]))[0]

    @exchange
    def show(self, name: str) -> Exchange[TenantRecord]:
        """Return how a tenant stands. Raises UnknownTenant where nothing is known of it."""
        record = yield from self.record.steps(name)
        is_known = record.own != TenantLimits() or record.damaged
        if is_known or any((record.open_jobs, record.kept_bytes)):
            return record
        used = yield from self.usage.steps(tenant=name)
        if any(usage.tenant == name for usage in used):
            return record
        known = yield from self.names.steps()
        raise UnknownTenant(
            f"No tenant {name!r} has limits, jobs or results, or has used anything that is still "
            f"counted.{did_you_mean(name, known)} `seqd tenants list` lists those that "
            "there are; `seqd tenants set` sets limits for one before its first job."
        )

    @exchange
    def all(self) -> Exchange[list[TenantRecord]]:
        """Return the tenants with limits of their own, with work that waits, or that keep most."""
        names = yield from self.names.steps()
        return (yield from self._records(sorted(names)))

    @exchange
    def shares(self, most: int) -> Exchange[list[TenantShare]]:
        """Return what tenants use of what they may, of at most `most` and in a few round trips.

        Those with work that waits come first, of each queue those whose turn is next; then those
        that keep most.
        """
        keys = self._keys
        asked = [Command(("ZRANGE", keys.queues(one.value), 0, most - 1)) for one in Priority]
        by_class = yield from pipeline(asked)
        asked = [
            Command(("ZRANGE", keys.queue(queue.decode(), one.value), 0, most - 1))
            for one, queues in zip(Priority, by_class, strict=True)
            for queue in cast(list[bytes], queues)
        ]
        asked = [*asked[:most], Command(("ZREVRANGE", keys.tenants(), 0, most - 1))]
        replies = yield from pipeline(asked)
        found = (name.decode(errors="replace") for names in replies for name in _names(names))
        names = [name for name in dict.fromkeys(found) if _is_name(name)][:most]
        defaults = [_DEFAULTS[limit].decode() for limit in _SHARED]
        asked = [Command(("HMGET", keys.limits(), *defaults))]
        for name in names:
            asked.append(Command(("HMGET", keys.tenant(name), *_SHARED)))
            asked.append(Command(("HMGET", keys.tenant_limits(name), *_SHARED)))
        in_general, *rows = ([_whole(n) for n in _row(r)] for r in (yield from pipeline(asked)))
        shares = []
        for name, used, own in zip(names, rows[::2], rows[1::2], strict=True):
            most_of = [b if a is None else a for a, b in zip(own, in_general, strict=True)]
            both = zip([count or 0 for count in used], most_of, strict=True)
            shares.append(TenantShare(name, *both))
        return shares

    @exchange
    def names(self) -> Exchange[frozenset[str]]:
        """Return the names of those that `all` returns."""
        names = set((yield from _scanned(self._keys.weights())))
        names |= set((yield from _members(self._keys.tenants())))
        for priority in Priority:
            for queue in (yield from _members(self._keys.queues(priority.value))):
                key = self._keys.queue(queue.decode(), priority.value)
                names |= set((yield from _members(key)))
        decoded = {name.decode(errors="replace") for name in names}
        return frozenset(name for name in decoded if _is_name(name))

    @exchange
    def usage(
        self, *, since: date | None = None, until: date | None = None, tenant: str | None = None
    ) -> Exchange[list[TenantUsage]]:
        """Return what tenants have used, by day and then by name; of days from `since` on.

        `until` is the last day; without one it is today, in UTC by the server's clock. Without a
        `since` these are all days that are kept. Days of which nothing is kept are left out.
        """
        today = yield from _today()
        until = min(until or today, today)
        days = [] if since is None else list(_days(since, until))
        if since is None:
            days = [day for day in (yield from self._kept_days(today)) if day <= until]
        used = []
        for day in days:
            used += yield from self._usage_of(day, tenant)
        return used

    def _records(self, names: list[str]) -> Exchange[list[TenantRecord]]:
        keys = self._keys
        asked = [Command(("HGETALL", keys.limits()))]
        for name in names:
            asked.append(Command(("HGETALL", keys.tenant_limits(name))))
            asked.append(Command(("HGET", keys.weights(), name)))
            asked.append(Command(("HGETALL", keys.tenant(name))))
        replies = yield from pipeline(asked, raises=False)
        fleet = replies[0] if isinstance(replies[0], dict) else {}
        return [
            _record(name, fleet, *replies[1 + 3 * at : 4 + 3 * at]) for at, name in enumerate(names)
        ]

    def _check_kept(self, name: str, kept_bytes: int) -> Exchange[None]:
        kept = (yield from self.record.steps(name)).kept_bytes
        if kept > kept_bytes:
            raise WrongState(
                f"Tenant {name!r} keeps {kept:,} bytes of results and ended jobs; with a limit of "
                f"{kept_bytes:,} the oldest of these jobs would be removed at once, before their "
                "time. Nothing was changed. Say --evict to have that, or set a higher limit."
            )

    def _kept_days(self, today: date) -> Exchange[list[date]]:
        """Return the days on which something was used, oldest first, as far as any is kept."""
        days = list(_days(today - timedelta(days=MAX_USAGE_DAYS + 1), today))
        keys = (self._keys.usage(_number_of(day)) for day in days)
        replies = yield from pipeline(Command(("EXISTS", key)) for key in keys)
        return [day for day, is_there in zip(days, replies, strict=True) if is_there]

    def _usage_of(self, day: date, tenant: str | None) -> Exchange[list[TenantUsage]]:
        rows, damaged = yield from self._day(day)
        for sentence in damaged:
            log.warning("%s", sentence)
        return [
            TenantUsage(
                day=day.isoformat(),
                tenant=name,
                items=row.get("items", 0),
                trainings=row.get("trainings", 0),
                tokens=row.get("tokens", 0),
                busy_s=row.get("busy_ms", 0) / 1000,
            )
            for name, row in sorted(rows.items())
            if tenant is None or name == tenant
        ]

    def _day(self, day: date) -> Exchange[tuple[dict[str, dict[str, int]], list[str]]]:
        """Return the numbers of a day by tenant, and sentences on what is no such number."""
        key = self._keys.usage(_number_of(day))
        rows: dict[str, dict[str, int]] = {}
        try:
            found = yield from _fields(key)
        except ResponseError as error:
            return {}, [f"The use of {day} cannot be read, {key} is not what seqd writes: {error}."]
        damaged = []
        for field, value in found.items():
            name, _, what = field.decode(errors="replace").partition(" ")
            number = _whole(value)
            is_sound = (name == OTHER_TENANTS or _is_name(name)) and what in _USED
            if is_sound and number is not None:
                rows.setdefault(name, {})[what] = number
            else:
                told = f"{_told(field)} is {_told(value)}"
                damaged.append(f"In the use of {day} {told}, which seqd has not written.")
        return rows, damaged


#: Days for which use can be kept at most.
MAX_USAGE_DAYS: Final = 3_660

_USED: Final = ("items", "trainings", "tokens", "busy_ms")

#: Digits of the largest number that a record holds.
_MOST_DIGITS: Final = 15


def checked_name(name: str) -> str:
    """Return a tenant's name. Raises InvalidRequest for what can be none."""
    if not _is_name(name):
        raise InvalidRequest(
            f"The tenant is {shown(name)}; allowed: 1 to 64 letters, digits, `_`, `.` and `-`, the "
            "first a letter or digit."
        )
    return name


def checked_limits(values: Mapping[str, object]) -> TenantLimits:
    """Return limits. Raises InvalidRequest, which names what is wrong and what is allowed."""
    try:
        return TenantLimits.model_validate(values)
    except ValidationError as error:
        raise InvalidRequest(f"{fault_sentence(error, noun='limit')}.") from None


def _check_changes(changes: Mapping[str, object], unset: Collection[str]) -> None:
    known = sorted(TenantLimits.model_fields)
    for field in unset:
        if field not in known:
            raise InvalidRequest(
                f"{shown(field)} is no limit of a tenant; allowed: {', '.join(known)}, or all of "
                f"them, as `all`.{did_you_mean(field, known)}"
            )
        if field in changes:
            raise InvalidRequest(f"{field} is to be set and to be taken away; say one of the two.")
    if not changes and not unset:
        raise InvalidRequest(
            f"There is nothing to set. Name a limit: {', '.join(known)}; or one to take away."
        )


def _names(reply: object) -> list[bytes]:
    return cast(list[bytes], reply)


def _row(reply: object) -> list[bytes | None]:
    return cast(list[bytes | None], reply)


def _is_name(name: str) -> bool:
    try:
        _NAME.validate_python(name)
    except ValidationError:
        return False
    return True


def _record(
    name: str, fleet: Mapping[bytes, bytes], limits: object, weight: object, account: object
) -> TenantRecord:
    own = _own(limits, weight)
    counts, damaged = _account(account)
    in_force = {field: _whole(fleet.get(limit)) for field, limit in _DEFAULTS.items()}
    # Not validated: the settings have other bounds.
    defaults = TenantLimits.model_construct(
        None, **in_force, weight=1.0, priorities=tuple(Priority)
    )
    return TenantRecord(
        tenant=name,
        own=own.limits,
        limits=defaults.model_copy(update=own.limits.model_dump(exclude_none=True)),
        open_jobs=counts.get("jobs", 0),
        waiting_items=counts.get("items", 0),
        waiting_bytes=counts.get("bytes", 0),
        kept_bytes=counts.get("kept_bytes", 0),
        damaged=(*own.damaged, *damaged)[:16],
    )


def _own(limits: object, weight: object) -> _Own:
    """Return a tenant's limits as the scripts heed them."""
    values: dict[str, object] = {}
    damaged = []
    rows = dict(limits) if isinstance(limits, dict) else {}
    if isinstance(weight, bytes) and weight != b"1":
        rows[b"weight"] = weight
    for name, written in (
        (n.decode(errors="replace"), v.decode(errors="replace")) for n, v in rows.items()
    ):
        value: object = written.split() if name == "priorities" else written
        try:
            TenantLimits.model_validate({name: value})
        except ValidationError:
            damaged.append(f"{shown(name)} is {shown(written)}, which seqd has not written.")
        else:
            values[name] = value
    damaged += [
        f"Its {what} cannot be read: {error}."
        for what, error in (("limits", limits), ("weight", weight))
        if isinstance(error, Exception)
    ]
    return _Own(TenantLimits.model_validate(values), tuple(damaged))


def _account(account: object) -> tuple[dict[str, int], list[str]]:
    if not isinstance(account, dict):
        return {}, [f"Its account cannot be read: {account}."]
    counts: dict[str, int] = {}
    damaged = []
    for field, value in account.items():
        number = _whole(value)
        if number is None:
            damaged.append(f"Its account of {_told(field)} is {_told(value)}.")
        else:
            counts[field.decode(errors="replace")] = number
    return counts, damaged


def _told(written: bytes) -> str:
    return shown(written.decode(errors="replace"))


def _whole(value: bytes | None) -> int | None:
    is_number = value is not None and value.isdigit() and len(value) <= _MOST_DIGITS
    return int(value) if is_number and value is not None else None


def _number_of(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def _days(first: date, last: date) -> Iterator[date]:
    day = first
    while day <= last:
        yield day
        day += timedelta(days=1)


def _evict(name: str) -> Exchange[None]:
    for _ in range(_EVICT_CALLS):
        if as_int((yield from script("evict", 0, name))) == 0:
            return


def _fields(key: str) -> Exchange[dict[bytes, bytes]]:
    """Return a hash that may be large, read a part at a time."""
    fields: dict[bytes, bytes] = {}
    cursor = 0
    while True:
        reply = yield from command("HSCAN", key, cursor, "COUNT", _SCAN_COUNT)
        cursor, part = cast(tuple[int, dict[bytes, bytes]], reply)
        fields |= part
        if cursor == 0:
            return fields


def _scanned(key: str) -> Exchange[list[bytes]]:
    try:
        return list((yield from _fields(key)))
    except ResponseError as error:  # somebody has written something else there
        log.warning("%s was left out: %s", key, error)
        return []


def _members(key: str) -> Exchange[list[bytes]]:
    try:
        return cast(list[bytes], (yield from command("ZREVRANGE", key, 0, _LISTED - 1)))
    except ResponseError as error:
        log.warning("%s was left out: %s", key, error)
        return []


def _today() -> Exchange[date]:
    seconds, _ = cast(tuple[int, int], (yield from command("TIME")))
    return datetime.fromtimestamp(seconds, UTC).date()


def audited_limits(
    tenants: Tenants,
    audit: "Audit",
    name: str,
    limits: TenantLimits | None,
    *,
    unset: Collection[str],
    evicts: bool,
) -> Exchange[TenantRecord]:
    """Set a tenant's limits, as `Tenants.set_limits` does, and write that into the audit."""
    from seqd.ledger.audit import audited

    wanted = {} if limits is None else limits.model_dump(mode="json", exclude_none=True)
    change = tenants.set_limits.steps(name, limits, unset=unset, evicts=evicts)
    details = {**wanted, "unset": ", ".join(sorted(unset)), "evicts": evicts or ""}
    return (yield from audited(audit, change, "tenants.set", name, details))
