"""`seqd keys`: who may ask the gateway for what.

A key is kept in Redis, without its secret, and holds at once for all gateways.
"""

from datetime import timedelta
from typing import Annotated

import typer

from seqd.cli import completion, options, readers
from seqd.cli.showing import Found, shown
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_table
from seqd.views.keys import ROLES, key_columns
from seqd_schemas import KeyRole

#: What is said of a secret, on stderr.
_ONCE = "Its secret is shown this once: Redis has no more than the hash."

_TOLD = ", ".join(f"{role} ({told})" for role, told in ROLES.items())


@shown
def new(
    tenant: Annotated[
        str,
        typer.Option(
            "--tenant",
            metavar="NAME",
            help="On whose account its requests run.",
            autocompletion=completion.tenants,
        ),
    ],
    role: Annotated[
        str,
        readers.typed(
            "--role",
            by=readers.one_of(*ROLES),
            help=f"What it may do: {_TOLD}.",
        ),
    ],
    name: Annotated[str, typer.Option("--name", help="Whom or what it is for.")] = "",
    expires: Annotated[
        timedelta | None,
        readers.typed("--expires", by=readers.span, help="How long it holds, such as 90d."),
    ] = None,
    rate: Annotated[
        int | None,
        readers.typed("--rate", by=readers.whole(1, 1_000_000), help="Requests a minute at most."),
    ] = None,
) -> Found:
    """Make a key, and print its secret, once.

    From the first key on the gateway wants one with each request, also when all are revoked.
    """
    with options.open_ledger() as ledger:
        made = ledger.api_keys.new(
            tenant, KeyRole(role), name=name, expires_in=expires, requests_per_minute=rate
        )

    def view(_: Screen) -> None:
        typer.echo(made.secret)
        typer.echo(f"{made.key.id}. {_ONCE}", err=True)

    return Found({"key": made.key, "secret": made.secret}, view)


@shown
def list_keys() -> Found:
    """List the keys: what each may do, until when, and when it was used last."""
    with options.open_ledger() as ledger:
        keys, now_ms = ledger.api_keys.all(), ledger.fleet.now_ms()

    def view(screen: Screen) -> None:
        if not keys:
            screen.say("No keys.")
            return
        print_table(screen, key_columns(now_ms), keys)

    return Found(keys, view)


@shown
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `list` shows it.")],
) -> Found:
    """Have no further request with a key served. It cannot be undone; make another one."""
    with options.open_ledger() as ledger:
        revoked = ledger.api_keys.revoke(key)
    return Found(revoked, f"Revoked {revoked.id}, of the tenant {revoked.tenant}.")
