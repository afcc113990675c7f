"""Callers of an HTTP service: some connections, each of which asks again once it is answered."""

import asyncio
import json
import time


class Program:
    def ask(self, port: int, path: str, count: int, connections: int, model: str) -> list[float]:
        """Post `count` texts over so many connections; gives milliseconds of each."""
        return asyncio.run(_ask(port, path, count, connections, model))


async def _ask(port: int, path: str, count: int, connections: int, model: str) -> list[float]:
    left, took_ms = iter(range(count)), list[float]()

    async def call() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in left:
            body = json.dumps({"input": f"text {number}", "model": model}).encode()
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            began = time.perf_counter()
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answered = await reader.readuntil(b"\r\n\r\n")
            status = answered.split(b" ", 2)[1]
            length = next(
                int(line.split(b":")[1])
                for line in answered.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            )
            reply = await reader.readexactly(length)
            took_ms.append(1000 * (time.perf_counter() - began))
            if status != b"200":
                raise SystemExit(f"{path} answered {status.decode()}: {reply.decode()}")
        writer.close()

    await asyncio.gather(*(call() for _ in range(connections)))
    return took_ms
