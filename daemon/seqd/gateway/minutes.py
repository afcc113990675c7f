"""Notes the fleet's figures once a minute, for the lines of the console's first page."""

import asyncio
import logging

from seqd.errors import SeqdError
from seqd.gateway.ledger_client import GatewayClient
from seqd.ledger.minutes import MINUTE_MS

log = logging.getLogger(__name__)


async def noting(seqd: GatewayClient) -> None:
    """Note each minute at its begin, without end; that other gateways do so, too, harms nothing."""
    while True:
        wait_ms = MINUTE_MS
        try:
            fleet = await seqd.recent_overview()
            wait_ms -= fleet.at_ms % MINUTE_MS
            await seqd.ask(seqd.ledger.minutes.note.steps(fleet.at_ms, fleet.figures))
        except SeqdError as error:
            log.warning("the figures of this minute are not noted: %s", error)
        await asyncio.sleep(wait_ms / 1_000)
