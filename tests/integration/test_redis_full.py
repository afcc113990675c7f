"""Redis reaches its `maxmemory` in the middle of a job, and has room again some seconds later.

Workers wait meanwhile. Nothing is lost, and the job completes by itself.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from redis import Redis

from builders import a_chunk
from checkout import python_path
from ledger_fixtures import BRIEFLY_S, Environment, open_environment
from redis_fixtures import PrivateServer, installed_servers
from seqd.ledger import connect
from seqd.local.parent_death import launch_command
from seqd.settings import Settings
from seqd.worker.background import Reconciler
from seqd.worker.logs import log_and_continue
from seqd_schemas import ItemSuccess
from worker_fixtures import PLUGIN, Cluster, live_settings, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]


@pytest.fixture
def tight(private_server: PrivateServer) -> Iterator[Environment]:
    with connect(private_server.url) as redis:
        yield open_environment(redis, Settings(redis_url=private_server.url, prefix="tight"))


def fill(redis: Redis) -> None:
    redis.config_set("maxmemory", int(redis.info("memory")["used_memory"]) // 2)


def refusals(redis: Redis) -> int:
    # Of a script, Redis 6.2 does not count an error by its own code.
    return sum(int(row["count"]) for row in redis.info("errorstats").values())


def test_a_lease_that_runs_out_while_redis_is_full_is_woken_and_the_missing_lock_told_of(
    tight: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    environment = tight.with_settings(lease_s=BRIEFLY_S)
    environment.submit(chunk=a_chunk())
    unit = environment.claim_unit()
    _, due_ms = environment.redis.zrange(environment.keys.timers(), 0, 0, withscores=True)[0]
    environment.wait_for_clock(int(due_ms))
    reconciler = Reconciler(environment.ledger, environment.settings, "w", (), tuple, lambda: None)
    fill(environment.redis)

    reconciler.run_once()

    assert tight.redis.zrange(tight.keys.todo(unit.job_id), 0, -1) == [b"0"]
    assert [message.partition(":")[0] for message in caplog.messages] == [
        "reconciling without the lock"
    ]


def test_an_act_that_does_not_get_into_the_audit_is_told_in_whole_sentences(tight, caplog):
    fill(tight.redis)

    tight.ledger.audit.note("jobs.cancel", "j1")
    tight.ledger.audit.note("jobs.cancel", "j1", outcome="redis_full")

    (said,) = caplog.messages
    assert said.startswith("jobs.cancel of 'j1' is not in the audit: Redis says ")
    assert said.endswith("used memory > 'maxmemory'. The command goes on without it.")


def test_a_step_that_is_repeated_while_redis_is_full_is_told_once_an_outage(tight, caplog):
    def repeat() -> None:
        note = partial(tight.ledger.backlog.note_rate, "classify.echo", 1, 1.0)
        log_and_continue("rate not noted", note, is_repeated=True)

    for _ in range(2):
        fill(tight.redis)
        repeat()
        repeat()
        tight.redis.config_set("maxmemory", 0)
        repeat()

    (one,) = set(caplog.messages)
    assert len(caplog.messages) == 2
    assert re.fullmatch(r"rate not noted: Redis at \S+ has reached its maxmemory\.", one)


@dataclass(frozen=True)
class Supervised:
    """A `seqd up` with one worker, which is started on a Redis that is full."""

    cluster: Cluster
    redis: Redis
    log: Path

    def give_room(self) -> None:
        """End the lack of memory; returns once the worker is ready."""
        self.redis.config_set("maxmemory", 0)
        wait_until(lambda: "Ready after" in self.log.read_text(), "it is ready")


@pytest.fixture(scope="module")
def supervised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    folder = tmp_path_factory.mktemp("supervised")
    server = PrivateServer(installed_servers()[0], tmp_path_factory.mktemp("redis"))
    with ExitStack() as ends:
        ends.callback(server.stop)
        server.start()
        operator = ends.enter_context(Redis.from_url(server.url))
        operator.config_set("maxmemory", 1)
        settings = live_settings(server, folder)
        cluster = ends.enter_context(closing(Cluster(settings, folder)))
        variables = {
            f"SEQD_{name.upper()}": str(getattr(settings, name))
            for name in settings.model_fields_set - {"enabled_plugins"}
        }
        variables |= {"SEQD_ENABLED_PLUGINS": "light", "PYTHONPATH": python_path(PLUGIN)}
        command = [sys.executable, "-m", "seqd", "up", "--slots", "all@cpu:0"]
        with (folder / "up.log").open("wb") as log:
            up = subprocess.Popen(
                launch_command(command, signal.SIGKILL),
                env=os.environ | variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield Supervised(cluster, operator, folder / "up.log")
        finally:
            up.terminate()
            with suppress(subprocess.TimeoutExpired):
                up.wait(120)
            up.kill()
            up.wait()


def test_a_worker_that_starts_on_a_full_redis_waits_for_room_and_both_logs_say_so(
    supervised: Supervised,
) -> None:
    short = "Redis has used up the share of its memory that new work may take "
    full, log = "Redis takes no writes (it has reached its maxmemory); ", supervised.log
    again = "Redis takes writes again; workers go on"
    logs = supervised.cluster.settings.data_dir / "logs"

    wait_until(lambda: full in log.read_text(), "seqd up says so")
    wait_until(
        lambda: any(" takes no writes: " in one.read_text() for one in logs.glob("*.log")),
        "the worker says so",
    )
    supervised.give_room()
    wait_until(lambda: again in log.read_text(), "seqd up says that, too")
    used = int(supervised.redis.info("memory")["used_memory"])
    supervised.redis.config_set("maxmemory", int(used * 1.1))
    wait_until(lambda: short in log.read_text(), "seqd up says that there is little room")

    assert [log.read_text().count(told) for told in (full, again)] == [1, 1]
    assert "died" not in log.read_text()


def test_a_listener_that_a_full_redis_breaks_again_and_again_logs_no_traceback(
    private_server: PrivateServer, private_cluster: Cluster
) -> None:
    worker = private_cluster.start_ready()
    worker.freeze()
    job = private_cluster.client().classify(["a"], model="echo")

    with Redis.from_url(private_server.url) as operator:

        def connections() -> int:
            return int(operator.info("stats")["total_connections_received"])

        operator.config_set("maxmemory", 1)
        before = connections()
        worker.thaw()
        wait_until(lambda: connections() > before + 30, "it has listened again and again")
        operator.config_set("maxmemory", 0)
    job.wait(timeout_s=120)
    lines = worker.whole_log().splitlines()

    assert [line for line in lines if "Traceback" in line or " py.warnings " in line] == []
    assert sum("reconciling without the lock" in line for line in lines) <= 1


def test_a_job_completes_when_a_full_redis_has_room_again(supervised: Supervised) -> None:
    supervised.give_room()
    client, operator = supervised.cluster.client(), supervised.redis
    texts = [f"text {n}" for n in range(800)]
    job = client.classify(texts, model="echo", parameters={"delay_ms": 10})
    next(iter(job.results()))

    wait_until(lambda: job.record().sealed, "the input is complete")
    fill(operator)
    operator.config_resetstat()
    wait_until(lambda: refusals(operator) >= 6, "the worker is refused again and again")
    done = job.record().counts.done
    operator.config_set("maxmemory", 0)
    wait_until(lambda: job.record().counts.done > done, "it goes on")
    record = job.wait(timeout_s=120)

    assert (record.counts.succeeded, record.counts.total) == (800, 800)
    results = list(job.results())
    assert all(isinstance(result, ItemSuccess) for result in results)
    assert [result.custom_id for result in results] == [f"row-{n}" for n in range(1, 801)]
