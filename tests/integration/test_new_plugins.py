"""Given a plugin that `seqd plugins new` wrote, when it is used as its README says, then it works.

Each variation is checked by mypy and ruff and passes its own tests; some are installed by pip and
serve jobs of a real worker.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from checkout import python_path
from redis_fixtures import Server
from seqd.cli.plugins.new_distribution import STYLES, TASKS, Distribution
from worker_fixtures import Cluster, cluster_on

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(600)]

#: Of `make test-all` is one of those that need no library.
VARIATIONS = [
    pytest.param(
        task,
        style,
        marks=[] if (task, style) == ("classify", "class") else pytest.mark.long,
        id=f"{task} {style}",
    )
    for task in TASKS
    for style in STYLES
    if task in STYLES[style].tasks
]

#: What a style needs that not every environment has, by its module.
LIBRARIES = {"keras": "keras", "torch": "torch", "sklearn": "sklearn"}

#: Of this project; a generated distribution has none of its own.
RUFF_RULES = "E,F,W,I,N,UP,B,A,C4,SIM,PTH,RET,RUF,PIE,T20,S,BLE"


def python(folder: Path, *arguments: str, **variables: str) -> None:
    """Run a module of Python in a distribution's folder; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", *arguments],
        cwd=folder,
        env=os.environ | {
            "PYTHONPATH": python_path(folder),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "SEQD_DATA_DIR": str(folder / "data"),
            **variables,
            "MYPYPATH": os.pathsep.join([str(folder), *python_path().split(os.pathsep)]),
        },
        capture_output=True,
        text=True,
        timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a folder in which mypy keeps what it knows of seqd, from one variation to the next."""
    return str(tmp_path_factory.mktemp("mypy"))


#: An author's test, with all that it may set.
AUTHORS_TEST = '''"""An author's test."""

from pathlib import Path

import seqd_hello

from seqd.testing import PluginChecks, PluginExamples


class TestHello(PluginChecks):
    plugin = seqd_hello
    examples = PluginExamples(texts=("Good morning", "Rain"))
    expected_failures = {"E1": "it greets"}
    version_folder = Path("version")
    limit_s = 60
'''


@pytest.mark.parametrize(("task", "style"), VARIATIONS)
def test_each_variation_is_well_typed_well_formed_and_passes_its_tests(
    task: str, style: str, tmp_path: Path, mypy_cache: str
) -> None:
    library = LIBRARIES.get(style)
    if library is not None and find_spec(library) is None:
        pytest.skip(f"{library} is not installed: pip install {library}")
    folder = tmp_path / "hello"

    Distribution("hello", task, style).write(folder)

    # Four processes share two cores here: Keras and its imports can take longer than 30 s a check.
    with (folder / "tests" / "test_checks.py").open("a") as checks:
        checks.write("    limit_s = 120.0\n")
    tests = [str(path.relative_to(folder)) for path in sorted(folder.glob("tests/test_*.py"))]
    ruff = ("--isolated", "--no-cache")
    python(folder, "ruff", "check", *ruff, "--select", RUFF_RULES, "--ignore", "S101,E501", ".")
    python(folder, "ruff", "format", *ruff, "--check", ".")
    (folder / "authors_test.py").write_text(AUTHORS_TEST)
    python(folder, "mypy", "seqd_hello", *tests, "authors_test.py", MYPY_CACHE_DIR=mypy_cache)
    python(folder, "pytest", "-q", "-p", "no:cacheprovider", *tests)


#: What is installed and served, by the plugin's name.
SERVED = {
    "greets": ("classify", "function"),
    "writes": ("generate", "function"),
    "counts": ("run", "function"),
    "learns": ("classify", "class"),
}


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which pip has installed the distributions."""
    folder = tmp_path_factory.mktemp("new")
    sources = []
    for name, (task, style) in SERVED.items():
        Distribution(name, task, style).write(folder / name)
        sources.append(str(folder / name))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    installed = subprocess.run(
        [*pip, "--no-index", "--no-deps", "--no-build-isolation", "--target",
         str(folder / "site"), *sources],
        capture_output=True, text=True,
    )  # fmt: skip
    assert installed.returncode == 0, installed.stderr
    return folder / "site"


class NewCluster(Cluster):
    """A cluster whose workers have the new plugins alone."""

    def publish_models(self, store_dir: Path) -> None:
        """Publish nothing: version 0 of a function is built in."""


@pytest.fixture
def new_cluster(
    site: Path, users_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NewCluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with cluster_on(users_server, folder, NewCluster, enabled_plugins=tuple(SERVED)) as own:
        own.plugins = site
        own.start_ready()
        yield own


def test_new_plugins_that_pip_has_installed_serve_their_tasks_and_learn_from_their_examples(
    new_cluster: NewCluster, site: Path
) -> None:
    client = new_cluster.client()

    labelled = list(client.classify(["Hello there!", "Late.", " "], model="greets").results())
    written = [
        next(client.generate(["The cat"], model="writes", parameters=asked).results()).unwrap()
        for asked in [{"length": 30, "seed": 3}] * 2
    ]
    (counted,) = client.run(["One sentence. Another."], model="counts", task="count").results()
    lines = (site.parent / "learns" / "examples.jsonl").read_text().splitlines()
    client.train([json.loads(line) for line in lines], model="learns").wait()
    learnt = client.classify(["a moving and funny story", "cold and silly"], model="learns")

    assert [one.unwrap().label for one in labelled[:2]] == ["greeting", "other"]
    assert not labelled[2].ok
    assert written[0] == written[1]
    assert len(written[0].samples[0].text) == 30
    assert counted.unwrap() == {"words": 3, "sentences": 2}
    assert [one.unwrap().label for one in learnt.results()] == ["good", "bad"]
