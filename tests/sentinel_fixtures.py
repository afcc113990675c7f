"""A primary, two replicas and three Sentinels, all real and on loopback; a plugin of `conftest`.

    sentinels       such a group for this test alone, which may kill, freeze and start its servers
    lone_sentinel   one Sentinel, whose servers do not run

They are set up as the operator's guide says: a primary takes writes while a replica confirms them,
which needs two replicas, so that the next primary has one. The Sentinels take a server for dead
that has been silent for `DOWN_AFTER_MS`. Every process of the group ends with its fixture.
"""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from held_ports import hold_port
from redis_fixtures import installed_servers
from seqd.local.parent_death import launch_command
from seqd.local.redis_binaries import ServerBinary
from seqd.local.redis_server import LOOPBACK

#: Seconds until all know each other: a Sentinel asks a server for its replicas every 10 s.
START_TIMEOUT_S = 120.0

#: Seconds that a failover may take on a busy machine, where the Sentinels do nothing for 30 s, and
#: vote again 10 s after votes that were split.
FAILOVER_S = 120.0

#: Milliseconds of silence after which a Sentinel takes a server for dead. One that had no processor
#: for 2 s does nothing for 30 s (TILT). In the place of a primary that died meanwhile it then takes
#: no replica whose link was down for longer than ten times these milliseconds.
DOWN_AFTER_MS = 4_000

SERVERS = 3

#: Seconds without a replica's word after which a primary takes no more writes.
MAX_LAG_S = 10

MASTER_NAME = "mymaster"
PASSWORD = "primary-secret"
SENTINEL_PASSWORD = "sentinel-secret"


