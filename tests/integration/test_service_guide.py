"""The service of the services' guide: a thousand callers, no thread that waits for them."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service_guide import Connection, service_app, serving
from worker_fixtures import Cluster

pytestmark = pytest.mark.processes

#: Longest that a request may take, all others beside it.
LIMIT_S = 60.0


@pytest.fixture
def address(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the guide's service runs, for a cluster whose model is `echo`."""
    settings = cluster.settings
    monkeypatch.setenv("SEQD_REDIS_URL", str(settings.redis_url))
    monkeypatch.setenv("SEQD_PREFIX", settings.prefix)
    with serving(service_app("echo")) as address:
        yield address


def threads_of_pools() -> list[str]:
    """Name the threads that this process has to wait in: those of AnyIO, and of asyncio itself."""
    names = (thread.name for thread in threading.enumerate())
    return [name for name in names if name.startswith(("AnyIO", "asyncio_", "ThreadPool"))]


@pytest.mark.slow
def test_a_thousand_requests_at_a_time_are_answered_without_a_thread(address: str) -> None:
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
    assert threads_of_pools() == []


def test_a_text_that_is_none_is_answered_with_its_code(address: str) -> None:
    reply = httpx.post(f"{address}/classify", json={"text": "bad"}, timeout=LIMIT_S)

    said = {"code": "invalid_input", "message": "this text was made bad"}
    assert (reply.status_code, reply.json()) == (422, {"detail": said})


def test_a_file_is_submitted_and_its_progress_streamed_to_the_end(
    cluster: Cluster, address: str
) -> None:
    (root,) = cluster.settings.input_roots or ()
    path = Path(root) / "service.txt"
    path.write_text("one\ntwo\nthree\n")

    job_id = httpx.post(f"{address}/files", json={"path": str(path)}, timeout=LIMIT_S).json()
    with httpx.stream("GET", f"{address}/jobs/{job_id}/events", timeout=LIMIT_S) as reply:
        lines = list(reply.iter_lines())

    assert reply.headers["content-type"].startswith("text/event-stream")
    events = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert (events[0], events[-1]) == ("queued", "completed")
    assert threads_of_pools() == []


def test_a_viewer_that_leaves_holds_nothing_up(cluster: Cluster, address: str) -> None:
    client = cluster.client()
    job = client.classify(["slow"] * 3, model="echo", parameters={"delay_ms": 300.0})

    with httpx.stream("GET", f"{address}/jobs/{job.job_id}/events", timeout=LIMIT_S) as reply:
        next(reply.iter_lines())

    assert httpx.post(f"{address}/classify", json={"text": "a"}, timeout=LIMIT_S).status_code == 200
    job.wait(timeout_s=LIMIT_S)
