"""A text of one's own, as the plugin's README tells it: its commands run as they stand there."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_builders import Installation, running_daemon
from readme_blocks import ROOT, blocks_of

#: The first training on a machine also compiles what it learns and writes with.
pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(300)]

README = ROOT / "plugins" / "seqd_char_lstm" / "README.md"

WHO = ("the cat", "a rat", "the old keeper", "a sailor", "nobody")
DOES = ("sat on", "looked at", "walked to", "spoke of", "slept under")
WHAT = ("the mat", "a lighthouse", "the harbour", "the sea", "a boat")


def a_corpus() -> str:
    """About 20,000 characters of sentences that an LSTM learns the look of in seconds."""
    drawn = random.Random(1)
    sentences = (
        f"{drawn.choice(WHO)} {drawn.choice(DOES)} {drawn.choice(WHAT)}. ".capitalize()
        for _ in range(700)
    )
    return "".join(sentences)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("writer")
    (folder / "corpus.txt").write_text(a_corpus(), encoding="utf-8")
    with running_daemon(folder, "--slots", "cpu:0,train@cpu") as started:
        yield started


def run(installation: Installation, script: str) -> str:
    """Run commands in the folder of the text, with `seqd` being this one; give what they print."""
    seqd = f'seqd() {{ "{sys.executable}" -m seqd "$@"; }}\n'
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", seqd + script],
        cwd=installation.data_dir,
        env=installation.environment(),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_readmes_commands_train_on_a_text_and_write_like_it(installation: Installation):
    train, use = (block.text for block in blocks_of(README, "sh"))

    trained = run(installation, train)
    used = run(installation, use)

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
    written = Path(installation.data_dir / "corpus.txt").read_text(encoding="utf-8").lower()
    assert {character for sample in samples for character in sample["text"]} <= set(written)
