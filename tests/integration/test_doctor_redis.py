"""What `seqd doctor` finds of a Redis that is wrong: each thing is made wrong for real."""

import os
import re
import shutil
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest
from redis import Redis

from builders import a_chunk
from cli_builders import here
from clock_fixtures import ClockServer
from ledger_fixtures import open_environment
from redis_fixtures import PrivateServer, installed_servers
from sentinel_fixtures import SentinelGroup
from seqd.doctor.findings import Check, Finding, Report, Severity
from seqd.doctor.fleet import fleet_checks
from seqd.doctor.redis import redis_checks
from seqd.doctor.server import Server, open_server, run_checks
from seqd.ledger.acl import Role, rights_of
from seqd.local.endpoint import ENDPOINT_NAME, LOCK_NAME, Endpoint, server_folder, write_endpoint
from seqd.settings import Settings
from tls_fixtures import TlsProxy
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

#: What a server of the tests has that is in order.
CONFIG = {
    "maxmemory": "1gb",
    "maxmemory-policy": "noeviction",
    "appendonly": "yes",
    "save": "",
    "slowlog-log-slower-than": "10000",
    "min-replicas-to-write": "0",
}


#: A script that keeps the server busy for 0.1 s and more. A script of Redis 7 cannot wait for TIME,
#: which stands still in it, and one of Redis 6 has no `os.clock`.
SPIN = "local sum = 0 for number = 1, 20000000 do sum = sum + number end"


