"""Hostile requests at a gateway: it refuses or answers them, lives on, and tells no other's data.

They come over raw connections, many at once, while another tenant works; `make test-long` sends
10,000 of them.
"""

import asyncio
import json
import socket
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import httpx
import psutil
import pytest

from gateway_builders import Gateway, new_key, running_gateway
from hostile_http import Drawing, Hostile
from seqd.testing import RunningServices, StubModel
from seqd_schemas import KeyRole
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

#: Stands in all that the other tenant has, and in no name by which it is asked for.
MARK = "zq7secret"
TENANT = f"tenant-{MARK}"

#: Connections at once; one that got no answer is held while as many others come.
AT_ONCE, HELD = 16, 48

#: Seconds that an answer has which is due, and in which one may come that is not.
LATE_S, PATIENCE_S = 60.0, 0.05

#: What the other tenant sends in between, and how often.
GOOD = {"input": [f"a fine film, {MARK}", f"{MARK}, dreadful"], "model": "imdb_lstm"}
GOOD_EVERY = 50

#: By how much the process may grow in the second half. If two kilobytes of each request stayed, it
#: would be by 10 MB in 5,000; what the allocator and the collector keep differs by 3 MB or so.
GROWTH_BYTES = 8 * 1024**2

#: Connections to Redis that open streams have needed, and that are kept for others.
KEPT_CONNECTIONS = 16

#: Small limits, so that what is beyond them is sent soon.
LIMITS = {
    "SEQD_GATEWAY_MAX_BODY_BYTES": str(2**20),
    "SEQD_GATEWAY_MAX_FILE_BYTES": str(2**20),
    "SEQD_GATEWAY_TENANT_FILE_BYTES": str(2**24),
}


@pytest.fixture(scope="module")
def models() -> Mapping[str, Any]:
    def trained(_: object) -> Mapping[str, float]:
        return {"validation_accuracy": 0.5}

    return {
        "imdb_lstm": StubModel(classify=lambda text: f"about {text}", train=trained),
        "char_lstm": lambda prompt: iter((prompt, " and so on")),
    }


@dataclass
class World:
    """A gateway with two tenants, and what one of them has."""

    gateway: Gateway
    log: Path
    keys: list[str]
    client: httpx.Client
    theirs: dict[str, str]
    paths: list[str]

    def had(self) -> list[object]:
        """Return what the other tenant has, as it says itself."""
        hooks = self.client.get("/v1/webhook_endpoints").raise_for_status().json()["data"]
        read = [self.client.get(path).raise_for_status().text for path in self.paths]
        return [*read, *(one["id"] for one in hooks)]  # how its deliveries stand changes

    def is_well(self) -> bool:
        reply = self.client.post("/v1/classify", json=GOOD)
        return reply.status_code == 200 and reply.text.count(MARK) == 2

    def memory_bytes(self) -> int:
        return int(psutil.Process(self.gateway.process.pid).memory_info().rss)

    def descriptors(self) -> int:
        return psutil.Process(self.gateway.process.pid).num_fds()


@pytest.fixture
def world(services: RunningServices, tmp_path: Path) -> Iterator[World]:
    own = new_key(services, TENANT, KeyRole.OPERATE)
    roles = [*[KeyRole.OPERATE] * 4, KeyRole.READ]
    hostile = [new_key(services, "hostile", role) for role in roles]
    log = tmp_path / "gateway.log"
    with (
        running_gateway(services, log, **LIMITS) as gateway,
        httpx.Client(
            base_url=gateway.address, headers={"authorization": f"Bearer {own}"}, timeout=LATE_S
        ) as client,
    ):
        theirs, paths = made(client, services)
        yield World(gateway, log, hostile, client, theirs, paths)


def made(client: httpx.Client, services: RunningServices) -> tuple[dict[str, str], list[str]]:
    """Have a tenant make one of each thing; return their names, and where they are read."""

    def sent(path: str, method: str = "POST", **body: Any) -> str:
        reply = client.request(method, path, **body).raise_for_status().json()
        return str(reply.get("id", reply.get("job_id")))

    rows = [
        {"custom_id": f"{MARK} {number}", "text": f"fine {MARK}", "label": MARK}
        for number in range(4)
    ]
    content = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    note = {"note": MARK}
    file = sent("/v1/files", files={"file": (f"{MARK}.jsonl", content)}, data={"purpose": "batch"})
    data = sent(
        "/v1/files", files={"file": (f"{MARK}.jsonl", content)}, data={"purpose": "fine-tune"}
    )
    batch = sent(
        "/v1/batches", json={"input_file_id": file, "endpoint": "/v1/classify", "metadata": note}
    )
    training = sent(
        "/v1/fine_tuning/jobs",
        json={"model": "imdb_lstm", "training_file": data, "suffix": "theirs", "metadata": note},
    )
    source = {"type": "inline", "items": [{"custom_id": MARK, "text": f"fine {MARK}"}]}
    job = {"kind": "classify", "model": "imdb_lstm", "source": source, "metadata": note}
    sent("/v1/jobs/order-1", "PUT", json=job)
    secret = {"model": "imdb_lstm", "training_file": data, "suffix": MARK}
    sent("/v1/fine_tuning/jobs", json=secret)  # a model whose very name nobody else sees
    hook = sent("/v1/webhook_endpoints", json={"url": f"https://shop.example/{MARK}", "name": MARK})
    jobs = [batch.removeprefix("batch_"), training.removeprefix("ftjob-"), "order-1"]
    for one in jobs:
        path = f"/v1/jobs/{one}"
        wait_until(lambda path=path: client.get(path).json()["state"] == "completed", path)
    theirs = {
        "batch": jobs[0],
        "training": jobs[1],
        "job": jobs[2],
        "file": file,
        "model": "imdb_lstm_theirs",
        "webhook": hook,
        "tenant": "default",
        "path": str(Path(services.settings.files_root) / f"{file}.jsonl"),
    }
    paths = [
        "/v1/models/imdb_lstm_theirs", f"/v1/files/{file}", f"/v1/files/{file}/content",
        f"/v1/batches/{batch}", f"/v1/files/file-{jobs[0]}-output/content", "/v1/jobs/order-1",
        "/v1/jobs/order-1/results", f"/v1/fine_tuning/jobs/{training}",
        f"/v1/fine_tuning/jobs/{training}/events",
    ]  # fmt: skip
    return theirs, paths


