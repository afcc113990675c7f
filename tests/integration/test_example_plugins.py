"""Given the examples of plugins, installed by pip, when a worker has them, then as they say.

Each one's own tests stand beside it, and run here, too. One whose library is not installed is
skipped: pip install torch scikit-learn.
"""

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from checkout import ROOT, python_path
from example_plugin import EXAMPLES, KIT_EXAMPLES, runnable_kit_examples
from readme_blocks import blocks_of
from redis_fixtures import Server, forget_keys
from seqd_embed.records import Embedding256
from worker_fixtures import Cluster, live_settings

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(600)]


class InstalledCluster(Cluster):
    """A cluster whose workers have one example alone, as pip has installed it."""

    def __init__(self, server: Server, folder: Path, name: str) -> None:
        self.name = name
        self.source, self.plugins = install(name, folder)
        settings = live_settings(server, folder)
        super().__init__(settings.model_copy(update={"enabled_plugins": (name,)}), folder)

    def publish_models(self, store_dir: Path) -> None:
        """Publish nothing: a starter serves, or a test trains what it needs."""

    def run(self, *command: str, folder: Path | None = None) -> str:
        """Run a program beside its workers, and return what it prints."""
        beside = {
            "SEQD_REDIS_URL": str(self.settings.redis_url),
            "SEQD_PREFIX": self.settings.prefix,
            "SEQD_DATA_DIR": str(self.settings.data_dir),
            "SEQD_ENABLED_PLUGINS": self.name,
        }
        return self.run_apart(*command, folder=folder, **beside)

    def run_apart(self, *command: str, folder: Path | None = None, **variables: str) -> str:
        """Run a program where it is installed, and return what it prints."""
        more = {"PYTHONPATH": python_path(self.plugins), "TERM": "dumb", "COLUMNS": "80"}
        environment = os.environ | more | variables
        ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout


def install(name: str, folder: Path) -> tuple[Path, Path]:
    """Install an example by pip, as a user would; return its copied source, and the site."""
    source, site = folder / "source", folder / "site"
    subprocess.run(["cp", "-r", str(EXAMPLES / f"seqd_{name}"), str(source)], check=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    installed = subprocess.run(
        [*pip, "--no-index", "--no-deps", "--no-build-isolation", "--target", str(site),
         str(source)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert installed.returncode == 0, installed.stderr
    return source, site


@pytest.fixture(scope="module", params=["embed", *sorted(KIT_EXAMPLES)])
def example(
    request: pytest.FixtureRequest, redis_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[InstalledCluster]:
    """Each example in turn, on a worker that is ready."""
    name = request.param
    if name not in ("embed", *runnable_kit_examples()):
        pytest.skip(f"{KIT_EXAMPLES[name]} is not installed: pip install {KIT_EXAMPLES[name]}")
    own = InstalledCluster(redis_server, tmp_path_factory.mktemp(name), name)
    try:
        own.start_ready()
        yield own
    finally:
        own.close()
        forget_keys(redis_server.url, own.settings.prefix)


def test_what_its_readme_shows_runs_as_it_stands_there(example: InstalledCluster, tmp_path: Path):
    readme = EXAMPLES / f"seqd_{example.name}" / "README.md"
    seqd = f'seqd() {{ "{sys.executable}" -P -m seqd "$@"; }}\n'

    example.run(
        sys.executable, "-c", "\n".join(block.text for block in blocks_of(readme, "python"))
    )
    shown = [
        example.run("bash", "-euo", "pipefail", "-c", seqd + block.text, folder=tmp_path)
        for block in blocks_of(readme, "sh")
    ]

    if example.name == "gru":
        (curve,) = shown
        assert "validation loss" in curve
        assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_its_own_tests_pass_where_it_is_installed_by_pip(example: InstalledCluster, tmp_path: Path):
    python = (sys.executable, "-P", "-m")

    example.run_apart(
        *python, "pytest", "-q", "-p", "no:cacheprovider", "tests", folder=example.source
    )
    listed = example.run_apart(*python, "seqd", "plugins", "list", SEQD_DATA_DIR=str(tmp_path))

    package = example.plugins / f"seqd_{example.name}"
    assert (package / "py.typed").is_file() or example.name == "embed"
    assert (package / "starter" / "weights.safetensors").is_file() == (example.name == "embed")
    assert re.search(rf"\b{example.name}\b.*ready", listed)


@pytest.mark.parametrize("example", ["embed"], indirect=True)
def test_each_review_is_nearest_to_its_own_with_two_words_left_out(example: InstalledCluster):
    draw = random.Random(1)
    words = ["".join(draw.choices("aeiounrstl", k=6)) for _ in range(300)]
    reviews = [" ".join(draw.choices(words, k=20)) for _ in range(500)]
    shortened = [" ".join(review.split()[1:-1]) for review in reviews]

    job = example.client().run(
        reviews + shortened, model="ngrams", task="embed", output=Embedding256
    )

    vectors = np.array([np.asarray(result.unwrap().vector) for result in job.results()])
    assert ((vectors[:500] @ vectors[500:].T).argmax(axis=1) == np.arange(500)).all()


def test_the_wheel_of_seqd_has_no_example():
    from setuptools import find_packages  # here, so that collecting is quick

    assert [name for name in find_packages(str(ROOT / "plugins")) if "embed" in name] == []
