"""What the READMEs for users show is run, against a real `seqd up`, as it stands there."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from checkout import python_path
from example_plugin import installed_example
from held_ports import Holder, hold_port
from readme_blocks import ROOT, blocks_of
from seqd.local.endpoint import ENDPOINT_NAME, read_endpoint

pytestmark = pytest.mark.processes

READY_S = 60.0
SERVICES_GUIDE = ROOT / "schemas" / "README.md"
FRONT_PAGE = ROOT / "README.md"

#: The corpus that the services' guide names; any text of some length will do.
CORPUS = "/data/corpus.txt"


@dataclass(frozen=True)
class Shell:
    """A newcomer's terminal: an empty folder, and a daemon that runs in another one."""

    folder: Path
    environment: dict[str, str]

    def run(self, script: str, interpreter: tuple[str, ...]) -> str:
        ended = subprocess.run(
            interpreter,
            input=script,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert ended.returncode == 0, f"{script}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("newcomer")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SEQD_")},
        "SEQD_DATA_DIR": str(folder / "data"),
        "PATH": f"{_tools(folder)}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": python_path(installed_example()),  # as `pip install` would put it
    }
    # `redis-cli -u` takes no Unix socket, so the guide has a port beside it.
    holder = Holder()
    port = str(hold_port(holder))
    up = subprocess.Popen(
        [sys.executable, "-m", "seqd", "up", "--slots", "cpu:0,train@cpu", "--redis-port", port],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        _wait_until_ready(up)
        endpoint = read_endpoint(folder / "data" / "redis" / ENDPOINT_NAME)
        assert endpoint is not None and endpoint.port_url is not None
        server = urlsplit(endpoint.port_url)
        yield Shell(
            folder,
            {
                **environment,
                "SEQD_REDIS_URL": endpoint.port_url,
                "REDIS_HOST": str(server.hostname),
                "REDIS_PORT": str(server.port),
                "REDISCLI_AUTH": str(server.password),
            },
        )
    finally:
        up.terminate()
        up.communicate(timeout=60)


@pytest.mark.slow
def test_the_python_snippets_of_the_services_guide_run(shell: Shell):
    corpus = shell.folder / "corpus.txt"
    corpus.write_text("a cat sat on a mat and ate a rat. " * 200)

    printed = [
        shell.run(block.text.replace(CORPUS, str(corpus)), (sys.executable, "-"))
        for block in blocks_of(SERVICES_GUIDE, "python")
        if not block.file  # those of a service and its tests: test_testing_services_plugin.py
    ]

    assert "r1 positive" in printed[0]
    assert "r2 negative" in printed[0]
    assert printed[1].splitlines()[0] == "queued"
    assert "completed" in printed[1]
    assert [line.split()[0] for line in printed[2].splitlines()] == ["positive", "invalid_input"]
    assert printed[3] == ""  # a service, which test_service_guide.py runs
    assert printed[4].splitlines() == [
        *("row-3 negative", "row-4 positive", "4 are there", "positive"),
        *("row-2 invalid_input", "unknown_item"),
    ]
    assert [line.split()[0] for line in printed[5].splitlines()] == ["pos", "pos"]
    assert "uncertain" in printed[5].splitlines()[1]
    assert "negative    1" in printed[6]
    assert "3 ['custom_id', 'label', 'score'" in printed[6]
    assert "succeeded positive A wonderful film." in printed[7]
    assert sorted(printed[9].splitlines()) == [
        f"row-{row} {sample} length 90" for row in (1, 2) for sample in (0, 1)
    ]
    models = printed[10].splitlines()
    assert models[:2] == ["markov markov 0 [0, 1]", "in service: 1 before: 0"]
    assert [line.split()[:2] for line in models[-2:]] == [["0", "1"], ["1", "0"]]
    assert [line.split()[0] for line in printed[11].splitlines()] == [
        "lower_case=true",
        "lower_case=false",
    ]


@pytest.mark.slow
def test_a_job_is_handed_in_and_read_by_redis_cli_alone(shell: Shell):
    hand_in, hand_in_again, look, follow, fetch, fetch_small, address = [
        block.text for block in blocks_of(SERVICES_GUIDE, "sh")
    ]

    shell.run(hand_in, ("bash", "-euo", "pipefail"))
    deadline = time.monotonic() + 30
    while shell.run(look, ("bash", "-euo", "pipefail")).split() != ["0", "10000"]:
        assert time.monotonic() < deadline, "the entry was not taken over"
    answers = shell.run(hand_in_again, ("bash", "-euo", "pipefail"))
    while '"event":"completed"' not in _plain(shell.run(follow, ("bash", "-euo", "pipefail"))):
        assert time.monotonic() < deadline, "the job did not complete"
    assert shell.run(fetch, ("bash", "-euo", "pipefail")) == ""  # those of a larger job
    results = shell.run(fetch_small, ("bash", "-euo", "pipefail")).splitlines()
    where = shell.run(f'{address}\necho "$SEQD_REDIS_URL"', ("bash", "-euo", "pipefail"))

    assert where.startswith("unix://default:")
    assert '"outcome":"accepted","id":"my-job-1","job_id":"my-job-1","created":false' in _plain(
        answers
    )
    assert '"custom_id":"r1"' in results[0]
    assert '"label":"positive"' in results[0]
    assert '"custom_id":"r2"' in results[1]
    assert '"label":"negative"' in results[1]


@pytest.mark.slow
@pytest.mark.smoke
def test_the_commands_of_the_front_page_run_in_the_order_in_which_they_stand(shell: Shell):
    # Those behind "Models with names" train: test_models_guide.py
    page = [block.text for block in blocks_of(FRONT_PAGE, "sh")]
    script = "\n".join(text for text in page if "seqd train" not in text)

    printed = shell.run(script, ("bash", "-euo", "pipefail"))

    assert (shell.folder / "results.jsonl").read_text().count("\n") == 2
    assert "markov" in printed
    assert "Its output is Embedding256: " in printed
    assert (shell.folder / "vectors.jsonl").read_text().count('"vector"') == 2
    assert [
        json.loads(line)["output"]["matches"][0]["index"]
        for line in printed.splitlines()
        if '"matches"' in line
    ] == [1, 0]


@pytest.mark.slow
def test_the_python_of_the_front_page_runs(shell: Shell):
    (block,) = blocks_of(FRONT_PAGE, "python")

    first, second, written = shell.run(block.text, (sys.executable, "-")).split("\n", 2)

    assert ("positive" in first, "negative" in second) == (True, True)
    assert len(written) == 200


def _tools(folder: Path) -> Path:
    """A folder for PATH with `redis-cli`: a stand-in where the machine has none."""
    tools = folder / "bin"
    tools.mkdir()
    if (
        shutil.which("redis-cli", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        is None
    ):
        stand_in = ROOT / "tests" / "redis_cli.py"
        (tools / "redis-cli").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{stand_in}" "$@"\n')
        (tools / "redis-cli").chmod(0o755)
    return tools


def _wait_until_ready(up: "subprocess.Popen[str]") -> None:
    assert up.stdout is not None
    said = []
    deadline = time.monotonic() + READY_S
    for line in up.stdout:
        said.append(line)
        if line.startswith("Ready"):
            return
        assert time.monotonic() < deadline, "".join(said)
    pytest.fail("seqd up ended: " + "".join(said))


def _plain(reply: str) -> str:
    """Take away the backslashes with which redis-cli shows quotes on a terminal."""
    return reply.replace("\\", "")
