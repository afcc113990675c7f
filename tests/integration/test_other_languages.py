"""The programs of `schemas/README.md` in other languages, as they stand there.

Each is started before any worker is, loses its connection while it waits for events, and must
come to its results nevertheless. What they need beside their toolchain is downloaded by npm and Go.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from readme_blocks import ROOT, blocks_of
from seqd.ledger import connect
from tcp_proxy import TcpProxy
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes

GUIDE = ROOT / "schemas" / "README.md"

#: Seconds for a download or a compiler, and for a program.
_TOOL_S, _PROGRAM_S = 180.0, 60.0

NODE_PACKAGES = ("redis@6", "json-schema-to-typescript@16", "typescript@7", "@types/node@24")
GO_PACKAGE = "github.com/redis/go-redis/v9"


def tool(name: str) -> str:
    """Return the path of a tool of the system; skips the test without it."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed here")
    return path


def write_block(language: str, folder: Path) -> Path:
    """Write the guide's program in a language, on the model that the tests' workers have."""
    (block,) = (block for block in blocks_of(GUIDE, language) if "classify" in block.file.lower())
    path = folder / block.file
    path.write_text(block.text.replace("imdb_lstm", "echo"))
    return path


def download(command: list[str], folder: Path) -> None:
    """Run a command that downloads; skips the test where its registry cannot be reached."""
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=_TOOL_S, check=False
    )
    if ended.returncode != 0:
        pytest.skip(f"{Path(command[0]).name} could not download what the program needs")


@pytest.fixture(scope="module")
def node_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which Node finds the packages that the guide names."""
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text('{"private": true}')
    download([tool("npm"), "install", "--no-audit", "--no-fund", *NODE_PACKAGES], folder)
    return folder


@dataclass(frozen=True)
class Followed:
    """What a program printed, of a job whose events it followed over a lost connection."""

    lines: list[str]
    err: str


def follow_over_a_lost_connection(cluster: Cluster, command: list[str], folder: Path) -> Followed:
    """Run a program that hands a job in; break its connection; only then start a worker."""
    assert cluster.settings.redis_url is not None
    with TcpProxy(cluster.settings.redis_url) as proxy, connect(proxy.url) as redis:
        program = subprocess.Popen(
            command,
            cwd=folder,
            env={
                **os.environ,
                "SEQD_REDIS_URL": proxy.url,
                "SEQD_PREFIX": cluster.settings.prefix,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            inbox = cluster.settings.keys.inbox()
            wait_until(lambda: redis.xlen(inbox) == 1, "the job is in the inbox", _PROGRAM_S)
            wait_until(
                lambda: any(one["cmd"] == "xread" for one in redis.client_list()),
                "it follows the events",
            )
            proxy.cut()
            cluster.start("worker")
            out, err = program.communicate(timeout=_PROGRAM_S)
        finally:
            program.kill()
    assert program.returncode == 0, f"{out}\n{err}"
    return Followed(out.splitlines(), err)


RESULTS = [
    "r1 A wonderful film, moving and beautifully acted.",
    "r2 Dull, badly written, a waste of two hours.",
]


def assert_events_then_results(told: Followed) -> None:
    events = [line.strip() for line in told.lines[:-2]]
    assert (events[0], events[-1]) == ("queued", "completed")
    assert events.count("queued") == events.count("completed") == 1
    assert told.lines[-2:] == RESULTS


def test_the_program_in_node_can_be_read_by_node(tmp_path: Path) -> None:
    path = write_block("js", tmp_path)

    checked = subprocess.run(
        [tool("node"), "--check", str(path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_program_in_node_hands_a_job_in_and_reads_its_results(
    node_project: Path, empty_cluster: Cluster
) -> None:
    path = write_block("js", node_project)

    told = follow_over_a_lost_connection(empty_cluster, [tool("node"), str(path)], node_project)

    assert_events_then_results(told)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_program_in_go_hands_a_job_in_and_reads_its_results(
    empty_cluster: Cluster, tmp_path: Path
) -> None:
    go = tool("go")
    write_block("go", tmp_path)
    subprocess.run([go, "mod", "init", "example"], cwd=tmp_path, capture_output=True, check=True)
    download([go, "get", GO_PACKAGE], tmp_path)
    built = subprocess.run(
        [go, "build", "-o", "example", "."], cwd=tmp_path, capture_output=True, timeout=_TOOL_S
    )
    assert built.returncode == 0, built.stderr

    told = follow_over_a_lost_connection(empty_cluster, [str(tmp_path / "example")], tmp_path)

    assert_events_then_results(told)


@pytest.mark.slow
def test_a_program_in_java_hands_a_job_in_and_reads_its_results(
    empty_cluster: Cluster, tmp_path: Path
) -> None:
    tool("javac")  # `java` alone cannot run a source
    path = write_block("java", tmp_path)

    told = follow_over_a_lost_connection(empty_cluster, [tool("java"), str(path)], tmp_path)

    records = [json.loads(line) for line in told.lines]
    events = [record["event"] for record in records if "event" in record]
    results = [record for record in records if "custom_id" in record]
    assert (events[0], events[-1]) == ("queued", "completed")
    assert [f"{one['custom_id']} {one['output']['label']}" for one in results] == RESULTS


@pytest.fixture(scope="module")
def types(node_project: Path) -> Iterator[Path]:
    """The project with the types that a generator makes of the JSON Schemas."""
    schemas = ROOT / "schemas" / "json" / "*.json"
    generator = node_project / "node_modules" / ".bin" / "json2ts"
    subprocess.run(
        [str(generator), "--ignoreMinAndMaxItems", "-i", str(schemas), "-o", "types"],
        cwd=node_project,
        check=True,
        timeout=_TOOL_S,
    )
    return node_project


def compile_types(project: Path, name: str) -> str:
    """Return what the compiler of TypeScript says of a file."""
    compiler = project / "node_modules" / ".bin" / "tsc"
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext"]
    ended = subprocess.run(
        [str(compiler), *options, name],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=_TOOL_S,
        check=False,
    )
    return ended.stdout + ended.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_types_that_are_generated_fit_the_guides_typescript(types: Path) -> None:
    (block,) = blocks_of(GUIDE, "ts")
    (types / block.file).write_text(block.text)

    assert compile_types(types, block.file) == ""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_types_that_are_generated_refuse_a_wrong_request(types: Path) -> None:
    (block,) = blocks_of(GUIDE, "ts")
    (types / "wrong.ts").write_text(block.text.replace("custom_id:", "customId:"))

    assert "'customId' does not exist in type 'Item'" in compile_types(types, "wrong.ts")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_type_that_is_generated_has_a_name_of_its_own(types: Path) -> None:
    lines = [
        line
        for path in (types / "types").glob("*.d.ts")
        for line in path.read_text().splitlines()
        if line.startswith("export ")
    ]

    names = [line.split()[2].strip("={") for line in lines]
    assert [name for name in names if name[-1].isdigit() or name.endswith("Schema1")] == []
    assert {"Job", "Event", "ItemResult", "InboxAnswer", "JobRecord"} <= set(names)
