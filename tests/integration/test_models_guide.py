"""Models with names, as the front page and the operators' guide tell it: the commands are run."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cli_builders import Installation, running_daemon
from readme_blocks import ROOT, blocks_of

#: The first training on a machine also compiles the kernel that validates.
pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(400)]

FRONT_PAGE, GUIDE = ROOT / "README.md", ROOT / "docker" / "models.md"


@pytest.fixture
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with running_daemon(tmp_path_factory.mktemp("names"), "--slots", "all@cpu:0") as running:
        yield running


def run(installation: Installation, script: str) -> str:
    """Run commands in the folder of the data, with `seqd` being this one; give all they print."""
    seqd = f'seqd() {{ "{sys.executable}" -m seqd "$@"; }}\n'
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", seqd + script],
        cwd=installation.data_dir,
        env=installation.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def test_the_front_page_makes_two_models_and_puts_versions_in_service(installation: Installation):
    page = [block.text for block in blocks_of(FRONT_PAGE, "sh")]
    make, put_in_service = [text for text in page if "seqd train" in text]

    made = run(installation, make)
    changed = run(installation, put_in_service)

    assert "topics@1 is in service, after " in made
    assert "languages@1 is in service, after " in made
    assert "1 classified by topics@1: " in made
    assert "1 classified by languages@1: 1 de" in made
    assert "1 classified by imdb_lstm@0: 1 positive" in made
    assert "topics@2 is trained and not in service, after " in changed
    assert "topics means topics@1. To change that: seqd models promote topics@2" in changed
    assert "McNemar's exact test, two-sided: p " in changed
    assert "topics@2 is in service, after topics@1." in changed
    assert "1 classified by topics@2: 1 sport" in changed
    assert "topics@1 is in service, after topics@2." in changed
    history = [line.split()[2:] for line in changed.splitlines()[-4:]]
    assert [line[:2] for line in history] == [["none", "1"], ["1", "1"], ["1", "2"], ["2", "1"]]
    assert " ".join(history[1][3:]) == "canary of topics@2 with 50% of the items"
    assert " ".join(history[2][3:]).startswith("on topics.jsonl, accuracy is better by 0.")
    lines = (installation.data_dir / "canary.jsonl").read_text().splitlines()
    versions = [json.loads(line)["version"] for line in lines]
    assert (len(versions), set(versions)) == (84, {1, 2})
    shown = [line.split() for line in changed.splitlines() if line.startswith("topics@")]
    items = {row[0]: int(row[1]) for row in shown if len(row) == 6 and row[1].isdigit()}
    assert items == {"topics@1": versions.count(1), "topics@2": versions.count(2)}


def test_the_operators_guide_promotes_compares_exports_and_removes(installation: Installation):
    topics = {"sport": "the striker scored in the match", "politics": "parliament voted on a law"}
    for name, count in (("topics", 80), ("more", 100), ("test", 60)):
        with (installation.data_dir / f"{name}.jsonl").open("w") as file:
            for number in range(count):
                label = list(topics)[number % 2]
                text = f"{topics[label]} on day {number} of {name}"
                file.write(json.dumps({"text": text, "label": label}) + "\n")
    blocks = [block.text for block in blocks_of(GUIDE, "sh")]
    serve, share, gate, label, card, elsewhere, add, clear_up = blocks

    served = run(installation, serve)
    shared = run(installation, share)
    gated = run(installation, gate)
    labelled = run(installation, label)
    shown = run(installation, card)
    taken = run(installation, elsewhere)
    trained = installation.data_dir / "models" / "topics" / "2"
    shutil.copytree(trained, weights := installation.data_dir / "weights")
    (weights / "manifest.json").unlink()
    added = run(installation, add)
    cleared = run(installation, clear_up)

    assert "topics@2 is in service, after topics@1." in served
    assert "topics@1 is in service, after topics@2." in served
    assert "topics@2 answers 5% of the items of new jobs on topics; topics@1 stays" in shared
    assert "The canary of topics@2 is ended; topics@1 answers all items." in shared
    assert "topics@2 computes, too, 5% of the items of new jobs on topics;" in shared
    assert "where more than 0.5% of its items fail with it and not with topics@1." in shared
    assert "The shadow of topics@2 is ended; topics@1 answers all items." in shared
    assert "topics@2 is in service, after topics@1." in gated
    assert "topics@3 is not put in service: on test.jsonl, accuracy is " in gated
    assert gated.endswith("kept\n")
    assert (installation.data_dir / "changed.jsonl").is_file()
    assert "60 classified by topics@2: 30 news, 30 sport" in labelled
    assert "Uncertain, with a score below 0.8: " in labelled
    header = (installation.data_dir / "results.csv").read_text().partition("\n")[0]
    assert header == "custom_id,label,score,uncertain"
    for words in (
        "Kept with the version: seqd models show topics@2",
        "more.jsonl, size 100, sha256 ",
        "politics 50, sport 50",
        "Evaluated on test.jsonl",
        " texts/s",
        "  in, after topics@1, by ",
    ):
        assert words in shown
    assert "subjects@1 is in the model store, and in service." in taken
    assert "reviews@1 is in the model store, and in service." in added
    assert cleared == (
        "topics@1 is removed.\nWould remove: nothing\nsubjects is called areas now.\n"
    )
