"""`seqd tenants`: limits of single tenants, how they stand, and what they have used.

What is set is kept in Redis and holds at once, for all clients and workers.
"""

from datetime import date
from typing import Annotated

import typer

from seqd.cli import completion, options, readers
from seqd.cli.showing import Found, shown
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.stdout import stdout
from seqd.cli.ui.tenants import print_tenant, print_tenants, print_usage, usage_as_csv
from seqd.errors import InvalidRequest
from seqd.ledger.tenants import checked_limits, checked_name
from seqd_schemas import TenantLimits

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
