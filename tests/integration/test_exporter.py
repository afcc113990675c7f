"""`seqd exporter` as it is run: a program that Prometheus asks, beside a real server."""

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from builders import a_catalog_entry, a_chunk, a_worker_status
from cli_builders import clean_environment
from ledger_fixtures import Environment, open_environment, publish_entries
from monitoring.files import told_metrics
from redis_fixtures import PrivateServer, installed_servers
from seqd.ledger import connect
from seqd.ledger.acl import Role, rights_of
from seqd.local.parent_death import launch_command
from seqd.settings import Settings
from worker_fixtures import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

LABELS = ("task", "model", "state", "version", "tenant", "reason")
FLEET = ("seqd_work_left_seconds", "seqd_workers", "seqd_jobs")


@dataclass
class Exporter:
    """The program, and the address that it has printed."""

    program: "subprocess.Popen[str]"
    url: str

    def get(self, path: str = "/metrics") -> str:
        with urllib.request.urlopen(
            self.url.removesuffix("/metrics") + path, timeout=120
        ) as answer:
            return str(answer.read().decode())

    def values(self) -> dict[tuple[str, ...], float]:
        """Return what a scrape has, by name and label values."""
        families = text_string_to_metric_families(self.get())
        return {
            (sample.name, *(sample.labels[name] for name in LABELS if name in sample.labels)): (
                sample.value
            )
            for family in families
            for sample in family.samples
        }

    def known(self) -> dict[tuple[str, ...], float]:
        """Return the first scrape that has the fleet, and how many rights are missing.

        On a busy machine a scrape may have neither: it does not wait for long.
        """
        found: dict[tuple[str, ...], float] = {}

        def is_known() -> bool:
            found.clear()
            found.update(self.values())
            return found["seqd_up",] == 1 and ("seqd_missing_rights",) in found

        wait_until(is_known, "the fleet and the rights are known")
        return found

    def read_anew(self) -> dict[tuple[str, ...], float]:
        """Return a scrape that has asked Redis."""
        found: list[dict[tuple[str, ...], float]] = []
        before = self.values()["seqd_read_seconds",]

        def is_new() -> bool:
            found.append(self.values())
            return found[-1]["seqd_read_seconds",] != before

        wait_until(is_new, "a scrape asks Redis")
        return found[-1]

    def end(self, number: signal.Signals) -> int:
        """End it by a signal; return its exit status."""
        self.program.send_signal(number)
        return self.program.wait(120)