@dataclass
class Attack:
    """Sends hostile requests, and keeps what came of them."""

    world: World
    drawing: Drawing
    #: How often each kind was sent, and each status came; 0 is none.
    kinds: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    _held: list[tuple[Hostile, asyncio.StreamReader, asyncio.StreamWriter]] = field(
        default_factory=list
    )

    async def send(self, count: int) -> None:
        """Send so many, AT_ONCE at a time, then give up those that are still held."""
        left = iter(range(count))

        async def one_by_one() -> None:
            for number in left:
                if number % GOOD_EVERY == 0 and not await asyncio.to_thread(self.world.is_well):
                    self.faults.append(f"request {number}: another tenant was not served")
                await self._send(self.drawing.one())

        await asyncio.gather(*(one_by_one() for _ in range(AT_ONCE)))
        while self._held:
            await self._give_up()

    async def _send(self, hostile: Hostile) -> None:
        self.kinds[hostile.kind] += 1
        reader, writer = await asyncio.open_connection("127.0.0.1", self.world.gateway.port)
        # What is refused may be refused before all of it was sent.
        with suppress(ConnectionError):
            for piece in hostile.pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
        if hostile.is_whole:
            try:
                async with asyncio.timeout(LATE_S):
                    self._judge(hostile, await _read(reader))
            except TimeoutError:
                self.faults.append(f"no answer within {LATE_S:g} s: {hostile}")
            await _end(writer, breaks_off=False)
            return
        self._held.append((hostile, reader, writer))
        if len(self._held) > HELD:
            await self._give_up()

    async def _give_up(self) -> None:
        """Read what has come to the connection that is held longest, and end it."""
        hostile, reader, writer = self._held.pop(0)
        answer = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while block := await _block(reader):
                    answer += block
        self._judge(hostile, answer)
        await _end(writer, hostile.breaks_off)

    def _judge(self, hostile: Hostile, answer: bytes) -> None:
        status = int(answer[9:12]) if answer[9:12].isdigit() else 0
        self.statuses[status] += 1
        told = f"{hostile.kind}: {b''.join(hostile.pieces)[:1_500]!r} -> {answer[:1_500]!r}"
        if MARK.encode() in answer:
            self.faults.append(f"another tenant's datum: {told}")
        if status >= 500 or b"HTTP/1.1 500" in answer:
            self.faults.append(f"a fault of the gateway's own: {told}")
        if hostile.is_whole and not status:
            self.faults.append(f"no answer: {told}")


async def _read(reader: asyncio.StreamReader) -> bytes:
    answer = b""
    while block := await _block(reader):
        answer += block
    return answer


async def _block(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(2**16)
    except ConnectionError:
        return b""


async def _end(writer: asyncio.StreamWriter, breaks_off: bool) -> None:
    if breaks_off:
        at_once = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, at_once)
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(300, id="300"),
        pytest.param(10_000, id="10,000", marks=[pytest.mark.slow, pytest.mark.long]),
    ],
)
@pytest.mark.timeout(1_800)
def test_hostile_requests_are_refused_and_nothing_else_comes_of_them(
    world: World, count: int
) -> None:
    attack = Attack(world, Drawing(1, world.keys, world.theirs))
    had, descriptors = world.had(), world.descriptors()

    asyncio.run(attack.send(count // 2))
    before = world.memory_bytes()
    asyncio.run(attack.send(count - count // 2))
    after = world.memory_bytes()

    print(dict(attack.kinds), dict(attack.statuses), f"{before:,} then {after:,} bytes")
    assert not attack.faults, "\n".join(attack.faults[:5])
    assert "Traceback" not in world.log.read_text()
    assert world.is_well()
    assert world.had() == had
    most = descriptors + KEPT_CONNECTIONS
    wait_until(lambda: world.descriptors() <= most, "connections and files are closed")
    assert after - before < GROWTH_BYTES


def test_requests_with_noise_behind_them_are_no_fault_of_the_gateways(world: World) -> None:
    request = f"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {world.keys[0]}\r\n\r\n"

    with socket.create_connection(("127.0.0.1", world.gateway.port), timeout=LATE_S) as sent:
        sent.sendall(request.encode() * 2 + b"noise\r\n\r\n")
        answer = b"".join(iter(lambda: sent.recv(4_096), b""))

    assert answer.startswith(b"HTTP/1.1 400")
    assert world.is_well()
    assert "Traceback" not in world.log.read_text()


def test_a_large_body_that_is_no_json_does_not_stay_in_memory(world: World) -> None:
    body, kind = b'{"input": "' + b"x" * 1_000_000, {"content-type": "application/json"}
    world.client.post("/v1/classify", content=body, headers=kind)
    before = world.memory_bytes()

    for _ in range(100):
        reply = world.client.post("/v1/classify", content=body, headers=kind)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_json")

    assert world.memory_bytes() - before < 20 * len(body)
