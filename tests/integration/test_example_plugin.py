"""Given the example of a plugin, installed on a worker, when texts are embedded, then as it says.

The plugin's own tests stand beside it, and run here, too.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from setuptools import find_packages

from checkout import ROOT, python_path
from example_plugin import EXAMPLE, installed_example
from readme_blocks import blocks_of
from redis_fixtures import Server, forget_keys
from seqd.cli.demo.sample_data import compose_reviews
from seqd_embed.records import Embedding256
from worker_fixtures import Cluster, live_settings

pytestmark = [pytest.mark.processes, pytest.mark.slow]


class ExampleCluster(Cluster):
    """A cluster whose workers have the example alone; its starter serves."""

    plugins = installed_example()

    def publish_models(self, store_dir: Path) -> None:
        """Publish nothing."""


@pytest.fixture(scope="module")
def example_cluster(
    redis_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ExampleCluster]:
    folder = tmp_path_factory.mktemp("example")
    settings = live_settings(redis_server, folder)
    own = ExampleCluster(settings.model_copy(update={"enabled_plugins": ("embed",)}), folder)
    try:
        own.start_ready()
        yield own
    finally:
        own.close()
        forget_keys(redis_server.url, own.settings.prefix)


def test_each_review_is_nearest_to_its_own_with_two_words_left_out(example_cluster):
    reviews = [review.text for review in compose_reviews(500)]
    shortened = [" ".join(review.split()[1:-1]) for review in reviews]

    job = example_cluster.client().run(
        reviews + shortened, model="ngrams", task="embed", output=Embedding256
    )

    vectors = np.array([np.asarray(result.unwrap().vector) for result in job.results()])
    assert ((vectors[:500] @ vectors[500:].T).argmax(axis=1) == np.arange(500)).all()


def test_the_python_of_its_readme_runs_as_it_stands_there(example_cluster):
    settings = example_cluster.settings
    program = "\n".join(block.text for block in blocks_of(EXAMPLE / "README.md", "python"))
    variables = {
        "PYTHONPATH": python_path(installed_example()),
        "SEQD_REDIS_URL": settings.redis_url,
        "SEQD_PREFIX": settings.prefix,
        "SEQD_DATA_DIR": str(settings.data_dir),
    }

    ended = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | variables, capture_output=True, text=True
    )

    assert ended.returncode == 0, ended.stderr


def test_its_own_tests_pass_where_it_is_installed_by_pip(tmp_path):
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    source = tmp_path / "source"
    subprocess.run(["cp", "-r", str(EXAMPLE), str(source)], check=True)  # setuptools writes there
    installed = subprocess.run(
        [*pip, "--no-index", "--no-deps", "--no-build-isolation", "--target",
         str(tmp_path / "site"), str(source)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert installed.returncode == 0, installed.stderr

    environment = os.environ | {"PYTHONPATH": python_path(tmp_path / "site")}
    tested = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=source, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    shown = subprocess.run(
        [sys.executable, "-P", "-m", "seqd", "plugins", "list"],
        env=environment | {"SEQD_DATA_DIR": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip

    assert tested.returncode == 0, tested.stdout
    assert (tmp_path / "site" / "seqd_embed" / "starter" / "weights.safetensors").is_file()
    assert any("embed" in line and "ready" in line for line in shown.stdout.splitlines())


def test_the_wheel_of_seqd_has_no_example():
    assert [name for name in find_packages(str(ROOT / "plugins")) if "embed" in name] == []
