"""A client whose Redis goes away: it waits, goes on where it was, or says how to go on."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest
from redis import Redis

from checkout import python_path
from cli_builders import clean_environment
from redis_fixtures import PrivateServer
from seqd.client import Client, JobHandle
from seqd.errors import InvalidSettings, JobOutOfReach, RedisUnreachable
from seqd_schemas import Completed, JobState
from tcp_proxy import TcpProxy
from worker_fixtures import PLUGIN, QUICK, Cluster, live_settings, wait_until

pytestmark = pytest.mark.processes

TEXTS = [f"text {number}" for number in range(240)]
IDS = [f"row-{number}" for number in range(1, 241)]
PACE = {"delay_ms": 10.0}
PROMPTS = [f"prompt {number}" for number in range(4)]
WRITING = {"delay_ms": 50.0, "length": 200}

#: Longer than a connection is tried again for by itself.
AWAY_S = 4.0


@pytest.fixture
def cluster_on(private_server: PrivateServer, tmp_path: Path) -> Iterator[Cluster]:
    own = Cluster(live_settings(private_server, tmp_path), tmp_path)
    try:
        yield own
    finally:
        own.close()


def cut_the_client_off(server: PrivateServer, proxy: TcpProxy) -> None:
    proxy.refuse()
    time.sleep(AWAY_S)
    proxy.accept()


def crash(server: PrivateServer, proxy: TcpProxy) -> None:
    server.kill()
    time.sleep(AWAY_S)
    server.start()


@pytest.mark.slow
@pytest.mark.parametrize("outage", [cut_the_client_off, crash])
def test_whoever_reads_goes_on_where_it_was_after_an_outage(
    cluster_on: Cluster,
    private_server: PrivateServer,
    proxy: TcpProxy,
    outage: Callable[[PrivateServer, TcpProxy], None],
) -> None:
    cluster_on.start_ready()
    client = cluster_on.client(redis_url=proxy.url)
    many = client.classify_each(TEXTS[:40], model="echo", parameters={"delay_ms": 30.0})
    bulk = client.classify(TEXTS, model="echo", parameters=PACE)
    written = client.generate(PROMPTS, model="echo", parameters=WRITING, stream=True)

    with ThreadPoolExecutor(6) as pool:
        results = pool.submit(lambda: list(bulk.results()))
        events = pool.submit(lambda: list(bulk.events()))
        record = pool.submit(bulk.wait)
        ended = pool.submit(lambda: list(client.as_completed(many)))
        texts = pool.submit(lambda: list(written.stream()))
        wait_until(lambda: bulk.record().units_done >= 1, "the job has begun")
        outage(private_server, proxy)

    assert [result.custom_id for result in results.result()] == IDS
    ids = [tuple(map(int, (event.id or "").split("-"))) for event in events.result()]
    assert ids == sorted(set(ids))
    assert isinstance(events.result()[-1], Completed)
    assert record.result().counts.succeeded == len(TEXTS)
    assert sorted(job.job_id for job in ended.result()) == sorted(job.job_id for job in many)
    whole = {one.custom_id: one.finished.text for one in texts.result() if one.finished}
    parts = dict.fromkeys(whole, "")
    for delta in texts.result():
        parts[delta.custom_id] += delta.text
    assert len(whole) == len(PROMPTS)
    assert parts == whole


def test_a_job_that_is_sent_in_an_outage_is_made_once(
    cluster_on: Cluster, private_server: PrivateServer
) -> None:
    cluster_on.publish_catalog()
    client = cluster_on.client()
    client.catalog()
    private_server.kill()

    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(client.classify, ["a"], model="echo")
        time.sleep(1.0)
        assert not sent.done()
        private_server.start()
        job = sent.result(timeout=20)

    assert [record.job_id for record in client.jobs()] == [job.job_id]


def test_many_jobs_that_a_replica_refuses_are_made_once_when_it_is_a_primary(
    cluster_on: Cluster, private_server: PrivateServer
) -> None:
    cluster_on.publish_catalog()
    client = cluster_on.client()
    client.catalog()
    with Redis.from_url(private_server.url) as redis:
        redis.execute_command("REPLICAOF", "127.0.0.1", "1")
        with ThreadPoolExecutor(1) as pool:
            sent = pool.submit(client.classify_each, TEXTS[:100], model="echo")
            time.sleep(1.0)
            assert not sent.done()
            redis.execute_command("REPLICAOF", "NO", "ONE")
            jobs = sent.result(timeout=20)

    kept = [record.job_id for record in client.jobs(limit=200)]
    assert sorted(kept) == sorted(job.job_id for job in jobs)


READERS: dict[str, Callable[[Client, JobHandle], object]] = {
    "record": lambda client, job: job.record(),
    "wait": lambda client, job: job.wait(),
    "results": lambda client, job: list(job.results()),
    "events": lambda client, job: list(job.events()),
    "as_completed": lambda client, job: list(client.as_completed([job])),
}


@pytest.fixture(
    params=[
        pytest.param(name, marks=[] if name == "wait" else pytest.mark.slow) for name in READERS
    ]
)
def read(request: pytest.FixtureRequest) -> Callable[[Client, JobHandle], object]:
    reader: Callable[[Client, JobHandle], object] = READERS[request.param]
    return reader


def test_who_has_waited_for_long_enough_hears_how_to_go_on(
    cluster_on: Cluster, private_server: PrivateServer, read: Callable[[Client, JobHandle], object]
) -> None:
    cluster_on.publish_catalog()
    client = cluster_on.client(outage_s=1.0)
    job = client.classify(["a"], model="echo")
    private_server.kill()
    began = time.monotonic()

    with pytest.raises(JobOutOfReach) as error:
        read(client, job)

    took_s = time.monotonic() - began
    assert 1.0 <= took_s < 15.0  # by default it is 60 s
    assert error.value.job_id == job.job_id
    address = f"127.0.0.1:{private_server.port}"
    reason = f"Error 111 connecting to {address}. Connection refused."
    (away_s,) = re.findall(r" has been away for (\d+) s: ", str(error.value))
    assert 1 <= int(away_s) <= took_s + 1
    assert str(error.value) == (
        f"Redis at {address} has been away for {away_s} s: {reason} Try again when it is back, or "
        f"set SEQD_REDIS_URL to a server that runs. Job {job.job_id} goes on by itself. "
        f"Watch it: seqd jobs watch {job.job_id}. Its results: seqd jobs results {job.job_id}"
    )


def test_who_asked_not_to_wait_does_not(cluster_on: Cluster, private_server: PrivateServer) -> None:
    cluster_on.publish_catalog()
    client = cluster_on.client(outage_s=0.0)
    job = client.classify(["a"], model="echo")
    private_server.kill()
    began = time.monotonic()

    with pytest.raises(JobOutOfReach):
        job.wait()

    assert time.monotonic() - began < 1.0


def test_a_wait_ends_in_time_though_redis_is_away(
    cluster_on: Cluster, private_server: PrivateServer
) -> None:
    cluster_on.publish_catalog()
    client = cluster_on.client()
    job = client.classify(["a"], model="echo")
    private_server.kill()
    began = time.monotonic()

    with pytest.raises(TimeoutError, match=f"Job {job.job_id} could not be looked at after 1 s: "):
        job.wait(timeout_s=1.0)
    with pytest.raises(TimeoutError, match=r"1 of 1 jobs have not ended after 1 s"):
        list(client.as_completed([job], timeout_s=1.0))

    assert time.monotonic() - began < 4.0


def test_a_server_that_never_answered_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    began = time.monotonic()

    with (
        Client("redis://127.0.0.1:1/0") as client,
        pytest.raises(RedisUnreachable, match=r"No answer from Redis at 127\.0\.0\.1:1"),
    ):
        client.catalog()

    assert time.monotonic() - began < 10.0
    assert "waiting for it" not in caplog.text


@contextmanager
def a_web_server(port: int = 0) -> Iterator[int]:
    """A web server on a port, which it yields: it answers as one does to what is not HTTP."""

    class Answer(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1)
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    class Server(ThreadingTCPServer):
        allow_reuse_address = True

    with Server(("127.0.0.1", port), Answer) as server:
        Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def test_an_address_at_which_something_else_answers_is_named_at_once() -> None:
    with (
        a_web_server() as port,
        Client(f"redis://127.0.0.1:{port}/0") as client,
        pytest.raises(InvalidSettings) as refusal,
    ):
        client.catalog()

    assert str(refusal.value) == (
        f"What answers at 127.0.0.1:{port} is not Redis: it sent b'HTTP/1.1 400 Bad Request'. Set "
        "SEQD_REDIS_URL to the host and port of Redis."
    )


def test_an_outage_in_which_something_else_has_the_address_is_waited_for(
    cluster_on: Cluster, private_server: PrivateServer
) -> None:
    cluster_on.publish_catalog()
    client = cluster_on.client()
    before = client.catalog()
    private_server.kill()

    with ThreadPoolExecutor(1) as threads:
        with a_web_server(private_server.port):
            asked = threads.submit(client.catalog)
            with pytest.raises(TimeoutError):
                asked.result(timeout=1.0)
        private_server.start()

        assert asked.result(timeout=30) == before


def environment_of(cluster: Cluster, **variables: str) -> dict[str, str]:
    settings = cluster.settings
    assert settings.redis_url is not None
    ours = {"SEQD_REDIS_URL": settings.redis_url, "SEQD_PREFIX": settings.prefix}
    return clean_environment(**ours, **variables)


def classifying(cluster: Cluster, **variables: str) -> "subprocess.Popen[str]":
    """A command that waits for a job which no worker does."""
    texts = [part for text in TEXTS[:20] for part in ("--text", text)]
    return subprocess.Popen(
        [sys.executable, "-m", "seqd", "classify", *texts, "--model", "echo"],
        env=environment_of(cluster, **variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def its_job(client: Client, server: PrivateServer) -> str:
    """Wait until the command has sent all of its job, and waits for the answers; the job's id."""
    wait_until(lambda: [job.sealed for job in client.jobs()] == [True], "the job is sent")
    with Redis.from_url(server.url) as redis:

        def reads() -> bool:
            return any(one["cmd"] == "xread" and "b" in one["flags"] for one in redis.client_list())

        wait_until(reads, "the command waits for what is new of its job")
    return client.jobs()[0].job_id