@contextmanager
def exporter(redis_url: str, *options: str, prefix: str = "seqd") -> Iterator[Exporter]:
    """Run an exporter on a free port until the block ends."""
    environment = clean_environment(SEQD_REDIS_URL=redis_url, SEQD_PREFIX=prefix)
    program = subprocess.Popen(
        launch_command(
            [sys.executable, "-m", "seqd", "exporter", "--port", "0", *options], signal.SIGKILL
        ),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert program.stdout is not None
        line = program.stdout.readline().strip()
        assert line.startswith("http://"), program.communicate(timeout=120)
        yield Exporter(program, line)
    finally:
        program.kill()
        program.communicate()


@pytest.fixture
def private_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServer]:
    """The newest server, on which users can have the finest rights."""
    newest = max(installed_servers(), key=lambda binary: binary.version)
    server = PrivateServer(newest, tmp_path_factory.mktemp("newest"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def a_user(fleet: Environment, without: Collection[str] = ()) -> Iterator[str]:
    """Make a user with an exporter's rights, but for some; yield its address."""
    major, minor = str(fleet.redis.info("server")["redis_version"]).split(".")[:2]
    rules = rights_of(Role.EXPORTER, fleet.keys).rules((int(major), int(minor)))
    kept = [rule for rule in rules if rule.partition("~")[2] not in without or "~" not in rule]
    fleet.redis.execute_command("ACL", "SETUSER", "metrics", "on", ">secret", *kept)
    place = str(fleet.settings.redis_url).rpartition("@")[2]
    yield f"redis://metrics:secret@{place}"
    fleet.redis.execute_command("ACL", "DELUSER", "metrics")


@pytest.fixture
def fleet(private_server: PrivateServer, tmp_path) -> Iterator[Environment]:
    # On a busy machine an exporter starts for as long as a lease and a record last by default.
    settings = Settings(redis_url=private_server.url, data_dir=tmp_path, lease_s=3_600)
    redis = connect(private_server.url)
    yield open_environment(redis, settings)
    redis.close()


def test_a_scrape_has_the_work_and_the_fleet_and_says_what_each_metric_is(fleet: Environment):
    publish_entries(fleet.ledger.fleet, [a_catalog_entry(), a_catalog_entry(model="idle")])
    fleet.ledger.fleet.publish_worker(a_worker_status(worker="w"), ttl_s=600)
    fleet.ledger.backlog.note_rate("classify.imdb_lstm@3", 100, 50.0)
    fleet.submit_units(2)
    fleet.claim_unit("w")

    with a_user(fleet) as url, exporter(url) as running:
        values, text = running.known(), running.get()
        with pytest.raises(urllib.error.HTTPError) as elsewhere:
            running.get("/else")
        elsewhere.value.close()
        status = running.end(signal.SIGTERM)
        denied = {row["object"] for row in fleet.redis.acl_log()}

    route = ("classify", "imdb_lstm")
    assert values["seqd_work_left_seconds", *route] == 2.0
    assert values["seqd_unserved_work_seconds", *route] == 2.0
    assert values["seqd_queue_items", *route] == 2
    assert values["seqd_leased_items", *route] == 2
    assert values["seqd_busy_workers", *route] == 1
    assert values["seqd_oldest_wait_seconds", *route] == 0
    assert values["seqd_work_left_seconds", "classify", "idle"] == 0
    assert values["seqd_workers", "ready"] == 1
    assert values["seqd_workers", "busy"] == 0
    assert values["seqd_jobs", "open"] == 1
    assert values["seqd_units_in_flight", *route] == 1
    assert values["seqd_inbox_entries",] == values["seqd_inbox_oldest_seconds",] == 0
    assert values["seqd_silent_workers",] == 0
    assert values["seqd_tenant_items", "default"] == 4
    assert values["seqd_tenant_kept_ratio", "default"] == 0
    assert values["seqd_evicted_jobs", "tenant_kept_bytes"] == 0
    assert values["seqd_evicted_jobs", "memory"] == values["seqd_evicted_within_hour_jobs",] == 0
    assert 0 < values["seqd_redis_memory_ratio",] < 1
    assert values["seqd_redis_memory_bytes",] > 100_000
    assert values["seqd_redis_is_primary",] == values["seqd_redis_persistence_ok",] == 1
    assert values["seqd_redis_connected_replicas",] == 0
    assert values["seqd_missing_rights",] == 0
    assert values["seqd_up",] == 1
    assert "w" not in {label for key in values for label in key[1:]}
    told = {name for name in told_metrics() if not name.startswith("seqd_worker_")}
    assert told - {key[0] for key in values} == {"seqd_clock_offset_seconds"}  # no worker says it
    for name in set(re.findall(r"^(seqd_\w+)", text, re.MULTILINE)):
        assert re.search(rf"^# HELP {name} \S", text, re.MULTILINE), name
        assert re.search(rf"^# TYPE {name} gauge$", text, re.MULTILINE), name
    # Whether it may call a command by a key that it may not use, and whether Redis takes writes.
    assert denied <= {"client|setinfo", "set", fleet.keys.durability_mark()}
    assert elsewhere.value.code == 404
    assert status == 0
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: Debian has it in the package prometheus")
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=120
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_a_second_exporter_says_the_same_and_a_hundred_scrapes_at_once_are_borne(
    fleet: Environment, private_server: PrivateServer
):
    def reads() -> int:
        return int(fleet.redis.info("commandstats")["cmdstat_hgetall"]["calls"])

    fleet.submit_units(2)
    with exporter(private_server.url) as one, exporter(private_server.url) as other:
        both = [
            running.known()["seqd_queue_items", "classify", "imdb_lstm"] for running in (one, other)
        ]
        status = other.end(signal.SIGINT)

        port = one.url.rpartition(":")[2].partition("/")[0]
        taken = subprocess.run(
            [sys.executable, "-m", "seqd", "exporter", "--port", port],
            env=clean_environment(SEQD_REDIS_URL=private_server.url),
            capture_output=True,
            text=True,
            timeout=120,
        )

        with (
            ThreadPoolExecutor(50) as threads,
            socket.create_connection(("127.0.0.1", int(port))) as silent,
        ):
            silent.sendall(b"GET /metr")
            one.known()
            before, began_s = reads(), time.monotonic()
            ups = list(threads.map(lambda _: one.values()["seqd_up",], range(100)))
            asked, took_s = reads() - before, time.monotonic() - began_s

    assert both == [4, 4]
    assert status == 0
    assert (taken.returncode, taken.stderr) == (
        2,
        f"error[invalid_settings]: The exporter cannot listen on 127.0.0.1:{port} "
        "(SEQD_EXPORTER_HOST, SEQD_EXPORTER_PORT): [Errno 98] Address already in use. Name an "
        "address of this machine and a free port\n",
    )
    assert ups == [1] * 100
    # A read asks for three, so 100 of them would ask for 300; who comes within a second shares one.
    assert asked < 150 + 3 * took_s


def test_an_exporter_without_rights_names_them_and_stays_healthy(fleet: Environment):
    lacks = (fleet.keys.inbox(), fleet.keys.tenants())

    with a_user(fleet, lacks) as url, exporter(url) as running:
        values, health = running.known(), running.get("/healthz")
        running.program.terminate()
        assert running.program.stderr is not None
        said = running.program.stderr.read()

    assert health == "ok\n"
    assert values["seqd_up",] == 1
    assert values["seqd_missing_rights",] == 2
    assert "seqd_inbox_entries" not in {key[0] for key in values}
    assert "lacks 2 rights of the role exporter: ~seqd:inbox ~seqd:tenants. " in said


def assert_away(running: Exporter) -> None:
    """Assert that nothing is said of the fleet, and that the exporter is healthy."""
    wait_until(lambda: running.values()["seqd_up",] == 0, "the fleet is unknown")
    values = running.read_anew()

    assert values["seqd_up",] == 0
    assert {key[0] for key in values} == {"seqd_up", "seqd_build_info", "seqd_read_seconds"}
    assert running.get("/healthz") == "ok\n"


def test_an_exporter_waits_for_a_redis_that_is_not_up_yet_and_for_one_that_was_killed(
    fleet: Environment, private_server: PrivateServer
):
    fleet.submit(chunk=a_chunk(), sealed=True)
    private_server.kill()
    try:
        with exporter(private_server.url) as running:
            assert_away(running)
            private_server.start()
            assert set(FLEET) <= {key[0] for key in running.known()}

            private_server.kill()
            assert_away(running)
            private_server.start()
            assert set(FLEET) <= {key[0] for key in running.known()}
    finally:
        private_server.restart()


def test_a_scrape_reads_no_more_of_redis_however_many_jobs_are_open(
    fleet: Environment, private_server: PrivateServer
):
    first = fleet.submit(chunk=a_chunk(1), sealed=True)
    job, keys, jobs = fleet.redis.hgetall(fleet.keys.job(first)), fleet.keys, 20_000
    with fleet.redis.pipeline(transaction=False) as pipe:
        for number in range(1, jobs):
            pipe.hset(keys.job(f"j{number}"), mapping=job)
            pipe.zadd(keys.open_jobs(), {f"j{number}": int(job[b"created"]) + number})
        pipe.hincrby(keys.work_left(), job[b"queue"].decode(), jobs - 1)
        pipe.execute()

    def done() -> tuple[int, int]:
        stats = fleet.redis.info("stats")
        return stats["total_commands_processed"], stats["total_net_output_bytes"]

    with exporter(private_server.url) as running:
        running.known()
        before = done()
        values = running.read_anew()
        commands, sent_bytes = (now - then for now, then in zip(done(), before, strict=True))

    assert values["seqd_queue_items", "classify", "imdb_lstm"] == jobs
    assert commands < jobs / 4
    assert sent_bytes < 10 * jobs
