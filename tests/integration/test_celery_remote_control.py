"""Celery's own programs see workers and their work where that is switched on, and nowhere else."""

import subprocess
import sys

import pytest
import redis

from checkout import python_path
from redis_fixtures import PrivateServer
from seqd.ledger.acl import Role, rights_of
from worker_fixtures import Cluster, LiveWorker, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]


def celery(worker: LiveWorker, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run Celery's command as somebody who knows nothing of seqd but the name of its app."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "celery", "-A", "seqd.worker.remote_control", *arguments],
        env={**worker.environment, "PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        timeout=60,
    )


def pinged(worker: LiveWorker) -> "subprocess.CompletedProcess[str]":
    """Ping until somebody answers: a worker is ready before it listens to Celery's commands."""
    answers: list[subprocess.CompletedProcess[str]] = []

    def is_answered() -> bool:
        answers.append(celery(worker, "inspect", "ping", "--timeout", "5"))
        return "pong" in answers[-1].stdout

    try:
        wait_until(is_answered, "somebody answers")
    except AssertionError as error:
        said = answers[-1].stdout + answers[-1].stderr
        raise AssertionError(f"{error}\n{said}\n{worker.log()}") from None
    return answers[-1]


def server_version(admin: redis.Redis) -> tuple[int, int]:
    """Return the version of a server, of Valkey that which it stands for."""
    major, minor, *_ = str(admin.info("server")["redis_version"]).split(".")
    return int(major), int(minor)


LISTENING = """
import sys
from seqd.worker.remote_control import app
found = set()
with app.connection() as connection:
    def note(event):
        found.add(event["type"])
        if {"worker-heartbeat", "task-succeeded"} <= found:
            receiver.should_stop = True
    receiver = app.events.Receiver(connection, handlers={"*": note})
    consumer = receiver.itercapture(limit=None, timeout=30, wakeup=True)
    next(consumer)
    print("listening", flush=True)
    for _ in consumer:
        pass
print(sorted(found))
"""


def test_celery_inspect_and_events_tell_of_a_worker_and_its_wakeups_and_no_command_ends_it(
    empty_cluster: Cluster,
):
    worker = empty_cluster.start_ready(celery_remote_control=True)
    answer = pinged(worker)
    queues = celery(worker, "inspect", "active_queues", "--timeout", "5")
    shut_down = celery(worker, "control", "shutdown", "--timeout", "1")
    program = subprocess.Popen(
        [sys.executable, "-P", "-c", LISTENING],
        env={**worker.environment, "PYTHONPATH": python_path()},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None and program.stdout.readline() == "listening\n"
    empty_cluster.client().classify(["a"], model="echo").wait(timeout_s=20)
    found, _ = program.communicate(timeout=60)

    assert answer.returncode == 0, answer.stderr + worker.log()
    assert f"{worker.name}: OK" in answer.stdout
    assert "wakeup.classify.echo" in queues.stdout
    assert worker.is_up(), shut_down.stdout
    assert "task-succeeded" in found and "worker-heartbeat" in found
    assert worker.stop() == 0


def test_a_worker_with_the_rights_that_are_printed_for_it_answers(
    own_cluster: Cluster, own_server: PrivateServer
):
    rights = rights_of(Role.WORKER, own_cluster.settings.keys, remote_control=True)
    with redis.Redis.from_url(own_server.url) as admin:
        version = server_version(admin)
        admin.execute_command("ACL", "SETUSER", "worker", "on", ">secret", *rights.rules(version))
    url = f"redis://worker:secret@127.0.0.1:{own_server.port}/0"
    worker = own_cluster.start_ready(celery_remote_control=True, redis_url=url)

    answer = pinged(worker)

    assert f"{worker.name}: OK" in answer.stdout
    denied = [line for line in worker.whole_log().splitlines() if "denies" in line]
    assert denied == []


def test_without_the_setting_no_worker_answers(empty_cluster: Cluster):
    worker = empty_cluster.start_ready()
    answer = celery(worker, "inspect", "ping", "--timeout", "1")

    assert "pong" not in answer.stdout
    assert answer.returncode != 0
