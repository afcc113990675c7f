"""Tenants: what an operator has set for each, how each stands, and what each has used.

Limits are heeded by the scripts that take jobs and hand work out, so a change holds at once, for
every client and worker. Use is counted by `commit.lua`.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final, cast

from pydantic import TypeAdapter, ValidationError

from seqd.errors import InvalidRequest, QuotaExceeded, UnknownTenant, WrongState
from seqd.ledger.exchange import (
    Command,
    Exchange,
    Part,
    command,
    exchange,
    hash_fields,
    pipeline,
    script,
    server_ms,
)
from seqd.ledger.retention import evict_of_tenant
from seqd.ledger.scripts import as_int
from seqd.validation import did_you_mean, fault_sentence, shown
from seqd_schemas import (
    Priority,
    TenantLimits,
    TenantName,
    TenantRecord,
    TenantUsage,
)

if TYPE_CHECKING:
    from seqd.ledger.audit import Audit

#: Tenants that may have limits of their own.
MAX_TENANTS: Final = 10_000

#: Tenants of one queue, and of those that keep most, that a list looks at.
_LISTED: Final = 10_000

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

_NAME: TypeAdapter[str] = TypeAdapter(TenantName)


_Row = Mapping[bytes, bytes]


def waiting_shares(record: TenantRecord) -> dict[str, float]:
    """Return the used shares of what a tenant may have waiting: jobs, items and bytes."""
    limits = record.limits
    return {
        "jobs": used_share(record.open_jobs, limits.jobs),
        "items": used_share(record.waiting_items, limits.items),
        "bytes": used_share(record.waiting_bytes, limits.bytes),
    }


def used_share(used: int, most: int | None) -> float:
    """Return a share; of a limit of 0, 1 where there is anything."""
    if most is None:
        return 0.0
    return used / most if most else float(used > 0)


class Tenants(Part):
    """The tenants' limits, accounts and use."""

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
            yield from evict_of_tenant(name)
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
        if record.own != TenantLimits() or record.open_jobs or record.kept_bytes:
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
    def busiest(self, most: int) -> Exchange[list[TenantRecord]]:
        """Return how at most `most` tenants stand, in a few round trips.

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
        found = dict.fromkeys(name for names in replies for name in cast(list[bytes], names))
        return (yield from self._records([name.decode() for name in found][:most]))

    @exchange
    def names(self) -> Exchange[frozenset[str]]:
        """Return the names of those that `all` returns."""
        weights, _ = yield from hash_fields(self._keys.weights())
        names = set(weights)
        names |= set((yield from _members(self._keys.tenants())))
        for priority in Priority:
            for queue in (yield from _members(self._keys.queues(priority.value))):
                key = self._keys.queue(queue.decode(), priority.value)
                names |= set((yield from _members(key)))
        return frozenset(name.decode() for name in names)

    @exchange
    def usage(
        self, *, since: date | None = None, until: date | None = None, tenant: str | None = None
    ) -> Exchange[list[TenantUsage]]:
        """Return what tenants have used, by day and then by name; of days from `since` on.

        `until` is the last day; without one it is today, in UTC by the server's clock. Without a
        `since` these are all days that are kept. Days of which nothing is kept are left out.
        """
        for name, day in (("since", since), ("until", until)):
            if day is not None and type(day) is not date:  # a datetime is a date, too
                raise InvalidRequest(
                    f"{name} is {shown(day)}; allowed: a date, such as date(2026, 11, 1)."
                )
        today = datetime.fromtimestamp((yield from server_ms()) / 1000, UTC).date()
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
        fleet, *rows = yield from pipeline(asked)
        return [
            _record(
                name,
                cast(_Row, fleet),
                cast(_Row, limits),
                cast(bytes | None, weight),
                cast(_Row, account),
            )
            for name, limits, weight, account in zip(
                names, rows[::3], rows[1::3], rows[2::3], strict=True
            )
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
        rows: dict[str, dict[str, int]] = {}
        used, _ = yield from hash_fields(self._keys.usage(_number_of(day)))
        for field, value in used.items():
            name, _, what = field.decode().partition(" ")
            rows.setdefault(name, {})[what] = int(value)
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


#: Days for which use can be kept at most.
MAX_USAGE_DAYS: Final = 3_660


def checked_name(name: str) -> str:
    """Return a tenant's name. Raises InvalidRequest for what can be none."""
    try:
        return _NAME.validate_python(name)
    except ValidationError:
        raise InvalidRequest(
            f"The tenant is {shown(name)}; allowed: 1 to 64 letters, digits, `_`, `.` and `-`, the "
            "first a letter or digit."
        ) from None


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


def _record(
    name: str, fleet: _Row, limits: _Row, weight: bytes | None, account: _Row
) -> TenantRecord:
    own = _own(limits, weight)
    in_force = {field: _number(fleet, limit) for field, limit in _DEFAULTS.items()}
    # Not validated: the settings have other bounds.
    defaults = TenantLimits.model_construct(
        None, **in_force, weight=1.0, priorities=tuple(Priority)
    )
    return TenantRecord(
        tenant=name,
        own=own,
        limits=defaults.model_copy(update=own.model_dump(exclude_none=True)),
        open_jobs=_number(account, b"jobs") or 0,
        waiting_items=_number(account, b"items") or 0,
        waiting_bytes=_number(account, b"bytes") or 0,
        kept_bytes=_number(account, b"kept_bytes") or 0,
    )


def _own(limits: _Row, weight: bytes | None) -> TenantLimits:
    """Return what an operator has set for a tenant; limits of a later release are left out."""
    known = TenantLimits.model_fields.keys()
    rows = ((name.decode(), value.decode()) for name, value in limits.items())
    values: dict[str, object] = {name: value for name, value in rows if name in known}
    if b"priorities" in limits:
        values["priorities"] = limits[b"priorities"].decode().split()
    if weight not in (None, b"1"):
        values["weight"] = weight.decode()
    return TenantLimits.model_validate(values)


def _number(row: _Row, name: bytes) -> int | None:
    return int(row[name]) if name in row else None


def _number_of(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def _days(first: date, last: date) -> Iterator[date]:
    day = first
    while day <= last:
        yield day
        day += timedelta(days=1)


def _members(key: str) -> Exchange[list[bytes]]:
    return cast(list[bytes], (yield from command("ZREVRANGE", key, 0, _LISTED - 1)))


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