def test_a_command_that_gives_up_says_how_to_go_on_and_the_job_does(
    cluster_on: Cluster, private_server: PrivateServer
) -> None:
    cluster_on.publish_catalog()
    command = classifying(cluster_on, SEQD_OUTAGE_S="1")
    job_id = its_job(cluster_on.client(), private_server)
    private_server.kill()

    _, err = command.communicate(timeout=30)
    private_server.start()

    assert command.returncode == 75
    waiting, error = err.strip().splitlines()[-2:]
    assert waiting.endswith("; waiting for it, for 1 s at most (SEQD_OUTAGE_S)")
    assert error.startswith("error[job_out_of_reach]: Redis at ")
    assert error.endswith(
        f" Job {job_id} goes on by itself. Watch it: seqd jobs watch {job_id}. Its results: "
        f"seqd jobs results {job_id}"
    )
    assert "Traceback" not in err
    assert cluster_on.client().job(job_id).record().state is JobState.QUEUED


@pytest.mark.slow
def test_a_command_that_is_interrupted_in_an_outage_names_its_job(
    cluster_on: Cluster, private_server: PrivateServer
) -> None:
    cluster_on.publish_catalog()
    command = classifying(cluster_on)
    job_id = its_job(cluster_on.client(), private_server)
    private_server.kill()
    time.sleep(1.5)

    command.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, err = command.communicate(timeout=30)

    assert command.returncode == 130
    assert time.monotonic() - began < 6.0
    assert f"Job {job_id} may still run: Redis at " in err
    assert err.strip().endswith(
        f"Watch it: seqd jobs watch {job_id}. Cancel it: seqd jobs cancel {job_id}"
    )
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_command_goes_on_after_an_outage_as_if_there_had_been_none(
    cluster_on: Cluster, private_server: PrivateServer
) -> None:
    cluster_on.publish_catalog()
    command = classifying(cluster_on)
    its_job(cluster_on.client(), private_server)
    private_server.kill()
    time.sleep(AWAY_S)
    private_server.start()
    cluster_on.start_ready()

    out, err = command.communicate(timeout=60)

    assert command.returncode == 0, err
    assert len(out.splitlines()) == 20
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_fleet_says_once_that_it_does_not_see_its_workers(
    cluster_on: Cluster, private_server: PrivateServer, tmp_path: Path
) -> None:
    settings = cluster_on.settings
    variables = {f"SEQD_{name.upper()}": str(getattr(settings, name)) for name in QUICK}
    variables |= {"SEQD_ENABLED_PLUGINS": "light", "SEQD_DATA_DIR": str(settings.data_dir)}
    environment = environment_of(cluster_on, **variables, PYTHONPATH=python_path(PLUGIN))
    log = tmp_path / "up.log"
    with log.open("w") as output:
        up = subprocess.Popen(
            [sys.executable, "-m", "seqd", "up", "--slots", "all@cpu:0"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: "Ready after" in log.read_text(), "it is ready", 60)
        private_server.kill()
        time.sleep(AWAY_S)
        private_server.start()
        job = cluster_on.client().classify(["a"], model="echo")
        assert job.wait(timeout_s=20).counts.succeeded == 1
    finally:
        up.send_signal(signal.SIGTERM)
        status = up.wait(45)

    assert status == 0
    assert log.read_text().count("cannot see how the workers are: No answer from Redis") == 1
    assert "Traceback" not in log.read_text()
