"""The gateway as a process: beside `seqd up`, killed, and told to end while somebody reads."""

import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from threading import Event, Thread

import httpx
import psutil
import pytest
from redis import Redis

from cli_builders import Installation
from held_ports import Holder, hold_port
from inbox_builders import Producer
from up_builders import Up, running_up
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("gateway")
    holder = Holder()
    others = {"SEQD_GATEWAY_PORT": str(hold_port(holder))}
    with running_up(folder, options=["--gateway"], others=others) as up:
        yield up


def address_of(up: Up) -> str:
    (line,) = (line for line in up.screen().splitlines() if line.startswith("Gateway"))
    return line.split()[1]


def gateway_of(up: Up) -> psutil.Process:
    """Return the process of the gateway that runs now."""
    children = psutil.Process(up.process.pid).children(recursive=True)
    return next(one for one in children if one.cmdline()[-1:] == ["gateway"])


def answers(up: Up) -> bool:
    try:
        reply = httpx.post(f"{address_of(up)}/classify", json={"input": "x", "model": "echo"})
    except httpx.TransportError:
        return False
    return reply.status_code == 200


def test_a_gateway_that_is_killed_is_started_again(up: Up) -> None:
    wait_until(lambda: answers(up), "the gateway answers")
    assert f"Console  {address_of(up).removesuffix('v1')}" in up.screen()

    gateway_of(up).kill()
    up.wait_for("The gateway ended, killed by SIGKILL")

    wait_until(lambda: answers(up), "it answers again")


def test_a_gateway_that_is_told_to_end_has_its_readers_connect_again(up: Up) -> None:
    wait_until(lambda: answers(up), "the gateway answers")
    lines, is_open = list[str](), Event()

    def follow() -> None:
        with httpx.stream("GET", f"{address_of(up)}/events", timeout=120) as reply:
            is_open.set()
            lines.extend(reply.iter_lines())

    reader = Thread(target=follow)
    reader.start()
    is_open.wait(60)
    gateway_of(up).send_signal(signal.SIGTERM)
    reader.join(60)

    assert lines[-3:] == [": the gateway is stopped; connect again", "retry: 500", ""]
    up.wait_for("The gateway ended, status 143")


def test_a_job_that_the_inbox_has_refused_is_one_that_there_is_not(up: Up) -> None:
    wait_until(lambda: answers(up), "the gateway answers")
    keys = up.settings.keys
    with Redis.from_url(up.endpoint().url) as redis:
        Producer(redis, keys).add({"kind": "none"}, "refused-1")
        wait_until(lambda: redis.exists(keys.events("refused-1")) == 1, "the inbox refuses it")

    reply = httpx.get(f"{address_of(up)}/jobs/refused-1")

    assert (reply.status_code, reply.json()["code"]) == (404, "unknown_job")


def test_a_head_that_is_too_long_is_refused_and_the_gateway_goes_on(up: Up) -> None:
    wait_until(lambda: answers(up), "the gateway answers")
    address = httpx.URL(address_of(up))

    with socket.create_connection((address.host, address.port or 0), timeout=60) as sent:
        sent.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        with suppress(ConnectionError):  # it is refused while more is on its way
            for _ in range(64):
                sent.sendall(b"x" * 64 * 1024)
        with suppress(ConnectionError):
            answer = sent.recv(4_096)
            assert answer.startswith(b"HTTP/1.1 400"), answer

    assert answers(up)


def test_a_client_that_offers_another_protocol_is_answered_in_this_one(up: Up) -> None:
    wait_until(lambda: answers(up), "the gateway answers")
    body = {"input": "x", "model": "echo"}

    with httpx.Client(base_url=address_of(up)) as web:
        # As Java's client does with h2c, unless told not to, in each request of a connection.
        for offered in ("h2c", "h2c", "websocket"):
            headers = {"connection": "Upgrade, HTTP2-Settings", "UPGRADE": offered}
            reply = web.post("/classify", json=body, headers=headers)
            assert reply.status_code == 200, reply.text


def test_a_port_that_another_program_has_is_told(up: Up) -> None:
    wait_until(lambda: answers(up), "the gateway has its port")
    port = httpx.URL(address_of(up)).port

    ended = Installation(up.settings.data_dir).seqd("gateway", "--port", str(port))

    assert ended.status == 2
    assert f"cannot listen on 127.0.0.1, port {port} (Address already in use)" in ended.err
