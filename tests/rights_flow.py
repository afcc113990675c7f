"""What users of a ledger do that no other test does with the rights of their roles alone.

    Fleet           a server with a user for each role, and a cluster that works as these users
    whole_flow      what an exporter, a doctor, a producer and `seqd up` do

Workers, clients and commands have exactly their rights in each test on a cluster of
`worker_fixtures`. Each part says what must come of it, so that a right that is missing fails it.
"""

import json
import secrets
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from checkout import python_path
from cli_builders import Ended, clean_environment
from inbox_builders import Producer, a_request
from redis_fixtures import LOOPBACK, PrivateServer
from seqd.client import Client
from seqd.ledger import Ledger, connect
from seqd.ledger.acl import Role, Version, rights_of
from seqd.ledger.figures import fleet_figures
from seqd.local.parent_death import launch_command
from seqd.settings import Settings
from seqd_schemas import JobState, TenantLimits, WorkerStatus
from worker_fixtures import PLUGIN, QUICK, READY_S, Cluster, wait_until

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
        self._ledgers: dict[Role, Ledger] = {}
        self._connections: list[redis.Redis] = []

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
        """Return a program that uses the inbox; its connection is closed with the fleet."""
        connection = redis.Redis.from_url(self.url(Role.INBOX), protocol=2, socket_timeout=None)
        self._connections.append(connection)
        return Producer(connection, self._settings.keys)

    def ledger(self, role: Role) -> Ledger:
        """Return the ledger as a role's user has it; closed with the fleet.

        A recorder cannot tell who it was that connected for a moment, as a command does.
        """
        if role not in self._ledgers:
            connection = connect(self.url(role), role=role)
            self._ledgers[role] = Ledger(connection, self.settings)
        return self._ledgers[role]

    def seqd(self, role: Role, *arguments: str, timeout_s: float = 240.0) -> Ended:
        """Run a command as a role's user; it ends in order."""
        ended = subprocess.run(
            [sys.executable, "-m", "seqd", *arguments],
            env=self.variables(role),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert ended.returncode == 0, f"{arguments}: {ended.stderr}"
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def variables(self, role: Role) -> dict[str, str]:
        """Return the environment of a command that connects as a role's user."""
        given = {
            "redis_url": self.url(role),
            "prefix": self.prefix,
            "data_dir": self.settings.data_dir,
            "enabled_plugins": "light",
            **{name: value for name, value in QUICK.items() if isinstance(value, float)},
        }
        named = {f"SEQD_{name.upper()}": str(value) for name, value in given.items()}
        return clean_environment(COLUMNS="250", PYTHONPATH=python_path(PLUGIN), **named)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        for ledger in self._ledgers.values():
            ledger.redis.close()
        for connection in self._connections:
            connection.close()
        self.cluster.close()
        self.admin.close()


def whole_flow(fleet: Fleet) -> None:
    """Start a worker and have everybody do what they do; no worker is up after it."""
    fleet.cluster.start_ready()
    client = fleet.client()
    use_inbox(fleet)
    read_figures(fleet, workers=1)
    set_limits(fleet, client)
    scrape(fleet, client)
    examine(fleet)
    assert fleet.cluster.workers[-1].stop() == 0
    client.classify(["waits"], model="echo")
    fleet.producer().add(a_request(["waits"]))
    read_figures(fleet, workers=0)
    replace_workers(fleet)


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


def read_figures(fleet: Fleet, workers: int) -> None:
    """Read what `seqd status` shows, and the server's memory, as whoever makes metrics of it."""
    reader = fleet.client(Role.EXPORTER)
    # A record goes by itself: of a worker that was killed, and of one that had no processor.
    wait_until(lambda: len(reader.workers()) == workers, f"{workers} workers are up")
    reader.open_jobs()
    reader.inbox()
    reader.evictions()
    reader.failure_count()
    reader.work_left()
    fleet.seqd(Role.EXPORTER, "status")
    connection = fleet.ledger(Role.EXPORTER).redis
    connection.ping()
    assert int(connection.info("memory")["used_memory"]) > 0
    connection.time()


def set_limits(fleet: Fleet, client: Client) -> None:
    """Set a tenant's limits and weight beside one that waits, have them heeded, and split a bill.

    A limit below what the tenant keeps removes its oldest jobs.
    """
    operator, tenant, slow = fleet.client(Role.OPERATOR), "alice", {"delay_ms": 20}
    texts = [secrets.token_hex(2_000) for _ in range(20)]  # 40 kB, which no compression makes less
    ended = [client.classify(texts, model="echo", tenant=tenant, parameters=slow) for _ in range(3)]
    for job in ended:
        job.cancel()
    jobs = [
        client.classify((f"w{n}" for n in range(64)), model="echo", tenant=name, parameters=slow)
        for name in (tenant, "bob")
    ]
    operator.set_tenant(tenant, TenantLimits(weight=3, jobs=2, items=900))
    operator.set_tenant(tenant, TenantLimits(kept_bytes=65_536), evicts=True)
    assert ended[0].job_id not in [job.job_id for job in client.jobs(tenant=tenant)]
    assert client.tenant(tenant).own.weight == 3
    for job in jobs:
        assert job.wait(timeout_s=120).counts.succeeded == 64
    assert {row.tenant: row.items for row in operator.tenant_usage()}["bob"] == 64


def scrape(fleet: Fleet, client: Client) -> None:
    """Serve metrics while work is in hand, a training among it, and read them."""
    job = client.train(RECORDS, model="echo", parameters={"epochs": 1_000, "step_ms": 100})
    wait_until(lambda: job.record().state is JobState.RUNNING, "it is in hand")
    lines = (
        "seqd_up 1.0",
        'seqd_busy_workers{model="echo",task="train"} 1.0',
        "seqd_redis_memory_ratio",
        # The rights are looked for behind the first read, which on a busy machine takes its time.
        "seqd_missing_rights 0.0",
    )
    with metrics(fleet) as address:

        def is_all_there() -> bool:
            with urllib.request.urlopen(address, timeout=120) as answer:
                text = str(answer.read().decode())
            return all(line in text for line in lines)

        wait_until(is_all_there, f"a scrape has {lines}")
    exporter = fleet.ledger(Role.EXPORTER)
    server = exporter.transport.run(fleet_figures(exporter)).server
    assert server is not None and server.memory_ratio is not None
    job.cancel()


def examine(fleet: Fleet) -> None:
    """Have the doctor look at all that it looks at."""
    report = json.loads(fleet.seqd(Role.DOCTOR, "doctor", "--role", "doctor", "--json").out)
    assert report["not_checked"] == [], report["not_checked"]


@contextmanager
def metrics(fleet: Fleet) -> Iterator[str]:
    """Run an exporter until the block ends; its address."""
    program = subprocess.Popen(
        launch_command([sys.executable, "-m", "seqd", "exporter", "--port", "0"], signal.SIGKILL),
        env=fleet.variables(Role.EXPORTER),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert program.stdout is not None
        address = program.stdout.readline().strip()
        assert address.startswith("http://"), program.communicate(timeout=120)
        yield address
    finally:
        program.terminate()
        program.communicate(timeout=120)


@contextmanager
def running_up(fleet: Fleet) -> Iterator[Path]:
    """Run `seqd up` as a worker's user until the block ends; its screen."""
    screen = fleet.folder / "up.log"
    with screen.open("wb") as output:
        program = subprocess.Popen(
            launch_command(
                [sys.executable, "-m", "seqd", "up", "--slots", "cpu:0"], signal.SIGTERM
            ),
            env=fleet.variables(Role.WORKER),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: "Ready after" in screen.read_text(), "it is ready", READY_S)
        yield screen
    finally:
        program.terminate()
        try:
            program.wait(120)
        finally:
            program.kill()
            program.wait()
    assert program.returncode == 0, screen.read_text()


def replace_workers(fleet: Fleet) -> None:
    """Drain, uncordon and restart the worker of `seqd up`, and kill it: its leases are released."""
    with running_up(fleet) as screen:
        first = the_worker(fleet)
        fleet.seqd(Role.OPERATOR, "workers", "drain", first.worker, "--yes", "--wait")
        wait_until(lambda: "drained" in screen.read_text(), "it says so")
        slot = first.worker.rpartition("-")[0]
        fleet.seqd(Role.OPERATOR, "workers", "uncordon", slot, "--wait")
        fleet.seqd(Role.OPERATOR, "workers", "restart", "--wait", "--timeout-s", "80")
        assert first.worker != the_worker(fleet).worker


def the_worker(fleet: Fleet) -> WorkerStatus:
    """Wait until one worker is up, and return what it says of itself."""
    reader, found = fleet.client(Role.EXPORTER), list[WorkerStatus]()

    def is_up() -> bool:
        found[:] = reader.workers()
        return len(found) == 1

    wait_until(is_up, "one worker is up")
    return found[0]
