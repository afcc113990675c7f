"""What the gateway asks of the ledger beside what any client does."""

from seqd.client import AsyncClient


class GatewayClient(AsyncClient):
    """A client of the ledger for all requests of one gateway."""
