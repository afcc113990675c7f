"""All that the users of a ledger do, each with the user of Redis that its role has.

    Fleet           a server with a user for each role, and a cluster that works as these users
    whole_flow      what clients, workers and a producer do, one after the other

Each part says what must come of it, so that a right that is missing fails it.
"""

import json
import secrets
from pathlib import Path

import redis

from inbox_builders import Producer, a_request
from redis_fixtures import LOOPBACK, PrivateServer
from seqd.client import Client
from seqd.errors import UnknownJob
from seqd.ledger import Ledger, connect
from seqd.ledger.acl import Role, Version, rights_of
from seqd.settings import Settings
from seqd_schemas import FileSource, JobState
from worker_fixtures import QUICK, Cluster, wait_until

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

    @property
    def version(self) -> Version:
        """The version of Redis that the server is compatible with."""
        major, minor = str(self.admin.info("server")["redis_version"]).split(".")[:2]
        return int(major), int(minor)

    def rules(self, role: Role) -> list[str]:
        """Return the rules that `seqd redis acl` prints for this server."""
        return rights_of(role, self.settings.keys).rules(self.version)

    def allow_exactly(self) -> None:
        """Give each user the rights of its role, and have the server forget what it denied."""
        for role in Role:
            self.allow(role, *self.rules(role))
        self.admin.execute_command("ACL", "LOG", "RESET")

    def denials(self) -> list[tuple[str, str, str]]:
        """Return what the server denied since: user, command or key, and the command's context."""
        return [(row["username"], row["object"], row["context"]) for row in self.admin.acl_log()]

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


def whole_flow(fleet: Fleet) -> None:
    """Start a worker and have everybody do what they do; no worker is up after it."""
    fleet.cluster.start_ready()
    client = fleet.client()
    for part in (classify_and_read, steer, stream, train, look):
        part(fleet, client)
    use_inbox(fleet)
    read_figures(fleet, workers=1)
    take_over(fleet, client)
    lose_connections(fleet, client)
    make_room(fleet, client)
    lose_a_worker(fleet, client)
    drain(fleet, client)
    client.classify(["waits"], model="echo")
    fleet.producer().add(a_request(["waits"]))
    read_figures(fleet, workers=0)


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
    """Hand jobs in by plain commands, and read answers, events and results, as the guide says."""
    producer, keys, job_id = fleet.producer(), fleet.settings.keys, "from-the-inbox"
    producer.redis.ping()
    entry = producer.add_job(a_request(["a", "b"]), job_id)
    assert producer.answer_to(entry).job_id == job_id
    seen, last = "0-0", ""
    while last != "completed":
        ((_, rows),) = producer.redis.xread({keys.events(job_id): seen}, block=20_000)
        seen, last = rows[-1][0].decode(), json.loads(rows[-1][1][b"e"])["event"]
    assert not producer.redis.hexists(keys.output(job_id), "0")
    assert producer.redis.hget(keys.job(job_id), "results")
    refused = producer.add(a_request(["a"], model="nobody_has_this"))
    producer.rejection_of(refused)
    assert producer.waiting() == 0
    assert producer.redis.hget(keys.limits(), "inbox_entries") == b"10000"
    producer.redis.close()


def read_figures(fleet: Fleet, workers: int) -> None:
    """Read what `seqd status` shows, and the server's memory, as whoever makes metrics of it."""
    reader = fleet.client(Role.EXPORTER)
    assert len(reader.workers()) == workers
    reader.open_jobs()
    reader.quarantined()
    reader.inbox()
    reader.evictions()
    with connect(fleet.url(Role.EXPORTER)) as connection:
        connection.ping()
        assert int(connection.info("memory")["used_memory"]) > 0
        connection.time()


def take_over(fleet: Fleet, client: Client) -> None:
    """Kill the process that works: its work is released, and done by the next."""
    (worker,) = fleet.cluster.workers
    job = client.classify(["a", "exit", "b"], model="echo")
    assert job.wait(timeout_s=60).counts.succeeded == 2
    wait_until(lambda: worker.status() is not None, "it works again")


def lose_connections(fleet: Fleet, client: Client) -> None:
    """Cut all connections of workers and clients: work goes on."""
    job = client.classify((f"c{n}" for n in range(80)), model="echo", parameters={"delay_ms": 5})
    wait_until(lambda: job.record().counts.succeeded > 0, "it has begun")
    for connection in fleet.admin.client_list():
        if connection["user"] in (Role.WORKER, Role.CLIENT):
            fleet.admin.client_kill_filter(_id=connection["id"])
    assert job.wait(timeout_s=60).counts.succeeded == 80


def make_room(fleet: Fleet, client: Client) -> None:
    """End a job whose tenant keeps too much: its oldest one goes, and who asks for it is told."""
    first = client.classify(["a"], model="echo", tenant="keeps-much")
    first.wait(timeout_s=30)
    with connect(fleet.url(Role.WORKER)) as connection:
        ledger = Ledger(connection, fleet.settings, lambda route: None)
        ledger.fleet.publish_limits(fleet.settings.model_copy(update={"max_tenant_kept_bytes": 1}))
    for _ in range(2):
        texts = [f"c{n}" for n in range(80)]
        job = client.classify(texts, model="echo", tenant="keeps-much", parameters={"delay_ms": 9})
        job.cancel()
    reason = ""
    try:
        first.record()
    except UnknownJob as error:
        reason = str(error)
    assert "removed before its time to make room" in reason
    # As a connection does that was silent for 15 s.
    with connect(fleet.url(Role.CLIENT)) as connection:
        connection.ping()


def lose_a_worker(fleet: Fleet, client: Client) -> None:
    """Kill a whole worker at work: another does its units when the leases have run out."""
    (first,) = fleet.cluster.workers
    job = client.classify((f"k{n}" for n in range(80)), model="echo", parameters={"delay_ms": 20})
    wait_until(lambda: job.record().counts.succeeded > 0, "it has begun")
    first.kill()
    fleet.cluster.start_ready()
    assert job.wait(timeout_s=60).counts.succeeded == 80


def drain(fleet: Fleet, client: Client) -> None:
    """End the last worker at work: what it holds waits for another."""
    last = fleet.cluster.workers[-1]
    job = client.classify((f"d{n}" for n in range(800)), model="echo", parameters={"delay_ms": 20})
    wait_until(lambda: job.record().counts.succeeded > 0, "it has begun")
    assert last.stop() == 0
    assert not job.record().state.is_terminal
    job.cancel()
