"""The guide on upgrades: its commands are run, on workers and `seqd up` of two releases."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

import seqd
from checkout import release_python_path
from cli_builders import clean_environment, here
from previous_release import Release
from readme_blocks import ROOT, blocks_of
from redis_fixtures import PrivateServer
from seqd.client import Client
from seqd.ledger import connect
from seqd.settings import Settings
from seqd_schemas import ItemSuccess, JobState
from up_builders import running_up
from worker_fixtures import PLUGIN, Cluster, wait_until

# The first one waits for the previous release to be built.
pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(600)]

GUIDE = ROOT / "docker" / "upgrade.md"
TEXTS = [f"text {number}" for number in range(1_000)]
#: 10 s of work for one worker, which is more than it takes to replace one.
SLOWLY = {"delay_ms": 10.0}
SLOTS = ("cpu:0", "cpu:1")


def releases(cluster: Cluster) -> set[str]:
    with cluster.client() as client:
        return {worker.seqd_version for worker in client.workers()}


@pytest.mark.parametrize("role", ["worker", "client", "operator", "exporter", "doctor", "inbox"])
def test_a_user_with_the_rights_of_this_release_has_those_of_the_previous_one(
    settings: Settings,
    private_server: PrivateServer,
    previous: Release,
    capsys: pytest.CaptureFixture[str],
    role: str,
) -> None:
    # The guide gives the new rights first, and then replaces programs one by one.
    version = ".".join(map(str, private_server.binary.version))
    printed = here(
        capsys, "redis", "acl", "--role", role, "--prefix", settings.prefix, "--json",
        "--server-version", version,
    )  # fmt: skip
    rules = json.loads(printed.out)["rules"]
    with connect(private_server.url) as admin:
        admin.execute_command("ACL", "SETUSER", role, "reset", "on", ">secret", *rules)
    url = f"redis://{role}:secret@127.0.0.1:{private_server.port}/0"
    own = settings.model_copy(update={"redis_url": url})

    checked = previous.command(own, "redis", "acl", "--role", role, "--check")

    assert checked.splitlines()[0] == "Missing: none"


def test_the_guides_loop_replaces_the_workers_of_the_previous_release_under_load(
    empty_cluster: Cluster, previous: Release, tmp_path: Path
) -> None:
    names = [f"{slot}@{socket.gethostname()}" for slot in SLOTS]
    for name in names:
        empty_cluster.start(name, release=previous.folder)
    for worker in empty_cluster.workers:
        worker.wait_until_ready()
    before = releases(empty_cluster)
    job = empty_cluster.client().classify(TEXTS, model="echo", parameters=SLOWLY)
    wait_until(lambda: job.record().counts.done > 0, "the job has begun")
    (loop,) = (block for block in blocks_of(GUIDE, "sh") if block.file == "upgrade-workers.sh")

    with a_systemd(empty_cluster, tmp_path) as environment:
        ended = subprocess.run(
            ["bash", "-euc", loop.text],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    record = job.wait(timeout_s=120)

    assert ended.returncode == 0, ended.stderr
    assert before == {previous.version}
    assert releases(empty_cluster) == {seqd.__version__}
    assert "releases of seqd are up" not in ended.stdout
    assert record.state is JobState.COMPLETED
    assert [one.output.label for one in job.results() if isinstance(one, ItemSuccess)] == TEXTS


@contextmanager
def a_systemd(cluster: Cluster, folder: Path) -> Iterator[dict[str, str]]:
    """Stand in for systemd: yields an environment whose `systemctl` ends the worker of a unit.

    It is started again, as a worker of this release, under its name.
    """
    units = folder / "units"
    units.mkdir()
    for worker in cluster.workers:
        (units / worker.name.partition("@")[0]).write_text(str(worker.pid))
    scripts = folder / "bin"
    scripts.mkdir()
    for name, text in {
        "systemctl": 'pid=$(cat "$UNITS/${2#seqd-worker@}"); kill "$pid"\n'
        'while kill -0 "$pid" 2> /dev/null; do sleep 0.05; done',
        "seqd": f'exec "{sys.executable}" -P -m seqd "$@"',
    }.items():
        (scripts / name).write_text(f"#!/bin/sh\n{text}\n")
        (scripts / name).chmod(0o755)
    stop = Event()
    supervisors = [
        Thread(target=start_again, args=(cluster, worker.name, stop)) for worker in cluster.workers
    ]
    for thread in supervisors:
        thread.start()
    try:
        yield clean_environment(
            SEQD_REDIS_URL=str(cluster.settings.redis_url),
            SEQD_PREFIX=cluster.settings.prefix,
            SEQD_DATA_DIR=str(cluster.settings.data_dir),
            PATH=f"{scripts}{os.pathsep}{os.environ['PATH']}",
            UNITS=str(units),
            SLOTS=" ".join(SLOTS),
        )
    finally:
        stop.set()
        for thread in supervisors:
            thread.join()


def start_again(cluster: Cluster, name: str, stop: Event) -> None:
    worker = next(one for one in cluster.workers if one.name == name)
    while not stop.wait(0.05):
        if not worker.is_up():
            cluster.start(name)
            return


@pytest.mark.parametrize(
    "upgrades",
    [
        pytest.param(True, id="upgrade"),
        pytest.param(False, id="downgrade", marks=pytest.mark.long),
    ],
)
def test_a_seqd_up_goes_on_with_what_one_of_the_other_release_left(
    previous: Release, tmp_path: Path, upgrades: bool
) -> None:
    old, new = {"PYTHONPATH": release_python_path(previous.folder, PLUGIN)}, None
    first, second = (old, new) if upgrades else (new, old)
    with running_up(tmp_path, others=first) as up, Client(settings=up.settings) as client:
        job = client.classify(TEXTS, model="echo", parameters=SLOWLY)
        wait_until(lambda: job.record().counts.done > 0, "the job has begun")
        before = {worker.seqd_version for worker in client.workers()}

    with running_up(tmp_path, others=second) as up, Client(settings=up.settings) as client:
        again = client.job(job.job_id)
        record = again.wait(timeout_s=120)
        after = {worker.seqd_version for worker in client.workers()}
        results = list(again.results())

    assert {*before, *after} == {previous.version, seqd.__version__}
    assert record.state is JobState.COMPLETED
    assert [one.output.label for one in results if isinstance(one, ItemSuccess)] == TEXTS
