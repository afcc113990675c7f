"""`seqd up` and the death of its own Redis: it is back within seconds, and the work goes on."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from clock_fixtures import HeldClock
from seqd.client import Client
from seqd.local.redis_server import EmbeddedServer
from seqd.local.redis_watchdog import (
    HUNG_S,
    SILENT_S,
    RedisWatchdog,
    ServerChange,
    ServerEvent,
)
from seqd.settings import Settings
from seqd_schemas import ItemSuccess
from up_builders import running_up
from worker_fixtures import only_worker, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]


def test_work_goes_on_over_the_hang_and_the_kill_of_the_embedded_server_and_up_says_so(
    tmp_path: Path,
) -> None:
    with running_up(tmp_path, lease_s=60.0) as up, Client(settings=up.settings) as client:
        before = up.endpoint()
        os.kill(before.pid, signal.SIGSTOP)
        try:
            up.wait_for("cannot see how the workers are: ")
        finally:
            os.kill(before.pid, signal.SIGCONT)
        up.wait_for("Redis answers again")
        told = [line for line in up.screen().splitlines() if "how the workers are" in line]
        answers = up.screen().count("Redis answers again")

        texts = [f"text {n}" for n in range(200)]
        job = client.classify(texts, model="echo", parameters={"delay_ms": 10.0})
        next(iter(job.results()))
        os.kill(before.pid, signal.SIGKILL)
        up.wait_for("redis  ready")
        record = client.job(job.job_id).wait(timeout_s=120)

        # What a worker held that died with the server is released before its lease ends.
        worker = only_worker(client)
        held = client.classify(["a", "b"], model="echo", parameters={"delay_ms": 4_000.0})
        wait_until(lambda: client.job(held.job_id).record().state == "running", "it runs")
        os.kill(up.endpoint().pid, signal.SIGKILL)
        os.kill(worker.pid, signal.SIGKILL)
        os.kill(_parent_of(worker.pid), signal.SIGKILL)

        assert client.job(held.job_id).wait(timeout_s=120).counts.succeeded == 2
        assert len(told) == 1 and told[0].endswith(": Timeout reading from socket."), told
        assert answers == 1
        assert record.counts.succeeded == record.counts.total == 200
        results = list(client.job(job.job_id).results())
        assert all(isinstance(result, ItemSuccess) for result in results)
        assert [result.custom_id for result in results] == [f"row-{n}" for n in range(1, 201)]
        assert up.endpoint().url == before.url
        assert up.endpoint().pid != before.pid
        died = f"pid {before.pid}: killed by SIGKILL; starts again now"
        assert died in up.screen()
        assert re.search(rf"{before.pid}:seqd .* # died: killed by SIGKILL", up.server_log())


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


class Watched:
    """An embedded server with its watchdog, whose clock is held and whose reports are kept."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server
        self.clock = HeldClock()
        self.changes: list[ServerChange] = []
        self.watchdog = RedisWatchdog(server, self.changes.append, clock=self.clock)

    def told(self) -> list[tuple[ServerEvent, str]]:
        """Return the reports so far, each with the end of what it says."""
        return [(change.event, change.detail.rpartition("; ")[2]) for change in self.changes]

    def look_until(self, event: ServerEvent, count: int = 1) -> None:
        def happened() -> bool:
            self.watchdog.look()
            return [change.event for change in self.changes].count(event) >= count

        wait_until(happened, f"{count} times {event}")

    def look_after(self, seconds: float) -> None:
        self.clock.now_s += seconds
        self.watchdog.look()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with EmbeddedServer(Settings(data_dir=tmp_path)) as server:
        yield Watched(server)


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

    for count, wait_s in enumerate((1, 2, 4), start=1):
        watched.look_until(ServerEvent.FAILED, count)
        if wait_s == 4:
            file.write_bytes(kept)
        assert not watched.watchdog.is_up
        watched.clock.now_s += wait_s
    watched.look_until(ServerEvent.READY)

    assert watched.told() == [
        (ServerEvent.DIED, "starts again now"),
        *((ServerEvent.FAILED, f"starts again in {wait_s} s") for wait_s in (1, 2, 4)),
        (ServerEvent.READY, "away for 7.0 s"),
    ]
    assert "status 1 before it answered: " in watched.changes[1].detail


def test_a_server_that_hangs_is_reported_then_killed_and_started_again(watched: Watched) -> None:
    with redis.Redis.from_url(watched.server.url) as client:
        client.set("job", "kept")
        os.kill(watched.server.pid, signal.SIGSTOP)

        for seconds, told in ((SILENT_S - 1, 0), (1, 1), (HUNG_S - SILENT_S - 1, 1), (1, 2)):
            watched.look_after(seconds)
            assert len(watched.changes) == told
        watched.look_until(ServerEvent.READY)

        assert client.get("job") == b"kept"
    assert watched.told() == [
        (ServerEvent.SILENT, "killed and started again after 60 s"),
        (ServerEvent.DIED, "starts again now"),
        (ServerEvent.READY, "away for 60.0 s"),
    ]
    silent, died, _ = watched.changes
    assert silent.detail.startswith("no answer for 10 s; ")
    assert died.detail.startswith("no answer for 60 s, so it was killed; ")


def test_a_server_that_hung_for_a_moment_is_left_alone(watched: Watched) -> None:
    pid = watched.server.pid
    os.kill(pid, signal.SIGSTOP)
    watched.look_after(SILENT_S)
    os.kill(pid, signal.SIGCONT)

    watched.look_after(HUNG_S - SILENT_S - 1)
    watched.look_until(ServerEvent.READY)

    assert [event for event, _ in watched.told()] == [ServerEvent.SILENT, ServerEvent.READY]
    assert watched.server.pid == pid
