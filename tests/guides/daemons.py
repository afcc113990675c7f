"""The daemons that pages are followed on: none, one in this process, and a real `seqd up`."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from checkout import python_path
from cli_builders import running_daemon
from example_plugin import installed_example, runnable_examples
from held_ports import Holder, hold_port
from s3_fixtures import running_s3_server
from seqd.testing import running_services
from worker_fixtures import wait_until

#: One child that serves and one that trains, on whatever machine.
SLOTS = "cpu:0,train@cpu"


@dataclass(frozen=True)
class Daemon:
    """What runs while a page is followed."""

    #: By which a shell and this process reach it.
    variables: Mapping[str, str] = field(default_factory=dict)
    #: What stands on pages for something of this daemon, such as a job.
    names: Mapping[str, str] = field(default_factory=dict)
    #: Whether commands are typed in this process, one a line.
    is_in_process: bool = False


#: What starts a daemon in a folder, and ends it.
Start = Callable[[Path], AbstractContextManager[Daemon]]


@contextmanager
def none(folder: Path) -> Iterator[Daemon]:
    """Give none: the page needs none, or starts its own."""
    yield Daemon()


@contextmanager
def services(folder: Path) -> Iterator[Daemon]:
    """Give a daemon in this process, whose models are functions; one job has ended on it."""
    models = dict.fromkeys(("imdb_lstm", "echo", "topics"), lambda text: "positive")
    with running_services(models) as running, running.client() as client:
        job = client.classify(["a text"], model="echo")
        job.wait()
        # Each test sets them for itself: else the last one would restore what it found, when
        # another daemon runs, and all files after it would look for this one's Redis.
        variables = {
            name: os.environ.pop(name) for name in [*os.environ] if name.startswith("SEQD_")
        }
        yield Daemon(variables | {"COLUMNS": "80"}, {"JOB": job.job_id}, is_in_process=True)


@contextmanager
def bucket(folder: Path) -> Iterator[Daemon]:
    """Give a `seqd up` with the model store in a bucket."""
    holder = Holder()
    with running_s3_server() as s3:
        store = {"SEQD_STORE_URL": s3.bucket("models").url} | s3.environment
        options = ("--slots", SLOTS, "--redis-port", str(hold_port(holder)))
        with running_daemon(folder, *options, **store) as running:
            yield Daemon(
                store | {"SEQD_DATA_DIR": str(folder), "SEQD_REDIS_URL": running.port_url()}
            )


@contextmanager
def gateway(folder: Path) -> Iterator[Daemon]:
    """Give a `seqd up` with a gateway."""
    holder = Holder()
    port = str(hold_port(holder))
    with running_daemon(folder, "--slots", SLOTS, "--gateway", SEQD_GATEWAY_PORT=port):
        address = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(address), "the gateway answers")
        yield Daemon({"SEQD_DATA_DIR": str(folder), "GATEWAY": address})


def answers(address: str) -> bool:
    """Return True where a gateway answers."""
    try:
        return httpx.get(f"{address}/v1/models").is_success
    except httpx.TransportError:
        return False


@contextmanager
def up(folder: Path) -> Iterator[Daemon]:
    """Give a `seqd up` with the examples of plugins, on a port, for `redis-cli` takes no socket."""
    names = ["embed", *runnable_examples()]
    examples = [installed_example(f"seqd_{name}") for name in names]
    holder = Holder()
    port = str(hold_port(holder))
    options = ("--slots", SLOTS, "--redis-port", port)
    with running_daemon(folder, *options, PYTHONPATH=python_path(*examples)) as running:
        server = urlsplit(running.port_url())
        yield Daemon(
            {
                "PYTHONPATH": python_path(*examples),
                "SEQD_DATA_DIR": str(folder),
                "SEQD_REDIS_URL": running.port_url(),
                "REDIS_HOST": str(server.hostname),
                "REDIS_PORT": str(server.port),
                "REDISCLI_AUTH": str(server.password),
            }
        )
