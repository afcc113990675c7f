"""All that users of a ledger do, each as the user of Redis that it is, so that rights can be held
against it.

`Fleet` has a server with a user for each role, and a cluster whose workers and clients connect as
these. Each function below is a part of the flow; none leaves anything behind that another needs.
"""

import json
import os
import secrets
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import redis

from cli_builders import here  # noqa: F401 - re-exported for the command line's part
from inbox_builders import Producer, a_request
from redis_fixtures import LOOPBACK, PrivateServer
from seqd.client import Client
from seqd.ledger.acl import Role
from seqd.settings import Settings
from seqd_schemas import FileSource, JobState
from worker_fixtures import QUICK, Cluster, LiveWorker, wait_until

RECORDS = [{"text": "good", "label": "pos"}, {"text": "bad one", "label": "neg"}] * 4

#: Not 0, so that each connection has to choose it.
DATABASE = 1


class Fleet:
    """A server whose users have the rights of their roles, and a cluster on it."""

    def __init__(self, server: PrivateServer, folder: Path, **settings: object) -> None:
        self.server = server
        self.admin = redis.Redis.from_url(server.url, db=DATABASE, protocol=2)
        self.prefix = f"test-{secrets.token_hex(4)}"
        base = {"prefix": self.prefix, "data_dir": folder / "seqd", "input_roots": (folder,)}
        self._settings = Settings(redis_url=self.url(Role.WORKER), **base, **QUICK | settings)
        self.folder = folder
        self.cluster = Cluster(self._settings, folder)
        self._clients: list[Client] = []

    @property
    def settings(self) -> Settings:
        return self._settings

    def url(self, role: Role) -> str:
        """Return the address with a role's user, who is called like the role."""
        return f"redis://{role}:secret-{role}@{LOOPBACK}:{self.server.port}/{DATABASE}"

    def allow(self, role: Role, *rules: str) -> None:
        """Give a role's user these rights and no others."""
        self.admin.execute_command("ACL", "SETUSER", role, "reset", "on", f">secret-{role}", *rules)

    def client(self, role: Role = Role.CLIENT, **settings: object) -> Client:
        changed = self._settings.model_copy(update={"redis_url": self.url(role)} | settings)
        client = Client(settings=changed)
        self._clients.append(client)
        return client

    def producer(self) -> Producer:
        connection = redis.Redis.from_url(self.url(Role.INBOX), protocol=2)
        return Producer(connection, self._settings.keys)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.cluster.close()
        self.admin.close()


def classify_and_read(fleet: Fleet, client: Client) -> None:
    """Whole in one step, uploaded, from a file, and many in one round trip."""
    few = client.classify(["a", "b"], model="echo", idempotency_key="few")
    assert few.wait(timeout_s=30).state is JobState.COMPLETED
    assert [result.custom_id for result in few.results()] == ["row-1", "row-2"]
    again = client.classify(["a", "b"], model="echo", idempotency_key="few")
    assert again.job_id == few.job_id
    many = client.classify((f"t{n}" for n in range(400)), model="echo", durable=True)
    assert many.wait(timeout_s=30).counts.succeeded == 400
    assert len(list(many.results())) == 400
    path = fleet.folder / "lines.txt"
    path.write_text("".join(f"line {n}\n" for n in range(300)))
    read = client.classify(FileSource(path=str(path)), model="echo")
    assert read.wait(timeout_s=30).counts.succeeded == 300
    each = client.classify_each([f"e{n}" for n in range(30)], model="echo")
    assert len(list(client.as_completed(each, timeout_s=30))) == 30
    assert [event.event for event in few.events()][-1] == "completed"


def steer(fleet: Fleet, client: Client) -> None:
    """Cancel, pause, resume, retry, continue, remove; a deadline that passes."""
    slow = client.classify((f"s{n}" for n in range(64)), model="echo", parameters={"delay_ms": 20})
    slow.pause()
    assert slow.record().state is JobState.PAUSED
    client.resume(slow.job_id)
    wait_until(lambda: slow.record().counts.succeeded > 0, "it goes on")
    slow.cancel()
    assert slow.record().state is JobState.CANCELLED
    mixed = client.classify(["good", "bad", "fine"], model="echo")
    assert mixed.wait(timeout_s=30).counts.errored == 1
    retried = client.retry(mixed.job_id)
    assert retried.wait(timeout_s=30).state is JobState.COMPLETED
    assert len(list(mixed.merged_results())) == 3
    assert retried.origin().job_id == mixed.job_id
    retried.remove()
    mixed.remove()
    late = client.classify(
        (f"s{n}" for n in range(64)), model="echo", parameters={"delay_ms": 100}, expires_in_s=1
    )
    wait_until(lambda: late.record().state is JobState.EXPIRED, "its time is over")


def stream(fleet: Fleet, client: Client) -> None:
    """Follow texts while they are written."""
    job = client.generate(
        ["a", "b"], model="echo", parameters={"length": 64, "delay_ms": 5}, stream=True
    )
    assert len(list(job.stream())) > 0
    assert job.wait(timeout_s=30).state is JobState.COMPLETED


def train(fleet: Fleet, client: Client) -> None:
    """Train, cancel and go on from the checkpoint; a sweep."""
    job = client.train(RECORDS, model="echo", labels=["candidate"])
    assert job.wait(timeout_s=30).training is not None
    long = client.train(RECORDS, model="echo", parameters={"epochs": 500, "step_ms": 10})
    wait_until(long.has_checkpoint, "it has a checkpoint")
    long.cancel()
    wait_until(lambda: long.record().state is JobState.CANCELLED, "it is cancelled")
    resumed = client.resume(long.job_id)
    resumed.cancel()
    path = fleet.folder / "records.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    swept = client.sweep(FileSource(path=str(path)), model="echo", grid={"epochs": [1, 2]})
    assert swept.wait(timeout_s=60).counts.succeeded == 2
    assert len(swept.results_by_now()) == 2


def look(fleet: Fleet, client: Client) -> None:
    """Read what `seqd status`, `jobs`, `models` and `plugins` show."""
    assert client.workers() != []
    assert "echo" in client.catalog()
    client.open_jobs()
    assert client.jobs() != []
    client.quarantined()
    client.inbox()
    client.evictions()


def use_inbox(fleet: Fleet) -> None:
    """Hand jobs in by plain commands and read answers, events and results."""
    producer, keys = fleet.producer(), fleet.settings.keys
    producer.redis.ping()
    entry = producer.add_job(a_request(["a", "b"]), "from-the-inbox")
    assert producer.answer_to(entry).job_id == "from-the-inbox"
    seen = "0-0"
    while True:
        (row,) = producer.redis.xread({keys.events("from-the-inbox"): seen}, block=20_000)
        seen = row[1][-1][0].decode()
        if json.loads(row[1][-1][1][b"e"])["event"] == "completed":
            break
    producer.redis.hexists(keys.output("from-the-inbox"), "0")
    assert producer.redis.hget(keys.job("from-the-inbox"), "results")
    refused = producer.add({"kind": "classify", "model": "nobody-has-this"}, "refused")
    producer.rejection_of(refused)
    producer.waiting()
    producer.redis.hget(keys.limits(), "inbox_entries")
    producer.redis.close()
