"""The service of the services' guide: a thousand callers, no thread that waits for them."""

import asyncio
import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import httpx
import pytest

from checkout import python_path
from cli_builders import use_ledger
from held_ports import Holder, hold_port
from redis_fixtures import PrivateServer
from seqd.client import Classification
from service_guide import Connection, service_app, service_command, service_source, serving
from worker_fixtures import Cluster, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

#: Longest that a request may take, all others beside it.
LIMIT_S = 120.0


@pytest.fixture
def address(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the guide's service runs, for a cluster whose model is `echo`."""
    settings = cluster.settings
    use_ledger(monkeypatch, settings)
    with serving(service_app("echo")) as address:
        yield address


def threads_of_pools() -> set[Thread]:
    """Return the threads that this process has to wait in: those of AnyIO, and of asyncio itself.

    Those that are there before a service starts are not its own: fsspec's loop has one.
    """
    pools = ("AnyIO", "asyncio_", "ThreadPool")
    return {thread for thread in threading.enumerate() if thread.name.startswith(pools)}


def test_a_thousand_requests_at_a_time_are_answered_without_a_thread(address: str) -> None:
    before = threads_of_pools()
    texts = [f"text {number}" for number in range(1_000)]

    async def label_of(text: str) -> str:
        connection = await Connection.open(address)
        status, reply = await connection.post("/classify", {"text": text})
        connection.close()
        assert status == 200, reply
        label: str = reply["label"]
        return label

    async def use() -> list[str]:
        async with asyncio.timeout(LIMIT_S):
            return await asyncio.gather(*(label_of(text) for text in texts))

    assert asyncio.run(use()) == texts
    assert threads_of_pools() <= before


def events_of(lines: list[str], field: str = "event") -> list[str]:
    return [line.removeprefix(f"{field}: ") for line in lines if line.startswith(f"{field}: ")]


def test_a_file_of_many_units_is_uploaded_whole_and_its_progress_streamed_to_the_end(
    cluster: Cluster, address: str
) -> None:
    before = threads_of_pools()
    texts = [f"text {number}" for number in range(2_000)]

    sent = {"file": ("texts.txt", "\n".join(texts).encode() + b"\n\xff\n")}
    job_id = httpx.post(f"{address}/files", files=sent, timeout=LIMIT_S).json()
    where = f"{address}/jobs/{job_id}/events"
    with httpx.stream("GET", where, timeout=LIMIT_S) as reply:
        lines = list(reply.iter_lines())
    ids = events_of(lines, "id")
    # A viewer that was cut off goes on behind its last event.
    again = httpx.get(where, headers={"Last-Event-ID": ids[0]}, timeout=LIMIT_S)

    assert events_of(again.text.splitlines(), "id") == ids[1:] != []
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = events_of(lines)
    assert (events[0], events[-1]) == ("queued", "completed"), lines[-3:]
    *results, unread = cluster.client().job(job_id, output=Classification).results()
    assert [result.unwrap().label for result in results] == texts
    assert not unread.ok and unread.error.code == "decode_error"
    assert threads_of_pools() <= before


def test_what_cannot_be_answered_has_its_code_and_no_command_of_operators(
    cluster: Cluster, address: str
) -> None:
    job = cluster.client().classify(["a"], model="echo")
    events = f"{address}/jobs/{job.job_id}/events"

    replies = [
        httpx.post(f"{address}/classify", json={"text": "bad"}, timeout=LIMIT_S),
        httpx.post(f"{address}/files", files={"file": ("empty.txt", b"")}, timeout=LIMIT_S),
        httpx.get(f"{address}/jobs/nobody/events", timeout=LIMIT_S),
        httpx.get(events, headers={"Last-Event-ID": "nonsense"}, timeout=LIMIT_S),
    ]

    assert [(reply.status_code, reply.json()) for reply in replies[:3]] == [
        (422, {"code": "invalid_input", "message": "this text was made bad"}),
        (
            422,
            {"code": "invalid_request", "message": "There are no items; at least one is due."},
        ),
        (404, {"code": "unknown_job", "message": "There is no such job."}),
    ]
    assert replies[3].status_code == 422


def test_a_stream_that_cannot_go_on_ends_with_an_event_that_says_so(
    own_cluster: Cluster, own_server: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_cluster.publish_catalog()
    job = own_cluster.client().classify(["a"], model="echo")
    monkeypatch.setenv("SEQD_REDIS_URL", own_server.url)
    monkeypatch.setenv("SEQD_PREFIX", own_cluster.settings.prefix)
    monkeypatch.setenv("SEQD_OUTAGE_S", "0.5")

    with (
        serving(service_app("echo")) as address,
        httpx.stream("GET", f"{address}/jobs/{job.job_id}/events", timeout=LIMIT_S) as reply,
    ):
        lines = reply.iter_lines()
        seen = [next(lines)]
        own_server.kill()
        seen += list(lines)

    *_, error = events_of(seen)
    *_, data = events_of(seen, "data")
    assert error == "stream_error"  # `error` is what EventSource calls a cut connection
    assert json.loads(data) == {
        "code": "job_out_of_reach",
        "message": "This cannot be answered now. Try again later.",
    }


def test_the_service_ends_soon_after_sigterm_with_a_viewer_and_an_upload_in_hand(
    empty_cluster: Cluster, tmp_path: Path
) -> None:
    settings = empty_cluster.settings
    empty_cluster.publish_catalog()  # no worker: the job waits, and its upload for room
    job = empty_cluster.client().classify(["a"], model="echo")
    (tmp_path / "service.py").write_text(service_source("echo"))
    holder = Holder()
    port = hold_port(holder)
    with subprocess.Popen(
        [sys.executable, "-m", *service_command(), "--port", str(port)],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": python_path(),
            "SEQD_REDIS_URL": str(settings.redis_url),
            "SEQD_PREFIX": settings.prefix,
            "SEQD_MAX_PENDING_BYTES": "100000",
        },
        stderr=subprocess.PIPE,
        text=True,
    ) as service:
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until(lambda: is_up(address), "the service is up")
            with httpx.stream("GET", f"{address}/jobs/{job.job_id}/events", timeout=LIMIT_S) as one:
                next(one.iter_lines())
                upload = Thread(target=send_much, args=(address,), daemon=True)
                upload.start()
                wait_until(lambda: len(empty_cluster.client().jobs()) == 2, "the upload has begun")

                service.terminate()
                service.communicate(timeout=LIMIT_S)  # for ever, if nothing ended the upload
        finally:
            service.kill()

    (uploaded,) = (one for one in empty_cluster.client().jobs() if one.job_id != job.job_id)
    assert uploaded.failure is not None and uploaded.failure.code == "upload_failed"


def is_up(address: str) -> bool:
    try:
        return httpx.get(f"{address}/docs").is_success
    except httpx.TransportError:
        return False


def send_much(address: str) -> None:
    """Upload more than may wait; the service ends in the middle of it."""
    lines = "\n".join(f"{number} {secrets.token_hex(500)}" for number in range(20_000))
    with suppress(httpx.TransportError):
        httpx.post(f"{address}/files", files={"file": ("much.txt", lines)}, timeout=LIMIT_S)


def test_a_viewer_that_leaves_holds_nothing_up(cluster: Cluster, address: str) -> None:
    client = cluster.client()
    job = client.classify(["slow"] * 3, model="echo", parameters={"delay_ms": 300.0})

    with httpx.stream("GET", f"{address}/jobs/{job.job_id}/events", timeout=LIMIT_S) as reply:
        next(reply.iter_lines())

    assert httpx.post(f"{address}/classify", json={"text": "a"}, timeout=LIMIT_S).status_code == 200
    job.wait(timeout_s=LIMIT_S)
