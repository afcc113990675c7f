"""`seqd up` and the death of its own Redis: it is back within seconds, and the work goes on."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from seqd.client import Client
from seqd.errors import RedisUnreachable
from seqd.local.child import RestartPolicy
from seqd.local.endpoint import redis_url_of
from seqd.local.redis_server import EmbeddedServer
from seqd.local.redis_watchdog import RedisWatchdog, ServerChange, ServerEvent
from seqd.settings import Settings
from seqd_schemas import ItemSuccess, JobRecord
from up_builders import running_up
from worker_fixtures import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

#: Waits short enough for a test.
SOON = RestartPolicy(first_s=0.2, longest_s=0.4, forgiven_after_s=60.0)


def record_after_the_outage(client: Client, job_id: str) -> JobRecord:
    deadline = time.monotonic() + 40
    while True:
        try:
            return client.job(job_id).wait(timeout_s=40)
        except RedisUnreachable:
            assert time.monotonic() < deadline


def test_a_bulk_job_completes_once_over_the_kill_of_the_embedded_server(tmp_path: Path) -> None:
    with running_up(tmp_path) as up, Client(settings=up.settings) as client:
        before = up.endpoint()
        texts = [f"text {n}" for n in range(200)]
        job = client.classify(texts, model="echo", parameters={"delay_ms": 10.0})
        next(iter(job.results()))

        os.kill(before.pid, signal.SIGKILL)
        up.wait_for("redis  ready", timeout_s=5.0)
        record = record_after_the_outage(client, job.job_id)

        assert record.counts.succeeded == record.counts.total == 200
        results = list(client.job(job.job_id).results())
        assert all(isinstance(result, ItemSuccess) for result in results)
        assert [result.custom_id for result in results] == [f"row-{n}" for n in range(1, 201)]
        assert up.endpoint().url == before.url
        assert up.endpoint().pid != before.pid
        died = f"pid {before.pid}: killed by SIGKILL; starts again now"
        assert died in up.screen()
        assert re.search(rf"{before.pid}:seqd .* # died: killed by SIGKILL", up.server_log())


def test_what_a_worker_held_that_died_with_the_server_is_released_before_its_lease_ends(
    tmp_path: Path,
) -> None:
    with running_up(tmp_path, lease_s=60.0) as up, Client(settings=up.settings) as client:
        (worker,) = client.workers()
        job = client.classify(["a", "b"], model="echo", parameters={"delay_ms": 1_500.0})
        wait_until(lambda: client.job(job.job_id).record().state == "running", "it runs")

        os.kill(up.endpoint().pid, signal.SIGKILL)
        os.kill(worker.pid, signal.SIGKILL)
        os.kill(_parent_of(worker.pid), signal.SIGKILL)
        record = record_after_the_outage(client, job.job_id)

        assert record.counts.succeeded == 2


def test_seqd_up_says_why_it_sees_no_workers_and_that_redis_answers_again(tmp_path: Path) -> None:
    with running_up(tmp_path) as up:
        server = up.endpoint().pid
        os.kill(server, signal.SIGSTOP)
        try:
            up.wait_for("cannot see how the workers are: ")
        finally:
            os.kill(server, signal.SIGCONT)
        up.wait_for("Redis answers again")

        told = [line for line in up.screen().splitlines() if "how the workers are" in line]

    assert len(told) == 1 and told[0].endswith(": Timeout reading from socket."), told
    assert up.screen().count("Redis answers again") == 1


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


class Watched:
    """An embedded server with its watchdog, whose reports are kept."""

    def __init__(self, server: EmbeddedServer, **options: float) -> None:
        self.server = server
        self.changes: list[ServerChange] = []
        self.watchdog = RedisWatchdog(server, self.changes.append, restarts=SOON, **options)

    def events(self) -> list[ServerEvent]:
        return [change.event for change in self.changes]

    def look_until(self, event: ServerEvent, count: int = 1, timeout_s: float = 20.0) -> None:
        def happened() -> bool:
            self.watchdog.look()
            return self.events().count(event) >= count

        wait_until(happened, f"{count} times {event}", timeout_s)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with EmbeddedServer(Settings(data_dir=tmp_path)) as server:
        yield Watched(server, silent_s=0.2, hung_s=1.5)


def test_a_server_that_died_comes_back_at_its_address_with_its_data(watched: Watched) -> None:
    url, settings = watched.server.url, Settings(data_dir=watched.server.folder.parent)
    with redis.Redis.from_url(url) as client:
        watched.watchdog.look()
        client.set("job", "kept")
        os.kill(watched.server.pid, signal.SIGKILL)

        watched.look_until(ServerEvent.READY)

        assert client.get("job") == b"kept"
    assert redis_url_of(settings) == watched.server.url == url
    assert watched.events() == [ServerEvent.DIED, ServerEvent.READY]
    assert re.fullmatch(r"away for 0\.\d s", watched.changes[-1].detail)


def test_a_server_that_cannot_start_again_is_tried_with_growing_waits_until_it_can(
    watched: Watched,
) -> None:
    files = watched.server.folder.glob("appendonly*")
    file = next(
        path for found in files for path in (found, *found.glob("*.base.*")) if path.is_file()
    )
    kept = file.read_bytes()
    file.write_bytes(b"this is no append-only file\r\n")
    os.kill(watched.server.pid, signal.SIGKILL)

    watched.look_until(ServerEvent.FAILED, count=3)
    assert not watched.watchdog.is_up
    file.write_bytes(kept)
    watched.look_until(ServerEvent.READY)

    waits = [change.detail.rpartition("; ")[2] for change in watched.changes[:4]]
    assert watched.events()[:4] == [ServerEvent.DIED, *3 * [ServerEvent.FAILED]]
    assert waits == ["starts again now", "starts again in 0.2 s", *2 * ["starts again in 0.4 s"]]
    assert "status 1 before it answered: " in watched.changes[1].detail


def test_a_server_that_hangs_is_reported_then_killed_and_started_again(watched: Watched) -> None:
    with redis.Redis.from_url(watched.server.url) as client:
        client.set("job", "kept")
        os.kill(watched.server.pid, signal.SIGSTOP)

        watched.look_until(ServerEvent.READY)

        assert client.get("job") == b"kept"
    assert watched.events() == [ServerEvent.SILENT, ServerEvent.DIED, ServerEvent.READY]
    assert watched.changes[0].detail == (
        "no answer for 0.2 s; killed and started again after 1.5 s"
    )
    assert watched.changes[1].detail == "no answer for 1.5 s, so it was killed; starts again now"


def test_a_server_that_hung_for_a_moment_is_left_alone(watched: Watched) -> None:
    pid = watched.server.pid
    os.kill(pid, signal.SIGSTOP)
    watched.look_until(ServerEvent.SILENT)
    os.kill(pid, signal.SIGCONT)

    watched.look_until(ServerEvent.READY)

    assert watched.events() == [ServerEvent.SILENT, ServerEvent.READY]
    assert watched.server.pid == pid
