"""The pages of `markov` and `char_lstm`: their commands and Python are run as they stand there."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cli_builders import Installation, running_daemon
from readme_blocks import ROOT, blocks_of

#: The first training on a machine also compiles what it learns and writes with.
pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(300)]

MARKOV, CHAR_LSTM = (
    ROOT / "plugins" / f"seqd_{name}" / "README.md" for name in ("markov", "char_lstm")
)

WHO = ("the cat", "a rat", "the old keeper", "a sailor", "nobody")
DOES = ("sat on", "looked at", "walked to", "spoke of", "slept under")
WHAT = ("the mat", "a lighthouse", "the harbour", "the sea", "a boat")


def a_text(sentences: int) -> str:
    """Sentences that a model learns the look of in seconds."""
    drawn = random.Random(1)
    return "".join(
        f"{drawn.choice(WHO)} {drawn.choice(DOES)} {drawn.choice(WHAT)}. ".capitalize()
        for _ in range(sentences)
    )


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("writers")
    (folder / "corpus.txt").write_text(a_text(700), encoding="utf-8")
    (folder / "book.txt").write_text(a_text(3_000), encoding="utf-8")
    with running_daemon(folder, "--slots", "cpu:0,train@cpu") as started:
        yield started


def run(installation: Installation, *command: str) -> str:
    """Run a command in the folder of the texts; give what it prints."""
    ended = subprocess.run(
        command,
        cwd=installation.data_dir,
        env=installation.environment() | {"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def run_script(installation: Installation, script: str) -> str:
    """Run commands with `seqd` being this one."""
    seqd = f'seqd() {{ "{sys.executable}" -m seqd "$@"; }}\n'
    return run(installation, "bash", "-euo", "pipefail", "-c", seqd + script)


def test_the_page_of_markov_runs_in_its_order(installation: Installation):
    starters, own = [block.text for block in blocks_of(MARKOV, "sh")]
    (program,) = [block.text for block in blocks_of(MARKOV, "python")]

    written = run_script(installation, starters)
    trained = run_script(installation, own)
    printed = run(installation, sys.executable, "-c", program)

    assert len(written) > 200
    assert "bits" in trained
    assert printed.count("length") == 3 * 2 * 2


def test_the_page_of_char_lstm_trains_on_a_text_and_writes_like_it(installation: Installation):
    train, use = (block.text for block in blocks_of(CHAR_LSTM, "sh"))

    trained = run_script(installation, train)
    used = run_script(installation, use)

    assert "validation bits per char" in trained
    assert "ngram validation bits per char" in used
    samples = [
        sample
        for line in used.splitlines()
        if line.startswith("{")
        for sample in json.loads(line)["output"]["samples"]
    ]
    assert len(samples) == 8  # two prompts at two temperatures, two samples each
    assert all("." not in sample["text"] for sample in samples)
    assert [sample["temperature"] for sample in samples] == [0.0, 0.0, 1.0, 1.0] * 2
    written = (installation.data_dir / "corpus.txt").read_text(encoding="utf-8").lower()
    assert {character for sample in samples for character in sample["text"]} <= set(written)
