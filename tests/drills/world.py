"""What runs on the hosts of a drill: workers, one S3 server, and beside them one Redis.

Redis is where this program is. Workers have the settings that seqd has by default, and each a
folder of data of its own; the model store is a bucket.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock
from urllib.parse import urlsplit, urlunsplit

from cli_builders import clean_environment
from drills.network import ADDRESS, Host, Network
from redis_fixtures import PrivateServer, installed_servers
from s3_fixtures import Bucket, running_s3_server
from seqd.ledger.acl import Role
from seqd.local.slots import parse_slot
from seqd.models.store import ModelStore
from seqd.settings import Settings
from store_builders import publish
from tcp_proxy import TcpProxy
from worker_fixtures import BY_DEFAULT, Cluster, LiveWorker, cluster_on


class SharedRedis(PrivateServer):
    """A Redis that listens on the switch."""

    @property
    def url(self) -> str:
        """Its address, as hosts have it."""
        parts = urlsplit(super().url)
        login = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{login}@{ADDRESS}:{self.port}"))


@dataclass(frozen=True)
class Machine:
    """A host and its worker."""

    host: Host
    worker: LiveWorker


@dataclass
class World:
    """All that a drill is done on."""

    network: Network
    cluster: Cluster
    bucket: Bucket
    #: The host of the S3 server.
    store: Host
    folder: Path
    #: The way to Redis of hosts that are started from now on.
    relay: TcpProxy | None = None

    def start(
        self,
        name: str,
        slot: str = "all@cpu:0",
        *,
        release: Path | None = None,
        through: Sequence[str] = (),
        **settings: object,
    ) -> Machine:
        """Start a worker on a host of this name; `through` is what starts it there."""
        host = self.network.add_host(name)
        own = {
            "data_dir": self.folder_of(name),
            "store_url": None if release else self.bucket.url,
            "redis_url": self._url_of(self.cluster.settings_of(Role.WORKER)),
        }
        inside = (*host.inside, *through)
        worker = self.cluster.start(
            f"cpu:0@{name}", parse_slot(slot), release, inside, **own | settings
        )
        return Machine(host, worker)

    def start_two(self) -> tuple[Machine, Machine]:
        """Start two workers that do everything, and wait until they take work."""
        both = (self.start("alpha"), self.start("beta"))
        for one in both:
            one.worker.wait_until_ready()
        return both

    def folder_of(self, name: str) -> Path:
        """Return the folder of data of a host."""
        return self.folder / f"data-{name}"

    def model_store(self) -> ModelStore:
        """Return the store as it is in the bucket now."""
        store = ModelStore.of(self.bucket.settings(self.folder_of("operator")), {})
        store.refresh()
        return store

    def publish(self) -> None:
        """Publish a version of `echo` in the bucket."""
        publish(self.model_store(), "echo")

    @contextmanager
    def credentials(self, variables: Mapping[str, str]) -> Iterator[None]:
        """Have what is started in the block talk to the S3 server as another user."""
        with mock.patch.dict(os.environ, variables):
            yield

    def doctor(self, where: Machine | None = None) -> dict[str, str]:
        """Return what `seqd doctor` finds on a host, or where Redis is, by its identifier."""
        inside, name = (where.host.inside, where.host.name) if where else ((), "operator")
        printed = subprocess.run(
            [*inside, sys.executable, "-P", "-m", "seqd", "doctor", "--json"],
            env=clean_environment(
                SEQD_REDIS_URL=self._url_of(self.cluster.settings),
                SEQD_PREFIX=self.cluster.settings.prefix,
                SEQD_DATA_DIR=str(self.folder_of(name)),
                SEQD_STORE_URL=self.bucket.url,
            ),
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        return {one["id"]: one["what"] for one in json.loads(printed)["findings"]}

    def _url_of(self, settings: Settings) -> str:
        parts = urlsplit(str(settings.redis_url))
        login, _, place = parts.netloc.rpartition("@")
        if self.relay is not None:
            place = f"{ADDRESS}:{self.relay.port}"
        return urlunsplit(parts._replace(netloc=f"{login}@{place}"))


@contextmanager
def a_world(folder: Path) -> Iterator[World]:
    """Start Redis and the S3 server; all has ended when the block ends."""
    with Network() as network, _running_redis(folder) as redis:
        store = network.add_host("store")
        with (
            running_s3_server(store.address, store.inside) as s3,
            cluster_on(redis, folder, **BY_DEFAULT) as cluster,
        ):
            os.environ.update(s3.environment)
            yield World(network, cluster, s3.bucket("models"), store, folder)


@contextmanager
def _running_redis(folder: Path) -> Iterator[SharedRedis]:
    redises = [one for one in installed_servers() if one.kind == "redis"]
    newest = max(redises, key=lambda binary: binary.version)
    redis = SharedRedis(newest, folder, (f"bind {ADDRESS}",))
    try:
        redis.start()
        yield redis
    finally:
        redis.stop()
