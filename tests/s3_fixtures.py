"""A real server of S3's protocol for tests, on loopback; a plugin that `conftest` loads.

    s3_server    one for the whole run, which checks signatures and rights
    bucket       a bucket of the test's own, which the environment's credentials may write

`obliging_server` is one that keeps to no condition, `silent_server` one that denies without a
reason. A server ends with its fixture, and with the
test run if that is killed.
"""

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from held_ports import Holder, hold_port
from seqd.local.parent_death import launch_command
from seqd.local.redis_server import LOOPBACK
from seqd.settings import Settings
from worker_fixtures import wait_until

#: Requests that need no rights yet: users with rights of their own are made by them.
FREE_REQUESTS = 3

READS = ["s3:GetObject", "s3:ListBucket"]

TOGGLES = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass
class S3Server:
    """A server, and the credentials of two users: one may do anything, the other read."""

    url: str
    #: Holds its port.
    holder: Holder
    writer: dict[str, str] = field(default_factory=dict)
    reader: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables of a program that may do anything."""
        return TOGGLES | self.writer | {"AWS_ENDPOINT_URL_S3": self.url}

    def bucket(self, name: str) -> "Bucket":
        """Make a bucket."""
        made = Bucket(self, name)
        made.s3.create_bucket(Bucket=name)
        return made

    def client(self, service: str, credentials: Mapping[str, str]) -> Any:
        """Return a client of Amazon's own library."""
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
        )

    def make_user(self, name: str, actions: list[str]) -> dict[str, str]:
        """Make a user; three requests."""
        nobody = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
        iam = self.client("iam", self.writer or nobody)
        iam.create_user(UserName=name)
        self.allow(iam, name, actions)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }

    def allow(self, iam: Any, name: str, actions: list[str]) -> None:
        """Give a user these rights alone; one request."""
        rights = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [rights]})
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy)

    def a_reader(self) -> "User":
        """Make a user that may read, and more later."""
        name = f"user-{secrets.token_hex(4)}"
        return User(self, name, self.make_user(name, READS))


@dataclass(frozen=True)
class User:
    """A user whose rights change."""

    server: S3Server
    name: str
    credentials: dict[str, str]

    def allow(self, actions: list[str]) -> None:
        """Give the user these rights alone."""
        self.server.allow(self.server.client("iam", self.server.writer), self.name, actions)


@dataclass(frozen=True)
class Bucket:
    """A bucket that is a test's own."""

    server: S3Server
    name: str

    @property
    def url(self) -> str:
        """Return where a store is to be, a folder of the bucket."""
        return f"s3://{self.name}/seqd"

    def settings(self, data_dir: Path, **changes: object) -> Settings:
        """Return settings of a host with this folder of data."""
        return Settings.model_validate({"data_dir": data_dir, "store_url": self.url} | changes)

    @property
    def s3(self) -> Any:
        """Return a client that may do anything."""
        return self.server.client("s3", self.server.writer)

    def names(self, folder: str = "") -> list[str]:
        """Return the objects of the store below a folder."""
        found = self.s3.list_objects_v2(Bucket=self.name, Prefix=f"seqd/{folder}")
        return [one["Key"].removeprefix("seqd/") for one in found.get("Contents", ())]

    def put(self, name: str, content: bytes) -> None:
        """Put an object, whatever was there."""
        self.s3.put_object(Bucket=self.name, Key=f"seqd/{name}", Body=content)

    def read(self, name: str) -> bytes:
        """Return what an object holds."""
        content: bytes = self.s3.get_object(Bucket=self.name, Key=f"seqd/{name}")["Body"].read()
        return content

    def remove(self, name: str) -> None:
        """Remove an object."""
        self.s3.delete_object(Bucket=self.name, Key=f"seqd/{name}")


def answers(address: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((address, port), timeout=5):
        return True
    return False


@contextmanager
def running_s3_server(address: str = LOOPBACK, inside: Sequence[str] = ()) -> Iterator[S3Server]:
    """Run a server until the block ends; `inside` goes before its command, as of another host."""
    port = hold_port(holder := Holder())
    command = [*inside, sys.executable, "-m", "moto.server", "-H", address, "-p", str(port)]
    process = subprocess.Popen(
        launch_command(command),
        env=os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": str(FREE_REQUESTS)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = S3Server(f"http://{address}:{port}", holder)
    try:
        wait_until(lambda: answers(address, port), "the server of S3 is up")
        server.writer = server.make_user("writer", ["*"])
        server.reader = server.make_user("reader", READS)
        yield server
    finally:
        process.terminate()
        process.wait()


class Answering(BaseHTTPRequestHandler):
    """Reads each request to its end, and answers as `answered` says: a status and a content."""

    protocol_version = "HTTP/1.1"

    def answered(self) -> tuple[int, bytes]:
        raise NotImplementedError

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, content = self.answered()
        self.send_response(status)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Log nothing."""


class _Obliging(Answering):
    """Holds nothing, and puts whatever it is given, as servers do that know no conditions."""

    def answered(self) -> tuple[int, bytes]:
        if self.command == "GET" and "list-type" in self.path:
            return 200, b"<ListBucketResult/>"
        nothing = b"" if self.command == "HEAD" else b"<Error><Code>NoSuchKey</Code></Error>"
        return (200, b"") if self.command == "PUT" else (404, nothing)


class _Silent(Answering):
    """Denies everything and gives no reason, as proxies do."""

    def answered(self) -> tuple[int, bytes]:
        return 403, b""


@contextmanager
def serving(handler: type[Answering]) -> Iterator[str]:
    """Run a server of our own until the block ends; give its URL."""
    with ThreadingHTTPServer((LOOPBACK, 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://{LOOPBACK}:{server.server_port}"
        finally:
            server.shutdown()


def obliging_server() -> AbstractContextManager[str]:
    """Run a server that keeps to no condition until the block ends; give its URL."""
    return serving(_Obliging)


def silent_server() -> AbstractContextManager[str]:
    """Run a server that denies without a reason until the block ends; give its URL."""
    return serving(_Silent)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    pytest.importorskip("moto", reason="install moto[server], of the extra dev")
    with running_s3_server() as server:
        yield server


@pytest.fixture
def bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server.bucket(f"models-{secrets.token_hex(4)}")