@dataclass
class Program:
    """One server or Sentinel, on a port that it keeps."""

    command: list[str]
    port: int
    password: str
    log: Path
    _process: "subprocess.Popen[bytes] | None" = None

    def client(self) -> redis.Redis:
        return redis.Redis(host=LOOPBACK, port=self.port, password=self.password, socket_timeout=10)

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                launch_command(self.command, signal.SIGKILL),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        wait_for(self._answers, f"port {self.port} answers", self.text)

    def kill(self) -> None:
        """End it as a crash would; does nothing when it has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Make it hang: connections stay open, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def role(self) -> str:
        """What it takes itself for: `master` or `slave`."""
        with self.client() as client:
            return client.role()[0].decode()

    def good_replicas(self) -> int:
        """How many replicas it has heard of lately; that counts for min-replicas-to-write."""
        with self.client() as client:
            return int(client.info("replication")["min_slaves_good_slaves"])

    def replicated(self) -> int:
        """How much of what its primary writes it has, as the primary counts it."""
        with self.client() as client:
            return int(client.info("replication")["slave_repl_offset"])

    def text(self) -> str:
        """What it has written."""
        return self.log.read_text(errors="replace")[-4_000:]

    def _answers(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self.text()
        with self.client() as client, suppress(redis.RedisError):
            return bool(client.ping())
        return False


class SentinelGroup:
    """Three servers, one of which is the primary, and three Sentinels that watch them."""

    def __init__(
        self,
        binary: ServerBinary,
        folder: Path,
        *,
        sentinel_password: str = "",
        down_after_ms: int = DOWN_AFTER_MS,
    ) -> None:
        self.binary = binary
        self._folder = folder
        self._down_after_ms = down_after_ms
        self.sentinel_password = sentinel_password
        self.servers = [self._a_server(number) for number in range(SERVERS)]
        self.sentinels = [self._a_sentinel(number) for number in range(3)]

    @property
    def url(self) -> str:
        return self.url_of(MASTER_NAME)

    def url_of(self, name: str) -> str:
        hosts = ",".join(f"{LOOPBACK}:{one.port}" for one in self.sentinels)
        return f"redis+sentinel://:{PASSWORD}@{hosts}/{name}/0"

    def start(self) -> None:
        """Start all, and wait until each Sentinel knows the replicas and the other Sentinels."""
        for server in self.servers:
            server.start()
        for server in self.servers[1:]:
            with server.client() as replica:
                replica.replicaof(LOOPBACK, str(self.servers[0].port))
        # A Sentinel that finds fewer replicas looks again after 10 s only.
        wait_for(self._has_replicas, "the replicas are linked", self.servers[0].text)
        for sentinel in self.sentinels:
            sentinel.start()
        for sentinel in self.sentinels:
            wait_for(lambda one=sentinel: _is_ready(one), "the Sentinels know all", sentinel.text)

    def primary(self) -> Program:
        """Return the server that is the primary now, as the Sentinels have it."""
        for sentinel in self.sentinels:
            with sentinel.client() as client, suppress(redis.RedisError):
                _, port = client.sentinel_get_master_addr_by_name(MASTER_NAME)
                return next(server for server in self.servers if server.port == port)
        raise AssertionError("no Sentinel answers")

    def replicas(self) -> list[Program]:
        """Return the servers that are not the primary."""
        primary = self.primary()
        return [server for server in self.servers if server is not primary]

    def wait_for_failover(self, former: Program) -> None:
        """Wait until another than `former` is the primary and takes writes."""

        def is_over() -> bool:
            now = self.primary()
            return now is not former and now.role() == "master"

        wait_for(is_over, "another primary", self.sentinels[0].text, FAILOVER_S)

    def wait_until_replicated(self) -> None:
        """Wait until both replicas have all that the primary has: each may be the next one."""
        with self.primary().client() as client:
            written = client.info("replication")["master_repl_offset"]
        for replica in self.replicas():
            wait_for(
                lambda one=replica: one.replicated() >= written, "a replica has it", replica.text
            )

    def wait_until_known_as_down(self, sentinel: Program, others: int) -> None:
        """Wait until a Sentinel takes the primary, and so many other Sentinels, for dead."""

        def is_known() -> bool:
            with sentinel.client() as client:
                dead = [one["is_sdown"] for one in client.sentinel_sentinels(MASTER_NAME)]
                is_down = client.sentinel_masters()[MASTER_NAME]["is_sdown"]
            return bool(is_down) and sum(dead) == others

        wait_for(is_known, "it knows of what is dead", sentinel.text)

    def _has_replicas(self) -> bool:
        with self.servers[0].client() as client:
            replication = client.info("replication")
        linked = [replication.get(f"slave{number}", {}) for number in range(SERVERS - 1)]
        return all(one.get("state") == "online" for one in linked)

    def kill(self) -> None:
        """End all processes."""
        for program in (*self.sentinels, *self.servers):
            program.kill()

    def _a_server(self, number: int) -> Program:
        port = hold_port(self)
        folder = self._folder / f"server-{number}"
        folder.mkdir()
        config = folder / "server.conf"
        config.write_text(
            f"port {port}\nbind {LOOPBACK}\ndir {folder}\nrequirepass {PASSWORD}\n"
            f"masterauth {PASSWORD}\nappendonly yes\nmaxmemory 256mb\n"
            "maxmemory-policy noeviction\nrepl-diskless-sync-delay 0\n"
            f"min-replicas-to-write 1\nmin-replicas-max-lag {MAX_LAG_S}\n"
        )
        return Program([str(self.binary.path), str(config)], port, PASSWORD, folder / "log")

    def _a_sentinel(self, number: int) -> Program:
        port = hold_port(self)
        folder = self._folder / f"sentinel-{number}"
        folder.mkdir()
        config = folder / "sentinel.conf"
        login = f"requirepass {self.sentinel_password}\n" if self.sentinel_password else ""
        config.write_text(
            f"port {port}\nbind {LOOPBACK}\ndir {folder}\n{login}"
            f"sentinel monitor {MASTER_NAME} {LOOPBACK} {self.servers[0].port} 2\n"
            f"sentinel auth-pass {MASTER_NAME} {PASSWORD}\n"
            f"sentinel down-after-milliseconds {MASTER_NAME} {self._down_after_ms}\n"
            f"sentinel failover-timeout {MASTER_NAME} 5000\n"
        )
        command = [str(self.binary.path), str(config), "--sentinel"]
        return Program(command, port, self.sentinel_password, folder / "log")


def _is_ready(sentinel: Program) -> bool:
    with sentinel.client() as client, suppress(redis.RedisError):
        state = client.sentinel_masters()[MASTER_NAME]
        replicas = client.sentinel_slaves(MASTER_NAME)
        linked = sum(one["master-link-status"] == "ok" for one in replicas)
        return state["num-other-sentinels"] == 2 and linked == SERVERS - 1
    return False


def wait_for(
    holds: Callable[[], bool],
    what: str,
    log: Callable[[], str],
    timeout_s: float = START_TIMEOUT_S,
) -> None:
    """Wait for something that must come; fails with `what`, and what a program wrote."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}\n{log()}"
        time.sleep(0.02)


@pytest.fixture
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelGroup]:
    group = SentinelGroup(installed_servers()[0], tmp_path_factory.mktemp("sentinels"))
    try:
        group.start()
        yield group
    finally:
        group.kill()


@pytest.fixture
def lone_sentinel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelGroup]:
    group = SentinelGroup(installed_servers()[0], tmp_path_factory.mktemp("sentinel"))
    del group.sentinels[1:]
    try:
        group.sentinels[0].start()
        yield group
    finally:
        group.kill()
