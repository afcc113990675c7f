"""The embedded server on a Unix socket: nobody else can take its place and be sent its password."""

import os
import signal
import socket
import stat
import tempfile
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest
import redis

from async_builders import face_of
from held_ports import Holder, hold_port
from seqd.errors import RedisFull
from seqd.ledger import connect, redis_errors
from seqd.local.endpoint import ENDPOINT_NAME, answers, read_endpoint, redis_url_of
from seqd.local.redis_access import RedisAccess
from seqd.local.redis_server import Answer, EmbeddedServer
from seqd.local.redis_socket import MAX_PATH_BYTES
from seqd.settings import Settings
from seqd_schemas import ItemSuccess
from worker_fixtures import QUICK, Cluster, wait_until

pytestmark = pytest.mark.processes


class Stranger:
    """Another program that listens on a port and keeps what it is sent."""

    def __init__(self, port: int) -> None:
        self.received = b""
        self._server = socket.create_server(("127.0.0.1", port))
        Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
                with connection:
                    self.received += connection.recv(4_096)
            except OSError:
                return

    def close(self) -> None:
        self._server.close()


@pytest.mark.parametrize("names_a_port", [False, True])
def test_who_takes_the_port_of_a_crashed_server_is_sent_no_password(
    tmp_path: Path, names_a_port: bool
) -> None:
    holder = Holder()
    settings = Settings(data_dir=tmp_path, redis_port=hold_port(holder) if names_a_port else 0)
    with EmbeddedServer(settings) as server, connect(server.url, retries=0) as client:
        client.ping()
        port = settings.redis_port or int(client.config_get("port")["port"])
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: server.exit_status() is not None, "the server has ended")
        # On port 0 nothing can be taken: the stranger gets any port, and nobody comes.
        stranger = Stranger(port)

        try:
            assert server.answer() is Answer.NONE
            assert not answers(server.url)
            with pytest.raises(redis.ConnectionError):
                client.ping()
        finally:
            stranger.close()

    assert stranger.received == b""


def test_the_socket_is_its_users_alone_and_goes_with_the_server(tmp_path: Path) -> None:
    with EmbeddedServer(Settings(data_dir=tmp_path)) as server:
        path = Path(connect(server.url).connection_pool.connection_kwargs["path"])
        mode = stat.S_IMODE(path.parent.stat().st_mode)

        assert (path.parent.stat().st_uid, mode) == (os.getuid(), 0o700)
        assert server.port == 0

    assert not path.exists()


def test_a_folder_whose_path_is_too_long_for_a_socket_has_it_elsewhere(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "long" / ("x" * MAX_PATH_BYTES))

    with EmbeddedServer(settings) as server:
        path = Path(connect(server.url).connection_pool.connection_kwargs["path"])
        assert path.parent.parent == Path(tempfile.gettempdir())
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert redis_url_of(settings) == server.url

    assert not path.parent.exists()


def test_where_no_path_is_short_enough_it_listens_on_a_port_and_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / ("x" * MAX_PATH_BYTES)
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    with EmbeddedServer(Settings(data_dir=temporary / "data")) as server:
        assert server.url.startswith("redis://")
        assert list(temporary.iterdir()) == [temporary / "data"]


def test_a_folder_with_signs_of_an_address_in_its_name_is_found(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="é @%41?db=2#:", dir="/tmp"))
    try:
        with EmbeddedServer(Settings(data_dir=folder)) as server, connect(server.url) as client:
            assert client.ping()
            path = client.connection_pool.connection_kwargs["path"]
            assert path == str(folder / "redis" / "redis.sock")
    finally:
        for file in sorted(folder.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        folder.rmdir()


def test_a_refusal_names_where_the_server_of_a_folder_listens(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with (
        EmbeddedServer(settings) as server,
        connect(server.url, access=RedisAccess.of(settings)) as client,
    ):
        path = connect(server.url).connection_pool.connection_kwargs["path"]
        client.config_set("maxmemory", 1)
        with pytest.raises(RedisFull) as full, redis_errors(client):
            client.set("name", "value")

    assert str(full.value).startswith(f"Redis at {path} has reached its maxmemory. ")


def test_a_server_with_a_port_listens_there_too(tmp_path: Path) -> None:
    holder = Holder()
    port = hold_port(holder)

    with EmbeddedServer(Settings(data_dir=tmp_path, redis_port=port)) as server:
        endpoint = read_endpoint(server.folder / ENDPOINT_NAME)
        assert endpoint is not None and endpoint.url == server.url
        assert str(endpoint.port_url).endswith(f"@127.0.0.1:{port}/0")
        with redis.Redis.from_url(str(endpoint.port_url)) as client:
            assert client.ping()
        assert server.port == port


@pytest.mark.slow
def test_a_worker_and_a_client_share_a_database_behind_a_socket(tmp_path: Path) -> None:
    with EmbeddedServer(Settings(data_dir=tmp_path / "server")) as server:
        settings = Settings(redis_url=f"{server.url}?db=3", data_dir=tmp_path / "seqd", **QUICK)
        with closing(Cluster(settings, tmp_path)) as cluster:
            cluster.start_ready()
            job = cluster.client().classify(["a", "b"], model="echo")

            assert all(isinstance(result, ItemSuccess) for result in job.results())
            with face_of(cluster, "async") as asked:
                record = asked.do(lambda: asked.client.job(job.job_id).record())
            assert record.counts.succeeded == 2
            with connect(server.url) as other:
                assert other.dbsize() == 0