@pytest.fixture(autouse=True)
def _load_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what comes of the load of this machine: slow calls, forks and commands."""
    for bound in ("_LATENCY_S", "_FORK_S", "_SLOW_S"):
        monkeypatch.setattr(f"seqd.doctor.redis.{bound}", 60.0)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServer]:
    server = PrivateServer(installed_servers()[0], tmp_path_factory.mktemp("doctor"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def redis(running: PrivateServer) -> Iterator[Redis]:
    """The server, all in order; what a test changes is set back."""
    with Redis.from_url(running.url) as client:
        client.replicaof("NO", "ONE")
        for name, value in CONFIG.items():
            client.config_set(name, value)
        client.flushall()
        client.slowlog_reset()
        wait_until(
            lambda: not client.info("persistence")["aof_rewrite_in_progress"],
            "the file is rewritten",
        )
        yield client
        client.replicaof("NO", "ONE")


@pytest.fixture
def settings(running: PrivateServer, redis: Redis, tmp_path: Path) -> Settings:
    return Settings(redis_url=running.url, data_dir=tmp_path)


def examined(
    settings: Settings,
    role: Role | None = None,
    checks: Callable[[Server], list[Check]] | None = None,
) -> Report:
    server = open_server(settings)
    assert isinstance(server, Server), server
    report = run_checks(redis_checks(server, role) if checks is None else checks(server))
    server.redis.close()
    return report


def the_finding(report: Report, kind: str) -> Finding:
    (found,) = [one for one in report.findings if one.id == kind]
    return found


def test_a_server_that_is_in_order_has_no_finding_and_all_is_looked_at(settings: Settings) -> None:
    report = examined(settings)

    assert (report.findings, report.not_checked) == ([], [])
    assert len(report.checked) == 12


def test_a_clock_that_differs_from_this_machines_is_said_with_by_how_much(
    clock_server: ClockServer, tmp_path: Path
) -> None:
    clock_server.step(3_600)

    report = examined(Settings(redis_url=clock_server.url, data_dir=tmp_path))

    said = the_finding(report, "redis-clock-skew").what
    assert "3,600.0 s ahead of that of this one" in said.replace("3,599.9", "3,600.0")


@pytest.mark.parametrize(
    ("commands", "kind", "severity", "said"),
    [
        (
            *("CONFIG SET maxmemory-policy allkeys-lru", "redis-eviction-policy", "error"),
            "has maxmemory-policy allkeys-lru and maxmemory 1,073,741,824.",
        ),
        ("CONFIG SET maxmemory 0", "redis-no-maxmemory", "warning", ""),
        (
            *("CONFIG SET maxmemory 1", "redis-memory-high", "error"),
            "has reached its maxmemory. Workers cannot report",
        ),
        ("CONFIG SET appendonly no", "redis-aof-off", "error", ""),
        ("CONFIG SET appendonly no; CONFIG SET save 3600_1", "redis-aof-off", "warning", ""),
        (
            *("REPLICAOF 127.0.0.1 1", "redis-not-writable", "error"),
            "it is a read-only replica of 127.0.0.1:1",
        ),
        (
            *("CONFIG SET min-replicas-to-write 1", "redis-not-writable", "error"),
            "Bring its replicas back",
        ),
        (
            *("ZADD unacked_index 1 tag; SADD _kombu.binding.celery celery", "foreign-celery"),
            *("warning", ": unacked_index, _kombu.binding.celery."),
        ),
    ],
)
def test_a_server_that_is_wrong_has_a_finding_with_what_is(
    settings: Settings, redis: Redis, commands: str, kind: str, severity: str, said: str
) -> None:
    for command in commands.split("; "):
        redis.execute_command(*[word.replace("_1", " 1") for word in command.split()])

    found = the_finding(examined(settings), kind)

    assert found.severity == severity
    assert said in f"{found.what} {found.do}"


@pytest.mark.parametrize("published", ["a word", "nothing that the user may read"])
def test_without_a_share_that_can_be_read_a_server_is_full_by_the_share_of_these_settings(
    settings: Settings, running: PrivateServer, redis: Redis, published: str
) -> None:
    limits = settings.keys.limits()
    redis.hset(limits, "memory_share", "much")
    redis.setrange("large", 16_000_000, "x")
    redis.config_set("maxmemory", int(redis.info("memory")["used_memory"] / 0.85))
    without = [] if published == "a word" else [limits]

    with a_user(running, redis, settings, Role.DOCTOR, without) as own:
        found = the_finding(examined(own), "redis-memory-high")

    assert found.severity is Severity.ERROR
    assert re.search(
        r" uses 8\d% of maxmemory .*; above 80% \(SEQD_MAX_MEMORY_SHARE\), ", found.what
    )
    assert found.page == "docker/RUNBOOK.md#redis-full"


def test_an_upload_that_waits_for_memory_is_named_though_redis_seems_to_have_room(
    settings: Settings, redis: Redis
) -> None:
    environment = open_environment(redis, settings)
    job_id = environment.submit(chunk=a_chunk())
    environment.ledger.fleet.publish_limits(settings)
    used = int(redis.info("memory")["used_memory"])
    with environment.full_redis(int(used * 1.2)):
        environment.append(job_id, 1)
    redis.config_set("maxmemory", 4 * used)

    waiting = the_finding(examined(settings), "redis-memory-high")
    environment.append(job_id, 1)
    after = examined(settings)

    assert waiting.severity is Severity.WARNING
    assert waiting.what.endswith(
        "; above 80% (SEQD_MAX_MEMORY_SHARE), with what is being sent, new jobs are refused and "
        f"uploads wait, now those of job {job_id}."
    )
    assert after.findings == []


def test_a_slow_command_is_named_without_its_arguments(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqd.doctor.redis._SLOW_S", 0.05)
    redis.eval(SPIN, 0, "secret")

    found = the_finding(examined(settings), "redis-slow-commands")

    assert re.search(r": EVAL \(1 time, \d+\.\d s at most\)\.$", found.what)
    assert "secret" not in found.what


@contextmanager
def a_user(
    running: PrivateServer,
    redis: Redis,
    settings: Settings,
    role: Role,
    without: Sequence[str] = (),
) -> Iterator[Settings]:
    """Yield the settings of a user with the rights of a role alone, and not to some keys."""
    rules = rights_of(role, settings.keys).rules(running.binary.version)
    rules = [rule for rule in rules if rule.partition("~")[2] not in without]
    redis.execute_command("ACL", "SETUSER", "looker", "on", ">its-password", *rules)
    url = running.url.replace(f":{running.password}@", "looker:its-password@")
    yield settings.model_copy(update={"redis_url": url})
    redis.execute_command("ACL", "DELUSER", "looker")


def test_a_slow_script_of_seqd_is_named(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqd.doctor.redis._SLOW_S", 0.0)
    redis.config_set("slowlog-log-slower-than", 0)
    server = open_server(settings)
    assert isinstance(server, Server)
    server.ledger.fleet.take_lock("mine", "me", 1.0)

    checks = [one for one in redis_checks(server, None) if one.name == "redis slow log"]
    found = the_finding(run_checks(checks), "redis-slow-scripts")
    server.redis.close()

    assert ": take_lock (" in found.what


@pytest.mark.parametrize(
    ("role", "reasons", "looked_at"),
    [
        # A server from 7.0 on names the subcommand, too: `+slowlog|get`.
        (
            Role.CLIENT,
            ["the user lacks +slowlog", "the user may not use the key unacked"],
            {"redis writes", "redis memory"},
        ),
        (Role.INBOX, ["the user lacks +info", "the user lacks +set"], {"redis rights"}),
        (Role.DOCTOR, [], {"redis slow log", "other Celery applications", "redis writes"}),
    ],
)
def test_each_user_is_told_what_was_not_looked_at_and_which_right_lacks(
    settings: Settings,
    running: PrivateServer,
    redis: Redis,
    role: Role,
    reasons: list[str],
    looked_at: set[str],
) -> None:
    with a_user(running, redis, settings, role) as own:
        report = examined(own, role if role is Role.DOCTOR else None)

    told = {one.what: one.why.partition("|")[0] for one in report.not_checked}
    assert report.findings == []
    assert {*reasons} <= {*told.values()}
    assert role is Role.INBOX or len(told) == len(reasons)
    assert looked_at <= {*report.checked}


def test_a_fleet_that_the_user_may_not_read_is_an_error_and_what_it_tells_less_without_is_none(
    settings: Settings, running: PrivateServer, redis: Redis
) -> None:
    keys = settings.keys
    with a_user(
        running,
        redis,
        settings,
        Role.DOCTOR,
        without=[keys.failures(), keys.rates(), keys.work_done()],
    ) as own:
        less = examined(own, checks=fleet_checks)
    with a_user(running, redis, settings, Role.DOCTOR, without=[keys.workers()]) as own:
        none = examined(own, checks=fleet_checks)

    assert ([one.id for one in less.findings], less.not_checked) == (["no-workers"], [])
    found = the_finding(none, "redis-rights")
    assert found.severity is Severity.ERROR
    assert found.what == (
        f"The fleet cannot be looked at: the user may not use the key {keys.workers()}."
    )


def test_a_role_that_is_asked_for_is_an_error_where_a_right_lacks(
    settings: Settings, running: PrivateServer, redis: Redis
) -> None:
    with a_user(running, redis, settings, Role.EXPORTER) as own:
        found = the_finding(examined(own, Role.CLIENT), "redis-rights")

    assert found.severity is Severity.ERROR
    assert re.fullmatch(
        r"The user 'looker' lacks \d+ rights of the role client: .*\+evalsha.* more\.", found.what
    )
    assert found.do == "Give it those that `seqd redis acl --role client --user looker` prints."


def test_a_server_that_is_not_there_is_refused_and_the_machine_is_looked_at_all_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("SEQD_REDIS_URL", f"redis://127.0.0.1:{taken.getsockname()[1]}/0")
        monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path))

        ended = here(capsys, "doctor", "--json")

    said = ended.json()
    assert ended.status == 1
    assert said["findings"][0]["id"] == "redis-unreachable"
    assert "Connection refused" in said["findings"][0]["what"]
    assert {"what": "the fleet", "why": "Redis does not answer"} in said["not_checked"]
    assert "disk of data" in said["checked"]


def test_a_server_that_hangs_is_not_waited_for(
    settings: Settings, running: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqd.doctor.server.ANSWER_S", 0.3)
    os.kill(running.pid, signal.SIGSTOP)
    try:
        found = open_server(settings)
    finally:
        os.kill(running.pid, signal.SIGCONT)

    assert isinstance(found, Finding)
    assert found.id == "redis-unreachable"
    assert "Timeout" in found.what


@pytest.mark.parametrize(
    ("owner", "do"),
    [
        (
            os.getpid(),
            "Wait a minute: one that answers nothing for so long is ended and started again",
        ),
        (0, "Start it by `seqd up`, or set SEQD_REDIS_URL to the Redis that you mean"),
    ],
    ids=["up", "gone"],
)
def test_nobody_is_told_to_start_a_server_again_whose_seqd_up_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, do: str
) -> None:
    monkeypatch.setattr("seqd.doctor.server._EMBEDDED_S", 0.1)
    local = Settings(data_dir=tmp_path)
    server_folder(local).mkdir()
    (server_folder(local) / LOCK_NAME).write_text(str(owner))

    found = open_server(local)

    assert isinstance(found, Finding)
    assert (found.id, found.do.startswith(do)) == ("redis-unreachable", True)


def test_a_wrong_password_is_told_apart_and_is_not_shown(settings: Settings) -> None:
    url = settings.redis_url.replace("redis://:", "redis://:wrong-")

    found = open_server(settings.model_copy(update={"redis_url": url}))

    assert isinstance(found, Finding)
    assert found.id == "redis-login"
    assert "wrong-" not in found.what + found.do


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "redis-address"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "redis-loading"),
        (b"-BUSY Redis is busy running a script.\r\n", "redis-not-writable"),
        (b"-MASTERDOWN Link with MASTER is down.\r\n", "redis-not-writable"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_how_a_server_does_not_answer_is_told_apart(tmp_path: Path, said: bytes, kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            with suppress(OSError):  # which ends it
                while True:
                    with other.accept()[0] as connection:
                        while received := connection.recv(1_024):
                            connection.sendall(said * max(1, received.count(b"*")))

        Thread(target=answer, daemon=True).start()
        url = f"redis://127.0.0.1:{other.getsockname()[1]}/0"
        found = open_server(Settings(redis_url=url, data_dir=tmp_path))

    assert isinstance(found, Finding)
    assert found.id == kind, found


def test_a_server_that_cannot_write_to_its_disk_says_so(
    private_server: PrivateServer, tmp_path: Path
) -> None:
    with Redis.from_url(private_server.url) as redis:
        redis.config_set("save", "3600 1")
        shutil.rmtree(private_server.folder)
        redis.bgsave()
        wait_until(
            lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "err", "it has failed"
        )

    report = examined(Settings(redis_url=private_server.url, data_dir=tmp_path))
    path = tmp_path / "redis" / ENDPOINT_NAME
    path.parent.mkdir()
    write_endpoint(path, Endpoint(url=private_server.url, pid=private_server.pid))
    found = open_server(Settings(data_dir=tmp_path))  # as its `seqd up` tells where it is
    private_server.kill()  # it would try to write for long

    assert {one.id for one in report.of(Severity.ERROR)} == {"redis-persistence-failing"}
    assert isinstance(found, Server)


def test_a_certificate_of_an_unknown_authority_is_told_apart(
    tls_proxy: TlsProxy, private_server: PrivateServer, tmp_path: Path
) -> None:
    url = tls_proxy.url_of(private_server.url)

    found = open_server(Settings(redis_url=url, data_dir=tmp_path))

    assert isinstance(found, Finding)
    assert found.id == "redis-tls"
    assert "a certificate of an unknown authority" in found.what


@pytest.mark.slow
def test_a_primary_that_has_lost_its_replicas_has_nobody_to_fail_over_to(
    sentinels: SentinelGroup, tmp_path: Path
) -> None:
    settings = Settings(redis_url=sentinels.url, data_dir=tmp_path)
    before = {one.id for one in examined(settings).findings}
    for replica in sentinels.replicas():
        replica.kill()
    with sentinels.primary().client() as redis:
        wait_until(lambda: redis.info("replication")["connected_slaves"] == 0, "they are gone")

    after = {one.id for one in examined(settings).findings}

    assert "redis-no-replica" not in before
    assert "redis-no-replica" in after
