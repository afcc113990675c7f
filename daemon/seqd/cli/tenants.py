"""`seqd tenants`: limits of single tenants, how they stand, and what they have used.

What is set is kept in Redis and holds at once, for all clients and workers.
"""

import csv
import io
from collections.abc import Sequence
from datetime import date
from typing import Annotated

import typer

from seqd.cli import completion, options, readers
from seqd.cli.showing import Found, shown
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.stdout import stdout
from seqd.cli.ui.tables import print_facts, print_table
from seqd.errors import InvalidRequest
from seqd.ledger.tenants import WHY_OVER, checked_limits, checked_name, waiting_shares
from seqd.views.columns import Column
from seqd.views.numbers import count, counted, duration, size
from seqd_schemas import OTHER_TENANTS, Priority, TenantLimits, TenantRecord, TenantUsage

#: What `--unset all` stands for.
_ALL = "all"

_Tenant = Annotated[
    str,
    typer.Argument(metavar="TENANT", help="The tenant's name.", autocompletion=completion.tenants),
]
_Jobs = Annotated[
    str | None,
    typer.Option("--jobs", metavar="N", help="Open jobs at once; 0: no new one is taken."),
]
_Items = Annotated[
    str | None, typer.Option("--items", metavar="N", help="Items that may wait at once.")
]
_Bytes = Annotated[
    str | None,
    typer.Option("--bytes", metavar="N", help="Compressed input that may wait in Redis."),
]
_KeptBytes = Annotated[
    str | None,
    typer.Option("--kept-bytes", metavar="N", help="Results and ended jobs that are kept."),
]
_ResultsTtl = Annotated[
    str | None,
    typer.Option("--results-ttl", metavar="SECONDS", help="Largest results_ttl_s of a job."),
]
_Weight = Annotated[
    str | None,
    typer.Option("--weight", metavar="W", help="Share of the workers, beside others with 1."),
]
_Priorities = Annotated[
    str | None,
    typer.Option("--priorities", metavar="P,P", help="Priorities of its jobs, by commas."),
]
_Unset = Annotated[
    list[str] | None,
    typer.Option("--unset", metavar="LIMIT", help="A limit to take away, such as jobs; or all."),
]
_Evict = Annotated[
    bool,
    typer.Option("--evict", help="Remove its oldest ended jobs where --kept-bytes asks for it."),
]


@shown
def list_tenants() -> Found:
    """List the tenants that have limits of their own, work that waits, or results."""
    with options.open_client() as client:
        records = client.tenants()
    return Found(records, lambda screen: print_tenants(screen, records))


@shown
def show(tenant: _Tenant) -> Found:
    """Show a tenant's limits, what it has in Redis now, and what it has used of late."""
    with options.open_client() as client:
        record = client.tenant(tenant)
        usage = client.tenant_usage(tenant=tenant)
    found = {"tenant": record, "usage": usage}
    return Found(found, lambda screen: print_tenant(screen, record, usage))


@shown
def set_tenant(
    tenant: _Tenant,
    jobs: _Jobs = None,
    items: _Items = None,
    waiting_bytes: _Bytes = None,
    kept_bytes: _KeptBytes = None,
    ttl: _ResultsTtl = None,
    weight: _Weight = None,
    priorities: _Priorities = None,
    unset: _Unset = None,
    evict: _Evict = False,
) -> Found:
    """Set limits of a tenant, in place of those of the settings. They hold at once.

    Of what is open nothing is lost. A weight also changes the share of jobs that run.
    """
    given: dict[str, object] = {
        "jobs": jobs,
        "items": items,
        "bytes": waiting_bytes,
        "kept_bytes": kept_bytes,
        "results_ttl_s": ttl,
        "weight": weight,
        "priorities": None if priorities is None else _listed(priorities),
    }
    limits = checked_limits({name: value for name, value in given.items() if value is not None})
    removed = [_field_of(name) for name in unset or ()]
    if _ALL in removed:
        removed = [name for name in TenantLimits.model_fields if given[name] is None]
    with options.open_client() as client:
        record = client.set_tenant(tenant, limits, unset=removed, evicts=evict)
    return Found(record, lambda screen: print_tenant(screen, record))


@shown
def usage(
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="TENANT", help="One tenant alone.")
    ] = None,
    since: Annotated[
        date | None,
        readers.typed("--from", by=readers.day, help="First day, such as 2026-11-01, in UTC."),
    ] = None,
    until: Annotated[
        date | None,
        readers.typed("--to", by=readers.day, help="Last day; today without it."),
    ] = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV, a line a day and tenant.")
    ] = False,
    *,
    screen: Screen,
) -> Found:
    """Tell what tenants have used by day: items, trainings, tokens, seconds of computing.

    What was committed counts, each unit once. Days are kept for SEQD_USAGE_DAYS.
    """
    if screen.is_beside_json and as_csv:
        raise InvalidRequest("--json and --csv are both given; say one of the two")
    if since is not None and until is not None and since > until:
        raise InvalidRequest(f"--from is {since}, which is after --to, {until}; swap the two")
    name = None if tenant is None else checked_name(tenant)
    with options.open_client() as client:
        rows = client.tenant_usage(since=since, until=until, tenant=name)
    if as_csv:
        return Found(rows, lambda screen: stdout().write(usage_as_csv(rows)))
    return Found(rows, lambda screen: print_usage(screen, rows))


def _field_of(typed: str) -> str:
    """Return the limit that is meant by the name of its option."""
    name = typed.removeprefix("--").replace("-", "_")
    return "results_ttl_s" if name == "results_ttl" else name


def _listed(typed: str) -> list[str]:
    """Return the parts between commas, each once."""
    return list(dict.fromkeys(part.strip() for part in typed.split(",") if part.strip()))


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
            "priorities": f"{', '.join(limits.priorities or Priority)}{_whose(own.priorities)}",
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


def _whose(own: object) -> str:
    return "" if own is None else " (its own)"
