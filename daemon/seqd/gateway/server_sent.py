"""Server-sent events: their form, and streams that stay alive and end in order.

The form is that of the HTML standard, section 9.2.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

#: Media type of a stream of events.
EVENTS: Final = "text/event-stream"

#: Seconds without an event after which a comment is sent, so that no proxy ends the connection.
_PING_S: Final = 15.0

_PING: Final = b": ping\n\n"

#: What a stream ends with where its gateway is stopped: connect again, to another or to this one.
_RECONNECT: Final = b": the gateway is stopped; connect again\nretry: 500\n\n"


def event_of(data: object, *, event: str = "", event_id: str = "") -> bytes:
    """Return an event: its data as JSON, behind its kind and its id where it has them."""
    lines = [f"event: {event}"] if event else []
    if event_id:
        lines.append(f"id: {event_id}")
    lines.append(f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}")
    return ("\n".join(lines) + "\n\n").encode()


async def kept_alive(events: AsyncIterator[bytes], stopped: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield what a stream gives, with a comment where nothing comes, until the gateway stops."""
    stop = asyncio.ensure_future(stopped.wait())
    following: asyncio.Future[bytes] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(events))
            both: list[asyncio.Future[Any]] = [following, stop]
            await asyncio.wait(both, timeout=_PING_S, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                try:
                    yield following.result()
                except StopAsyncIteration:
                    return
                following = None
            elif stop.done():
                yield _RECONNECT
                return
            else:
                yield _PING
    finally:
        stop.cancel()
        if following is not None:
            following.cancel()
