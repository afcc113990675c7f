"""Tenants as a table, one tenant in full, and what tenants have used."""

import csv
import io
from collections.abc import Sequence

from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_facts, print_table
from seqd.ledger.tenants import WHY_OVER, waiting_shares
from seqd.views.columns import Column
from seqd.views.numbers import count, counted, duration, size
from seqd_schemas import OTHER_TENANTS, Priority, TenantLimits, TenantRecord, TenantUsage

#: Days that are shown of one tenant.
_SHOWN_DAYS = 14

_USED = ("items", "trainings", "tokens", "busy_s")

#: What tables say of a tenant.
_COLUMNS: tuple[Column[TenantRecord], ...] = (
    Column("tenant", lambda one: one.tenant),
    Column("open jobs", lambda one: one.open_jobs),
    Column("items", lambda one: one.waiting_items),
    Column("input", lambda one: size(one.waiting_bytes)),
    Column("keeps", lambda one: size(one.kept_bytes)),
    Column("weight", lambda one: f"{one.limits.weight or 1:g}"),
    Column("limits of its own", lambda one: _own(one.own), wraps=True),
)

#: What tables say of what a tenant has used; without the day, of several days.
_USAGE_COLUMNS: tuple[Column[TenantUsage], ...] = (
    Column("tenant", lambda used: used.tenant),
    Column("items", lambda used: used.items),
    Column("trainings", lambda used: used.trainings),
    Column("tokens", lambda used: used.tokens),
    Column("busy", lambda used: duration(used.busy_s)),
)


def print_tenants(screen: Screen, records: Sequence[TenantRecord]) -> None:
    """Print a table of tenants, or that there are none."""
    if not records:
        screen.say("No tenants.")
        return
    print_table(screen, _COLUMNS, records)


def print_tenant(
    screen: Screen, record: TenantRecord, usage: Sequence[TenantUsage] | None = None
) -> None:
    """Print one tenant in full, with what it has used where that is given."""
    limits, own = record.limits, record.own
    print_facts(
        screen,
        {
            "tenant": record.tenant,
            "open jobs": _of(record.open_jobs, limits.jobs, own.jobs),
            "items waiting": _of(record.waiting_items, limits.items, own.items),
            "input waiting": _of(record.waiting_bytes, limits.bytes, own.bytes, "bytes"),
            "results kept": _of(record.kept_bytes, limits.kept_bytes, own.kept_bytes, "bytes"),
            "results_ttl_s": _most(limits.results_ttl_s, own.results_ttl_s),
            "weight": f"{limits.weight or 1:g}{_whose(own.weight)}",
            "priorities": f"{_names(limits.priorities)}{_whose(own.priorities)}",
        },
    )
    if any(share > 1 for share in waiting_shares(record).values()):
        screen.say(WHY_OVER, "dim")
    if usage is not None:
        screen.say()
        print_usage(screen, usage[-_SHOWN_DAYS:])
        if len(usage) > _SHOWN_DAYS:
            screen.say(f"All days: seqd tenants usage --tenant {record.tenant}", "dim")


def print_usage(screen: Screen, usage: Sequence[TenantUsage]) -> None:
    """Print a table of days and tenants, and the sums of each tenant where there are several."""
    if not usage:
        screen.say("Nothing was used on these days.")
        return
    print_table(screen, (Column("day", lambda used: used.day), *_USAGE_COLUMNS), usage)
    days = {row.day for row in usage}
    if len(days) > 1:
        screen.say()
        title = f"In all, of {counted(len(days), 'day')}"
        print_table(screen, _USAGE_COLUMNS, _sums(usage), title=title)
    if any(row.tenant == OTHER_TENANTS for row in usage):
        screen.say(f"{OTHER_TENANTS} stands for the tenants beyond the first 10,000 of a day.")


def usage_as_csv(usage: Sequence[TenantUsage]) -> str:
    """Return a line a day and tenant, behind one of names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("day", "tenant", *_USED))
    for row in usage:
        writer.writerow((row.day, row.tenant, *(getattr(row, name) for name in _USED)))
    return text.getvalue()


def _sums(usage: Sequence[TenantUsage]) -> list[TenantUsage]:
    """Return what each tenant has used on all days together."""
    of_tenants: dict[str, list[TenantUsage]] = {}
    for row in usage:
        of_tenants.setdefault(row.tenant, []).append(row)
    return [
        rows[0].model_copy(update={name: sum(getattr(row, name) for row in rows) for name in _USED})
        for _, rows in sorted(of_tenants.items())
    ]


def _own(own: TenantLimits) -> str:
    given = own.model_dump(exclude_none=True, exclude={"weight"}, mode="json")
    parts = [
        f"{name}={','.join(value) if isinstance(value, list) else value}"
        for name, value in given.items()
    ]
    return " ".join(parts) or "none"


def _of(used: int, allowed: int | None, own: int | None, unit: str = "") -> str:
    of = "" if allowed is None else f" of {count(allowed)}"
    return f"{count(used)}{of}{' ' + unit if unit else ''}{_whose(own)}"


def _most(allowed: int | None, own: int | None) -> str:
    return "" if allowed is None else f"at most {count(allowed)}{_whose(own)}"


def _names(priorities: Sequence[Priority] | None) -> str:
    return ", ".join(priority.value for priority in priorities or Priority)


def _whose(own: object) -> str:
    return "" if own is None else " (its own)"
