"""The service of the services' guide, run as its reader would: by uvicorn, on a port of its own."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import uvicorn

from readme_blocks import ROOT, blocks_of
from worker_fixtures import wait_until

#: Longest that it takes to start, or to end.
_WAIT_S = 30.0


GUIDE = ROOT / "schemas" / "service.md"


def service_source(model: str) -> str:
    """Return the program of the guide, for another model than `imdb_lstm`.

    On a machine that has much else to do, an answer may take longer than a reader would wait.
    """
    blocks = blocks_of(GUIDE, "python")
    (service,) = (block.text for block in blocks if "FastAPI" in block.text)
    return service.replace('"imdb_lstm"', f'"{model}"').replace("timeout_s=10", "timeout_s=100")


def service_command() -> list[str]:
    """Return the command by which the guide runs it."""
    lines = (line for block in blocks_of(GUIDE, "text") for line in block.text.splitlines())
    (line,) = (line for line in lines if line.startswith("uvicorn "))
    return line.split()


def service_app(model: str) -> Any:
    """Return the application of the guide, for another model than `imdb_lstm`."""
    names: dict[str, Any] = {"__name__": "service"}
    exec(service_source(model), names)
    return names["app"]


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an application from a thread of this process; gives its address."""
    config = uvicorn.Config(app, port=0, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="uvicorn", daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive(), "it starts")
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(_WAIT_S)


class Connection:
    """One connection to a service, kept open: a client that costs little beside it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: str) -> Self:
        """Connect to an address such as `http://127.0.0.1:8000`."""
        host, _, port = address.removeprefix("http://").partition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def post(self, path: str, body: object) -> tuple[int, Any]:
        """Send JSON; returns the status and the JSON of the reply."""
        sent = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: service\r\nContent-Type: application/json\r\n"
        self._writer.write(f"{head}Content-Length: {len(sent)}\r\n\r\n".encode() + sent)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        (length,) = (line.partition(":")[2] for line in lines if line.startswith("content-length:"))
        reply = await self._reader.readexactly(int(length))
        return int(lines[0].split()[1]), json.loads(reply)

    def close(self) -> None:
        """Disconnect."""
        self._writer.close()
