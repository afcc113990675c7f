"""Versions that no job trained, served by real workers: built in, and added from a folder."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkout import python_path
from cli_builders import Ended, clean_environment
from redis_fixtures import Server
from seqd.client import Client
from worker_fixtures import Cluster, cluster_on

# Each starts workers and some commands.
pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(600)]

PLUGIN = Path(__file__).parents[1] / "weights_plugin"


class WeightsCluster(Cluster):
    """A cluster whose workers have the plugin `weights` alone, and an empty store."""

    plugins = PLUGIN

    def publish_models(self, store_dir: Path) -> None:
        """Publish nothing."""

    def run(self, *arguments: str, status: int = 0) -> Ended:
        """Run a command of somebody who has the plugin and the store."""
        assert self.settings.redis_url is not None
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "seqd", *arguments],
            env=clean_environment(
                SEQD_REDIS_URL=self.settings.redis_url,
                SEQD_PREFIX=self.settings.prefix,
                SEQD_DATA_DIR=str(self.settings.data_dir),
                SEQD_ENABLED_PLUGINS="weights",
                PYTHONPATH=python_path(self.plugins),
            ),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert ended.returncode == status, ended.stderr
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def add(self, folder: Path, plugin: str, *options: str, **words: str) -> None:
        """Add a list of words as a version."""
        folder.mkdir()
        (folder / "words.json").write_text(json.dumps(words))
        self.run("models", "add", str(folder), "--plugin", plugin, *options)


@pytest.fixture
def weights(users_server: Server, tmp_path: Path) -> Iterator[WeightsCluster]:
    with cluster_on(users_server, tmp_path, WeightsCluster, enabled_plugins=("weights",)) as own:
        yield own


def versions_of(client: Client, model: str) -> list[int]:
    return [one.version for one in client.catalog()[model].versions]


def label_of(client: Client, text: str, model: str) -> str:
    return client.predict(text, model=model).label


def test_a_worker_serves_what_is_built_in_and_what_is_added_and_promotions_between_them(
    weights: WeightsCluster, tmp_path: Path
) -> None:
    worker, client = weights.start_ready(), weights.client()

    built_in = label_of(client, "hello you", "rule")
    weights.add(tmp_path / "animals", "words", cat="animal")
    weights.run("models", "export", "words@1", str(tmp_path / "words.tar"))
    weights.run("models", "import", str(tmp_path / "words.tar"), "--as", "topics")
    imported = label_of(client, "a cat", "topics")
    added = label_of(client, "a cat", "words")
    weights.add(tmp_path / "greetings", "rule", hello="word")
    beside = label_of(client, "hello you", "rule@1")
    before = label_of(client, "hello you", "rule")
    weights.run("models", "promote", "rule@1")
    promoted = label_of(client, "hello you", "rule")
    weights.run("models", "rollback", "rule")
    back = label_of(client, "hello you", "rule")
    worker.stop()
    weights.start_ready()
    again = [label_of(client, "hello cat", model) for model in ("rule", "rule@1", "words")]

    assert (built_in, added, imported) == ("greeting", "animal", "animal")
    assert (beside, before, promoted, back) == ("word", "greeting", "word", "greeting")
    assert again == ["greeting", "word", "animal"]
    shown = weights.run("models", "show", "rule")
    assert "0 (production) built in" in " ".join(shown.out.split())
    assert client.catalog()["rule"].versions[0].is_built_in


def test_what_is_built_in_is_evaluated_and_compared_and_what_cannot_be_loaded_is_not_in_service(
    weights: WeightsCluster, tmp_path: Path
) -> None:
    data = tmp_path / "data.jsonl"
    lines = [{"text": "hello", "label": "greeting"}, {"text": "cat", "label": "other"}] * 20
    data.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    weights.start_ready()
    weights.add(tmp_path / "greetings", "rule", hello="word")
    weights.add(tmp_path / "good", "words", cat="animal")
    weights.add(tmp_path / "bad", "words", "--no-load", trick="raise")

    refused = weights.run("models", "promote", "words@2", status=1)
    evaluated = weights.run("models", "evaluate", "rule@0", "--data", str(data))
    compared = weights.run("models", "compare", "rule@0", "rule@1", "--data", str(data))
    card = weights.run("models", "show", "rule@0", "--local", "--measure")

    assert "Kept with the version: seqd models show rule@0" in evaluated.out + evaluated.err
    assert "rule@0" in compared.out and "size" not in compared.out
    assert "Evaluated on data.jsonl" in card.out
    assert " texts/s" in card.out
    assert "error[plugin_fault]: words cannot load these files: ValueError: " in refused.err
    assert refused.err.endswith(
        "Mend the files or the plugin; a job that names the version has a worker load it, without "
        "a trial\n"
    )
    assert weights.client().catalog()["words"].labels["production"] == 1
