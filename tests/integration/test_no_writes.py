"""A Redis that takes no writes: workers that run look silent, and nobody is told to start them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from builders import a_catalog_entry, a_chunk, a_classify_job, a_worker_status
from cli_builders import here
from ledger_fixtures import publish_entries
from redis_fixtures import PrivateServer
from seqd.admission import Admitted
from seqd.client import Client, Waiting, WaitingCode
from seqd.doctor.findings import Finding, Report
from seqd.doctor.fleet import fleet_checks
from seqd.doctor.redis import redis_checks
from seqd.doctor.server import Server, run_checks
from seqd.ledger import Ledger, connect
from seqd.settings import Settings

pytestmark = pytest.mark.processes

#: A port of loopback on which nobody listens.
NOBODY = "1"

LINE = (
    "Redis takes no writes (it is a read-only replica of 127.0.0.1:1, and the link to it is down): "
    "its workers cannot report, and look silent. Leave them running, they go on by themselves. "
    "See: seqd doctor"
)


@pytest.fixture
def settings(
    private_server: PrivateServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.setenv("SEQD_REDIS_URL", private_server.url)
    monkeypatch.setenv("SEQD_OUTAGE_S", "0")
    monkeypatch.setenv("COLUMNS", "400")
    return Settings(redis_url=private_server.url, data_dir=tmp_path, outage_s=0)


@pytest.fixture
def redis(settings: Settings) -> Iterator[Redis]:
    """A server with one job, whose worker has not been heard of since three heartbeats."""
    with connect(settings.redis_url or "") as redis:
        ledger = Ledger(redis, settings)
        publish_entries(ledger.fleet, [a_catalog_entry()])
        status = a_worker_status(worker="cpu:0@h1-a", seen_at_ms=ledger.fleet.now_ms())
        ledger.fleet.publish_worker(status)
        redis.delete(settings.keys.worker("cpu:0@h1-a"))
        ledger.submissions.submit(
            a_classify_job(), Admitted(3, 2), job_id="j1", chunk=a_chunk(), sealed=True
        )
        yield redis


def examined(settings: Settings) -> Report:
    with connect(settings.redis_url or "") as redis:
        server = Server(redis, settings)
        return run_checks([*redis_checks(server, None), *fleet_checks(server)])


def the_finding(report: Report, kind: str) -> Finding:
    (found,) = [one for one in report.findings if one.id == kind]
    return found


def test_the_first_line_of_what_shows_the_fleet_says_to_leave_workers_running(
    redis: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    redis.replicaof("127.0.0.1", NOBODY)

    status, queues = here(capsys, "status"), here(capsys, "queues")
    explained, workers = here(capsys, "explain", "j1"), here(capsys, "workers", "list")
    overview, listed = here(capsys, "top"), here(capsys, "top", "--view", "workers")

    assert (status.status, queues.status, explained.status) == (0, 0, 0)
    assert status.out.splitlines()[0] == LINE
    assert queues.out.splitlines()[0] == LINE
    assert workers.out.splitlines()[0] == LINE
    assert explained.out.splitlines()[0] == f"Job j1 stands still: {LINE}."
    # Below whose fleet it is, and when that was.
    assert overview.out.splitlines()[2] == listed.out.splitlines()[2] == LINE
    assert "seqd up" not in status.out + queues.out + explained.out + overview.out


def test_the_first_line_says_that_redis_has_no_memory_for_new_work_by_what_refuses_that(
    redis: Redis, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    redis.config_set("maxmemory", int(redis.info("memory")["used_memory"] * 1.1))
    # No worker has published what share new work may take.
    refuses_none = here(capsys, "status").out
    Ledger(redis, settings).fleet.publish_limits(settings)

    status, queues = here(capsys, "status").out, here(capsys, "queues").out

    short = (
        "Redis has used up the share of its memory that new work may take "
        "(SEQD_MAX_MEMORY_SHARE): new jobs are refused, and uploads wait. See: seqd doctor"
    )
    assert short not in refuses_none
    assert status.splitlines()[0] == queues.splitlines()[0] == short


def test_programs_find_the_same_in_a_field(
    redis: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    redis.config_set("min-replicas-to-write", "1")

    status = json.loads(here(capsys, "status", "--json").out)
    explained = json.loads(here(capsys, "explain", "j1", "--json").out)
    queues, workers = here(capsys, "queues", "--json"), here(capsys, "workers", "list", "--json")

    why = "too few of its replicas are connected"
    assert (status["takes_no_writes"], explained["takes_no_writes"]) == (why, why)
    assert json.loads(workers.out)["takes_no_writes"] == why
    assert [reason["code"] for reason in explained["waits_for"]] == ["no_writes"]
    assert isinstance(json.loads(queues.out), list)
    assert queues.err.startswith(f"Redis takes no writes ({why})")


def test_whoever_waits_at_a_full_server_is_not_told_that_no_worker_is_up(
    redis: Redis,
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    redis.config_set("maxmemory", 1)

    with Client(settings.redis_url, settings=settings) as client:
        job = client.job("j1")
        with pytest.raises(TimeoutError) as late:
            job.wait(timeout_s=8, no_worker_timeout_s=0.2)
        waiting = job.record().waiting
    status = here(capsys, "status").out

    full = LINE.replace(LINE[LINE.index("(") : LINE.index(")")], "(it has reached its maxmemory")
    assert waiting == Waiting(code=WaitingCode.NO_WRITES, message=full)
    assert str(late.value).endswith(f" It waits: {full}")
    assert [one for one in caplog.messages if " waits: " in one] == [f"job=j1 waits: {full}"]
    assert "j1" in status
    assert "nobody can run it" not in status


def test_doctor_finds_no_worker_missing_and_says_whose_replica_it_is(
    redis: Redis, settings: Settings
) -> None:
    redis.replicaof("127.0.0.1", NOBODY)

    report = examined(settings)

    found = the_finding(report, "redis-not-writable")
    assert found.what.endswith(
        " takes no writes: it is a read-only replica of 127.0.0.1:1, and the link to it is down. "
        "Workers cannot report, and look silent: leave them running."
    )
    assert "`redis-cli replicaof no one` there" in found.do
    ids = {one.id for one in report.findings}
    assert not ids & {"no-workers", "worker-silent", "route-unserved", "leases-overdue"}
    left = {one.what: one.why for one in report.not_checked}
    assert left["workers"] == "Redis takes no writes, so workers cannot report"
