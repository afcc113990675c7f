"""Real workers for tests: processes that a test may stop, kill and freeze.

    cluster          a ledger, a store and one worker for the whole run; leave its worker alone
    cure             a file that lets its worker go on with the text `held`, once a test makes it
    module_cluster   the same for one file, whose tests make models in its store
    empty_cluster    a ledger and a store of the test's own; start and kill workers at will
    own_cluster      the same on `own_server`, which a test may kill and fill
    private_cluster  the same on `private_server`

A worker is started as `seqd up` starts it, with the plugin of `light_plugin/` and no other,
short leases, and a log that is shown when something does not come in time. Whatever a test
does, its cluster ends every process that it started.

But for the last two, workers, clients, operators and producers have users of Redis with the rights
of their roles and no others; a right that is missing fails the test, or the run as its cluster is
closed.
"""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis

from checkout import python_path, release_python_path, require_checkout
from plugin_builders import a_registry_of
from redis_fixtures import PrivateServer, Server, forget_keys
from seqd.client import Client, JobHandle
from seqd.ledger import Ledger, connect
from seqd.ledger.acl import Role, rights_of
from seqd.local.parent_death import launch_command
from seqd.local.slots import Slot, parse_slot
from seqd.local.supervisor import worker_command, worker_environment
from seqd.models.store import ModelStore
from seqd.models.version_files import VersionDraft
from seqd.settings import Settings
from seqd.worker.context import publish_catalog
from seqd_schemas import DataFingerprint, VersionCounts, Waiting, WorkerState, WorkerStatus

#: A worker with the light plugin is ready in 2 s on an idle core.
READY_S = 240.0

#: For what must come, some starts of a process included; nothing is proved by it.
DEADLINE_S = 120.0
LEASE_S = 2.0
#: A pass takes a dozen exchanges, and six workers of a run take one each, idle or not.
RECONCILE_S = 0.5

PLUGIN = Path(__file__).parent / "light_plugin"
SLOT = parse_slot("all@cpu:0")

#: Settings of every cluster: waits that are short enough for a test.
QUICK: dict[str, object] = {
    "lease_s": LEASE_S,
    "heartbeat_s": 0.5,
    "reconcile_s": RECONCILE_S,
    "backoff_s": 0.1,
    "unfit_grace_s": 1.0,
    # Units take so long here that one that ends in order is told from one that is released.
    "drain_s": 0.0,
    "enabled_plugins": ("light",),
}


#: The same as they are by default, for who measures rather than tests.
BY_DEFAULT: dict[str, object] = {
    name: Settings.model_fields[name].default for name in QUICK if name != "enabled_plugins"
}

#: Keys that a daemon has whatever is asked of it, and writes when it comes to that: what workers
#: publish, their lock, the clock and the inbox, Celery's queues, what all jobs together have used,
#: and what of them has failed. Those of a job, of its client, or of what a tenant keeps are none.
STANDING_KEYS = (
    *("_kombu", "catalog", "clock", "events", "evictions", "failures", "inbox", "limits", "lock"),
    *("memory", "rates", "task_schemas", "unacked"),
    *("usage", "wakeup", "work_done", "work_left", "worker"),
)


def wait_until(holds: Callable[[], bool], what: str, timeout_s: float = DEADLINE_S) -> None:
    """Wait for something that must come; fails with `what` when it does not."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.02)


def wait_for_reason(job: JobHandle) -> Waiting:
    """Return why a job waits, once it says so: it does not where a worker's heartbeat is late."""
    found: list[Waiting] = []

    def says_why() -> bool:
        found.extend(filter(None, [job.record().waiting]))
        return found != []

    wait_until(says_why, f"{job.job_id} says why it waits")
    return found[0]


def only_worker(client: Client) -> WorkerStatus:
    """Return what the only worker says of itself, once it does: a heartbeat can be late."""
    found: list[WorkerStatus] = []

    def says_so() -> bool:
        found[:] = client.workers()
        return len(found) == 1

    wait_until(says_so, "one worker is in the fleet")
    return found[0]


