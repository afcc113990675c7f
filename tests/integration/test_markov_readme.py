"""The page of the `markov` plugin: its commands and its Python are run as they stand there."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cli_builders import Installation, running_daemon
from readme_blocks import ROOT, blocks_of

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(240)]

README = ROOT / "plugins" / "seqd_markov" / "README.md"


def a_book() -> str:
    """Some thousand sentences of a few words."""
    drawn = random.Random(5)
    who, what = ["the cat", "a rat", "the man on the hill", "she"], ["sat", "ran away", "sings"]
    sentences = [
        f"{drawn.choice(who).capitalize()} {drawn.choice(what)} {drawn.randint(1, 9)} times."
        for _ in range(3_000)
    ]
    return " ".join(sentences)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("markov")
    (folder / "book.txt").write_text(a_book(), encoding="utf-8")
    with running_daemon(folder, "--slots", "cpu:0,train@cpu") as running:
        yield running


def run(installation: Installation, command: list[str], script: str) -> str:
    ended = subprocess.run(
        [*command, script],
        cwd=installation.data_dir,
        env=installation.environment() | {"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def test_the_pages_commands_and_its_python_run_in_their_order(installation: Installation):
    starters, own = [block.text for block in blocks_of(README, "sh")]
    (program,) = [block.text for block in blocks_of(README, "python")]
    shell = ["bash", "-euo", "pipefail", "-c"]
    seqd = f'seqd() {{ "{sys.executable}" -m seqd "$@"; }}\n'

    written = run(installation, shell, seqd + starters)
    trained = run(installation, shell, seqd + own)
    printed = run(installation, [sys.executable, "-c"], program)

    assert len(written) > 200
    assert "bits" in trained
    assert printed.count("length") == 3 * 2 * 2
