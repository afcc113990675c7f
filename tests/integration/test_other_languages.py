"""The programs of `schemas/languages.md` in other languages, as they stand in `schemas/examples/`.

Each is started before any worker is, loses its connection while it waits for events, and must
come to its results nevertheless. What they need beside their toolchain is downloaded by npm and Go.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy_files import tool
from downloads import TOOL_S, download, install_for_node
from readme_blocks import ROOT, blocks_of
from seqd.ledger import connect
from seqd.local.endpoint import ENDPOINT_NAME, read_endpoint
from seqd.local.redis_server import EmbeddedServer
from seqd.settings import Settings
from tcp_proxy import TcpProxy
from worker_fixtures import QUICK, Cluster, wait_until

pytestmark = pytest.mark.processes

GUIDE = ROOT / "schemas" / "languages.md"

PROGRAMS = {"js": "classify.mjs", "go": "classify.go", "java": "Classify.java"}

#: Seconds for a program.
_PROGRAM_S = 60.0

NODE_PACKAGES = ("redis@6", "json-schema-to-typescript@16", "typescript@7", "@types/node@24")
GO_PACKAGE = "github.com/redis/go-redis/v9"


def write_program(language: str, folder: Path) -> Path:
    """Write the guide's program in a language, on the model that the tests' workers have."""
    path = folder / PROGRAMS[language]
    text = (ROOT / "schemas" / "examples" / path.name).read_text()
    path.write_text(text.replace("imdb_lstm", "echo"))
    return path


@pytest.fixture(scope="module")
def node_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which Node finds the packages that the guide names."""
    folder = tmp_path_factory.mktemp("node")
    install_for_node(folder, *NODE_PACKAGES)
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


@dataclass(frozen=True)
class Program:
    """A program of the guide, ready to run."""

    language: str
    command: list[str]
    folder: Path


def built_go(folder: Path) -> list[str]:
    """Build the program in Go in a folder that is its module."""
    go = tool("go", "golang-go")
    write_program("go", folder)
    subprocess.run([go, "mod", "init", "example"], cwd=folder, capture_output=True, check=True)
    download([go, "get", GO_PACKAGE], folder)
    built = subprocess.run(
        [go, "build", "-o", "example", "."], cwd=folder, capture_output=True, timeout=TOOL_S
    )
    assert built.returncode == 0, built.stderr
    return [str(folder / "example")]


@pytest.fixture(scope="module", params=["js", "go", "java"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Each program of the guide; skipped without its tools."""
    language: str = request.param
    if language == "js":
        project: Path = request.getfixturevalue("node_project")
        return Program("js", [tool("node", "nodejs"), str(write_program("js", project))], project)
    folder = tmp_path_factory.mktemp(language)
    if language == "go":
        return Program("go", built_go(folder), folder)
    tool("javac", "default-jdk-headless")  # `java` alone cannot run a source
    return Program(
        "java", [tool("java", "default-jdk-headless"), str(write_program("java", folder))], folder
    )


def events_and_results(program: Program, lines: list[str]) -> tuple[list[str], list[str]]:
    """Return the names of the events that a program printed, and its results."""
    if program.language != "java":
        return [line.strip() for line in lines[:-2]], lines[-2:]
    records = [json.loads(line) for line in lines]
    return (
        [record["event"] for record in records if "event" in record],
        [f"{one['custom_id']} {one['output']['label']}" for one in records if "custom_id" in one],
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_program_hands_a_job_in_and_reads_its_results(
    program: Program, empty_cluster: Cluster
) -> None:
    told = follow_over_a_lost_connection(empty_cluster, program.command, program.folder)

    events, results = events_and_results(program, told.lines)
    assert (events[0], events[-1]) == ("queued", "completed")
    assert events.count("queued") == events.count("completed") == 1
    assert results == RESULTS


def run_with(program: Program, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: one for name, one in os.environ.items() if not name.startswith("SEQD_")}
    return subprocess.run(
        program.command,
        cwd=program.folder,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=_PROGRAM_S,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_program_takes_the_socket_of_the_server_that_seqd_up_starts_and_else_says_what_to_set(
    program: Program, tmp_path: Path
) -> None:
    with EmbeddedServer(Settings(data_dir=tmp_path)) as server:
        settings = Settings(redis_url=server.url, data_dir=tmp_path / "seqd", **QUICK)
        cluster = Cluster(settings, tmp_path)
        try:
            cluster.start_ready()
            endpoint = read_endpoint(server.folder / ENDPOINT_NAME)
            assert endpoint is not None and endpoint.url.startswith("unix://default:")

            lacking = run_with(program)
            ended = run_with(program, SEQD_REDIS_URL=endpoint.url)
        finally:
            cluster.close()

    assert ended.returncode == 0, ended.stderr
    events, results = events_and_results(program, ended.stdout.splitlines())
    assert (events[-1], results) == ("completed", RESULTS)
    assert lacking.returncode == 2
    assert lacking.stderr.startswith(
        "Set SEQD_REDIS_URL, to redis://… or to the `url` in seqd's redis/endpoint.json"
    )


@pytest.fixture(scope="module")
def types(node_project: Path) -> Iterator[Path]:
    """The project with the types that a generator makes of the JSON Schemas."""
    schemas = ROOT / "schemas" / "json" / "*.json"
    generator = node_project / "node_modules" / ".bin" / "json2ts"
    subprocess.run(
        [str(generator), "--ignoreMinAndMaxItems", "-i", str(schemas), "-o", "types"],
        cwd=node_project,
        check=True,
        timeout=TOOL_S,
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
        timeout=TOOL_S,
        check=False,
    )
    return ended.stdout + ended.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_types_that_are_generated_fit_the_guide_refuse_a_wrong_request_and_have_their_own_names(
    types: Path,
) -> None:
    (block,) = blocks_of(GUIDE, "ts")
    (types / block.file).write_text(block.text)
    (types / "wrong.ts").write_text(block.text.replace("custom_id:", "customId:"))

    right, wrong = compile_types(types, block.file), compile_types(types, "wrong.ts")
    names = [
        line.split()[2].strip("={")
        for path in (types / "types").glob("*.d.ts")
        for line in path.read_text().splitlines()
        if line.startswith("export ")
    ]

    assert right == ""
    assert "'customId' does not exist in type 'Item'" in wrong
    assert [name for name in names if name[-1].isdigit() or name.endswith("Schema1")] == []
    assert {"Job", "Event", "ItemResult", "InboxAnswer", "JobRecord"} <= set(names)