class LiveWorker:
    """One worker: a node and its pool child, in a process group of their own."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        log: Path,
        slot: Slot = SLOT,
        release: Path | None = None,
        plugins: Path = PLUGIN,
        inside: Sequence[str] = (),
    ) -> None:
        """Start it, with the code of the checkout or of a release installed in a folder.

        `inside` goes before its command, as of another host.
        """
        assert settings.redis_url is not None
        self.name = name
        self._settings = settings
        self._log = log
        ours = {f"SEQD_{field.upper()}" for field in settings.model_fields_set}
        variables = {
            name: value
            for name, value in worker_environment(settings, settings.redis_url, slot).items()
            if name in ours or name == "SEQD_DEVICE" or not name.startswith("SEQD_")
        }
        if release is None:
            variables["PYTHONPATH"] = python_path(plugins)
            require_checkout(variables)
        else:
            variables["PYTHONPATH"] = release_python_path(release, plugins)
        self.environment = variables
        with log.open("ab") as output:
            self._node = subprocess.Popen(
                launch_command([*inside, *worker_command(slot, name)], signal.SIGKILL),
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The node: Celery's parent process."""
        return self._node.pid

    def is_up(self) -> bool:
        """True until its node has ended."""
        return self._node.poll() is None

    def status(self) -> WorkerStatus | None:
        """What it says of itself; None when it is not in the fleet."""
        with Client(settings=self._settings) as client:
            return self._status_by(client)

    def known_status(self) -> WorkerStatus:
        """Return what it says of itself, once it does: a heartbeat can be late."""
        return self._wait_for(lambda status: True, "is in the fleet")

    def _status_by(self, client: Client) -> WorkerStatus | None:
        return next((w for w in client.workers() if w.worker == self.name), None)

    def _wait_for(
        self,
        fits: Callable[[WorkerStatus], bool],
        what: str,
        timeout_s: float = DEADLINE_S,
        may_end: bool = True,
    ) -> WorkerStatus:
        """Return what it says of itself, once it fits; its log tells why it never did."""
        found: list[WorkerStatus] = []

        def says_so(client: Client) -> bool:
            assert may_end or self.is_up(), "it ended"
            found[:] = filter(None, [self._status_by(client)])
            return found != [] and fits(found[0])

        try:
            # One client for all looks: a new one costs five times what a look does.
            with Client(settings=self._settings) as client:
                wait_until(lambda: says_so(client), f"{self.name} {what}", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from None
        return found[0]

    def wait_for_heartbeats(self, seconds: float) -> None:
        """Wait until its heartbeats have gone on for so long, by the server's clock."""
        heard_ms = self.known_status().seen_at_ms
        wait_until(
            lambda: self.known_status().seen_at_ms > heard_ms + 1_000 * seconds,
            f"{self.name} has heartbeats for {seconds:g} s more",
        )

    def child_pid(self) -> int:
        """The process that does the work."""
        return self.known_status().pid

    def wait_until_ready(self, other_than_pid: int = 0) -> Self:
        """Wait until it takes work; with a pid, until it does so in another process."""

        able = (WorkerState.READY, WorkerState.BUSY)
        self._wait_for(
            lambda status: status.state in able and status.pid != other_than_pid,
            "is ready",
            READY_S,
            may_end=False,
        )
        return self

    def wait_until_idle(self) -> None:
        """Wait until it has done all that it had taken, and what follows from that."""
        from_ms = 1000 * time.time()
        # That it is busy is published a moment after it is.
        self._wait_for(
            lambda status: status.seen_at_ms > from_ms and status.state is WorkerState.READY,
            "is idle",
        )

    def ask_to_end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send SIGTERM, as `seqd up` and every service manager do, or another signal."""
        self._node.send_signal(number)

    def ask_group_to_end(self, number: signal.Signals) -> None:
        """Signal node and child alike, as a terminal does at Ctrl-C."""
        os.killpg(self.pid, number)

    def wait_for_end(self, timeout_s: float = DEADLINE_S) -> int:
        """Wait for the node's end; returns its exit status."""
        try:
            return self._node.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still up after {timeout_s:g} s\n{self.log()}") from None

    def stop(self) -> int:
        """Ask it to end and wait for that; returns its exit status."""
        self.ask_to_end()
        return self.wait_for_end()

    def kill_child(self) -> int:
        """Kill the process that does the work, as running out of memory does; returns its pid."""
        pid = self.child_pid()
        os.kill(pid, signal.SIGKILL)
        return pid

    def kill_node(self) -> None:
        """Kill the node alone; its child is on its own."""
        self._node.kill()
        self._node.wait()

    def kill(self) -> None:
        """Kill node and child together, as a machine's end would."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._node.wait()

    def freeze(self) -> None:
        """Stop node and child, as a long pause of a virtual machine would."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let both go on."""
        os.killpg(self.pid, signal.SIGCONT)

    def log(self) -> str:
        """The end of what it wrote."""
        return self._log.read_text(errors="replace")[-6_000:]

    def whole_log(self) -> str:
        """All that it wrote."""
        return self._log.read_text(errors="replace")

    def warnings(self) -> list[str]:
        """The lines of its log that warn, but of what a busy machine brings by itself."""
        return [
            line
            for line in self.whole_log().splitlines()
            if " WARNING " in line and "passed on the clock of Redis since the last" not in line
        ]


def ask(
    worker: LiveWorker, *arguments: str, name: str | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run `seqd probe` as an orchestrator does beside the worker, with no Redis anywhere.

    `name` is what SEQD_WORKER says, where that is not the worker's.
    """
    variables = {name: value for name, value in worker.environment.items() if "REDIS" not in name}
    command = [sys.executable, "-m", "seqd", "probe", *arguments]
    return subprocess.run(
        command,
        env=variables | {"SEQD_WORKER": worker.name if name is None else name},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class Cluster:
    """A ledger and a model store with `echo` version 1, and the workers that a test starts."""

    #: The folder with the plugin of its workers.
    plugins = PLUGIN

    def __init__(
        self, settings: Settings, logs: Path, users: Mapping[Role, str] | None = None
    ) -> None:
        """Keep the settings, by which tests may do anything; `users` are addresses of roles."""
        self.settings = settings
        self._users = users or {}
        self.workers: list[LiveWorker] = []
        self._clients: list[Client] = []
        self._logs = logs
        self.publish_models(settings.store_dir)

    def publish_models(self, store_dir: Path) -> None:
        """Publish what its workers serve, in a store."""
        self.publish_echo(store_dir)

    def start(
        self,
        name: str = "",
        slot: Slot = SLOT,
        release: Path | None = None,
        inside: Sequence[str] = (),
        **settings: object,
    ) -> LiveWorker:
        """Start a worker, some of its settings changed; see `LiveWorker` for the others."""
        name = name or f"w{len(self.workers) + 1}"
        changed = self.settings_of(Role.WORKER, **settings)
        log = self._logs / f"{name}.log"
        worker = LiveWorker(changed, name, log, slot, release, self.plugins, inside)
        self.workers.append(worker)
        return worker

    def start_ready(
        self, name: str = "", release: Path | None = None, **settings: object
    ) -> LiveWorker:
        """Start a worker and wait until it takes work."""
        return self.start(name, release=release, **settings).wait_until_ready()

    def start_apart(self, name: str, sick: str = "", **settings: object) -> LiveWorker:
        """Start a worker with a folder of data, and a store, of its own; see `light_plugin`."""
        folder = self.folder_of(name)
        if not folder.exists():
            self.publish_echo(folder / "models")
        (folder / "sick").write_text(sick)
        return self.start(name, data_dir=folder, **settings)

    def folder_of(self, name: str) -> Path:
        """Return the folder of data of a worker that was started apart."""
        return self._logs / f"data-{name}"

    def client(self, **settings: object) -> Client:
        """Return a client of this cluster's ledger, closed with the cluster."""
        return self._opened(Role.CLIENT, settings)

    def operator(self, **settings: object) -> Client:
        """Return a client with the rights of an operator, closed with the cluster."""
        return self._opened(Role.OPERATOR, settings)

    @property
    def commands(self) -> Settings:
        """Settings for commands, which an operator gives."""
        return self.settings_of(Role.OPERATOR)

    def settings_of(self, role: Role, **settings: object) -> Settings:
        """Return settings, some of them changed, for somebody who has the rights of a role."""
        url = self._users.get(role, self.settings.redis_url)
        return self.settings.model_copy(update={"redis_url": url, **settings})

    def _opened(self, role: Role, settings: Mapping[str, object]) -> Client:
        client = Client(settings=self.settings_of(role, **settings))
        self._clients.append(client)
        return client

    def publish_catalog(self, is_away: Callable[[], bool] = lambda: False) -> None:
        """Say what workers of this cluster can run, as one that has gone since would have."""
        assert self.settings.redis_url is not None
        registry = a_registry_of([("light", light_plugin())], settings=self.settings)
        redis = connect(self.settings.redis_url)
        ledger = Ledger(redis, self.settings)
        store = ModelStore(self.settings.store_dir, {})
        publish_catalog(ledger, registry, store, is_away=is_away)
        redis.close()

    def wait_for_holder(self, job_id: str, workers: Sequence[LiveWorker]) -> LiveWorker:
        """Wait until one of the workers holds a unit of a job; return it."""
        assert self.settings.redis_url is not None
        found: list[LiveWorker] = []
        with connect(self.settings.redis_url) as redis:

            def is_held() -> bool:
                leases = redis.hvals(self.settings.keys.leases(job_id))
                names = {lease.decode().partition(" ")[2] for lease in leases}
                found[:] = [worker for worker in workers if worker.name in names]
                return bool(found)

            wait_until(is_held, f"one of {[worker.name for worker in workers]} holds a unit")
        return found[0]

    def starts_of_units(self, job_id: str) -> list[int]:
        """How often each unit of a job was claimed."""
        return self._figures(self.settings.keys.attempts(job_id))

    def crashes(self, job_id: str) -> int:
        """How many ends of a worker are counted against the units of a job."""
        return sum(self._figures(self.settings.keys.crashes(job_id)))

    def rollout_counts(self, store: ModelStore, model: str, items: int) -> dict[int, VersionCounts]:
        """Return the counts of both versions, once they are of so many items together.

        A worker counts after the commit that ends the job.
        """
        rollout = store.rollout(model)
        assert rollout is not None
        ledger, counts = self.client()._ledger, dict[int, VersionCounts]()

        def are_counted() -> bool:
            counts.update({one.version: one for one in ledger.rollouts.of(model, rollout.id)})
            return sum(one.items for one in counts.values()) >= items

        wait_until(are_counted, f"{items} items are counted")
        return counts

    def keys_of_jobs(self) -> set[str]:
        """Return all keys but those that a daemon has whatever is asked of it."""
        assert self.settings.redis_url is not None
        redis, prefix = connect(self.settings.redis_url), f"{self.settings.prefix}:"
        found = {key.decode().removeprefix(prefix) for key in redis.keys(f"{prefix}*")}
        redis.close()
        return {key for key in found if not key.startswith(STANDING_KEYS)}

    def close(self) -> None:
        """End whatever still runs."""
        for worker in self.workers:
            with suppress(ProcessLookupError):
                worker.thaw()
            worker.kill()
        for client in self._clients:
            client.close()

    def _figures(self, key: str) -> list[int]:
        assert self.settings.redis_url is not None
        redis = connect(self.settings.redis_url)
        figures = [int(figure) for figure in redis.hvals(key)]
        redis.close()
        return figures

    def publish_echo(self, store_dir: Path) -> int:
        """Publish a version of `echo` in a store; return its number."""
        return publish_file(store_dir, "echo", "echo.json", '{"records": 1}')


def publish_file(store_dir: Path, model: str, name: str, content: str) -> int:
    """Publish a version that is one file, in a store; return its number."""
    store = ModelStore(store_dir, {})
    folder = store.new_folder(model, "setup")
    (folder / name).write_text(content)
    data = DataFingerprint(description="none", records=1, sha256="0" * 64)
    draft = VersionDraft(
        model=model,
        plugin_version="1.0",
        parameters={},
        metrics={},
        data=data,
        created_at_ms=1,
    )
    return store.publish(folder, draft).version


def light_plugin() -> ModuleType:
    """Import the plugin of `light_plugin/` into this process."""
    spec = spec_from_file_location("seqd_light", PLUGIN / "seqd_light.py")
    assert spec is not None and spec.loader is not None
    light = module_from_spec(spec)
    spec.loader.exec_module(light)
    return light


def live_settings(server: Server, folder: Path) -> Settings:
    """Return settings for a cluster on a server, under a prefix that no other has."""
    prefix = f"test-{secrets.token_hex(6)}"
    return Settings(redis_url=server.url, prefix=prefix, data_dir=folder / "seqd", **QUICK)


def processes_of_group(leader_pid: int) -> list[int]:
    """List the processes that are left of a group; empty where there is no /proc."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
        if int(group) == leader_pid and state != "Z":
            found.append(int(folder.name))
    return found


_Cluster = TypeVar("_Cluster", bound=Cluster)


@contextmanager
def cluster_on(
    server: Server, folder: Path, kind: type[_Cluster] = Cluster, **settings: object
) -> Iterator[_Cluster]:
    """Yield a cluster under a prefix of its own; ends its processes and forgets its keys."""
    changed = live_settings(server, folder).model_copy(update=settings)
    with _users_on(server, changed) as users:
        own = kind(changed, folder, users)
        try:
            yield own
        finally:
            own.close()
            forget_keys(server.url, changed.prefix)


@contextmanager
def _users_on(server: Server, settings: Settings) -> Iterator[dict[Role, str]]:
    """Yield addresses of users with the rights of their roles, who were denied nothing."""
    roles = (Role.WORKER, Role.CLIENT, Role.OPERATOR, Role.INBOX)
    names = {role: f"{role}-{settings.prefix}" for role in roles}
    secret = secrets.token_hex(8)
    with redis.Redis.from_url(server.url, protocol=2) as admin:
        major, minor = str(admin.info("server")["redis_version"]).split(".")[:2]
        for role, name in names.items():
            rules = rights_of(role, settings.keys).rules((int(major), int(minor)))
            admin.execute_command("ACL", "SETUSER", name, "reset", "on", f">{secret}", *rules)
        parts = urlsplit(server.url)
        place = parts.netloc.rpartition("@")[2]  # none of a socket
        logins = {role: f"{name}:{secret}@{place}" for role, name in names.items()}
        try:
            yield {role: urlunsplit(parts._replace(netloc=login)) for role, login in logins.items()}
        finally:
            # Whether a server that may keep nothing does so, a worker asks, and need not be told.
            denied = [
                row
                for row in admin.acl_log()
                if row["username"] in names.values() and row["object"] != "config|get"
            ]
            admin.execute_command("ACL", "DELUSER", *names.values())
    assert denied == []


@pytest.fixture(scope="session")
def _shared_cluster(
    users_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with cluster_on(users_server, folder, input_roots=(folder,)) as shared:
        shared.start_ready("shared")
        yield shared


@pytest.fixture
def cluster(_shared_cluster: Cluster) -> Cluster:
    (worker,) = _shared_cluster.workers
    worker.wait_until_ready()
    return _shared_cluster


@pytest.fixture
def cure(cluster: Cluster) -> Iterator[Path]:
    file = cluster.settings.data_dir / "cured"
    yield file
    file.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def module_cluster(
    users_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    roots = {"input_roots": (folder,), "output_roots": (folder,)}
    with cluster_on(users_server, folder, **roots) as own:
        own.start_ready()
        yield own


@pytest.fixture
def own_cluster(own_server: PrivateServer, tmp_path: Path) -> Iterator[Cluster]:
    with closing(Cluster(live_settings(own_server, tmp_path), tmp_path)) as own:
        yield own


@pytest.fixture
def private_cluster(private_server: PrivateServer, tmp_path: Path) -> Iterator[Cluster]:
    with closing(Cluster(live_settings(private_server, tmp_path), tmp_path)) as own:
        yield own


@pytest.fixture
def empty_cluster(users_server: Server, tmp_path: Path) -> Iterator[Cluster]:
    with cluster_on(users_server, tmp_path) as own:
        yield own
