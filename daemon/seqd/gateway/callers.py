"""Who sent a request, and what they may do."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated

from fastapi import Depends, Request

from seqd.errors import NotAllowed
from seqd.gateway.ledger_client import GatewayClient
from seqd_schemas import KeyRole

#: On whose account requests run where there are no keys.
DEFAULT_TENANT = "default"


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request."""

    tenant: str
    role: KeyRole
    #: None where there are no keys.
    key_id: str | None = None

    @property
    def only_tenant(self) -> str | None:
        """The tenant whose jobs, files and models are there for this caller; None for all."""
        return None if self.role is KeyRole.ADMIN else self.tenant


async def client_of(request: Request) -> GatewayClient:
    """Return the client that all requests share."""
    client: GatewayClient = request.state.seqd
    return client


SeqdClient = Annotated[GatewayClient, Depends(client_of)]


async def caller_of(request: Request) -> Caller:
    """Return who sent a request.

    Raises NotAllowed for one from another machine while there are no keys.
    """
    host = "" if request.client is None else request.client.host
    if not _is_loopback(host):
        raise NotAllowed(
            "This gateway has no keys, and serves its own machine alone. Its operator makes one: "
            "seqd keys new --tenant NAME --role submit"
        )
    return Caller(DEFAULT_TENANT, KeyRole.ADMIN)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _needing(role: KeyRole) -> Callable[[Caller], Awaitable[Caller]]:
    async def checked(caller: Annotated[Caller, Depends(caller_of)]) -> Caller:
        if not caller.role.may(role):
            raise NotAllowed(
                f"The key has the role {caller.role}; allowed here: {role}. Use a key with that "
                "role."
            )
        return caller

    return checked


Reader = Annotated[Caller, Depends(_needing(KeyRole.READ))]
Submitter = Annotated[Caller, Depends(_needing(KeyRole.SUBMIT))]
Operator = Annotated[Caller, Depends(_needing(KeyRole.OPERATE))]
Admin = Annotated[Caller, Depends(_needing(KeyRole.ADMIN))]
