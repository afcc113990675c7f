"""The wheel, installed with `[serve]` where there is no clone: all is in it, and it works.

What it asks for is linked from the libraries that run the tests, so that nothing is downloaded.
"""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from checkout import FOLDERS, ROOT
from cli_builders import Ended, clean_environment
from redis_fixtures import Server
from worker_fixtures import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(900)]

#: Of a virtual environment with `seqd[serve]`; docker/README.md states it.
STATED_MB = 400

REVIEWS = (("A wonderful, moving film.", "pos"), ("A dull and bad film.", "neg"))
TRAININGS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("markov", "tutorial"): (),
    ("markov", "best"): (),
    ("markov_words", "sentences"): (),
    ("char_lstm", "fast"): ("epochs=1", "units=16", "sample_length=0"),
    ("char_lstm", "best"): ("epochs=1", "units=16", "sample_length=0"),
    ("char_lstm", "large"): ("epochs=1", "units=16", "batch_size=4", "steps=16", "sample_length=0"),
    ("imdb_lstm", "tutorial"): ("epochs=1", "units=4"),
    ("imdb_lstm", "fast"): ("epochs=1", "units=4"),
    ("imdb_lstm", "best"): ("epochs=1", "units=4"),
}
#: One of each network in `make test-all`; the chain is trained behind what fails.
PRESETS = [
    pytest.param(
        model,
        preset,
        marks=[] if preset == "fast" else pytest.mark.long,
        id=f"{model} {preset}",
    )
    for model, preset in TRAININGS
]


@dataclass(frozen=True)
class Installed:
    """A virtual environment with nothing but the wheel and what it asked for."""

    folder: Path

    @property
    def site(self) -> Path:
        """The folder of what is installed."""
        return self.folder / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"

    def seqd(self) -> Distribution:
        """Return the wheel as it is installed."""
        return next(iter(distributions(name="seqd", path=[str(self.site)])))

    def run(self, *arguments: str, environment: Mapping[str, str]) -> Ended:
        done = subprocess.run(
            [self.folder / "bin" / "seqd", *arguments],
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=240,
            stdin=subprocess.DEVNULL,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def python(self, program: str) -> str:
        command = [self.folder / "bin" / "python", "-P", "-c", program]
        environment = _environment()
        done = subprocess.run(
            command, env=environment, cwd=self.folder, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    sources = _checked_out(folder / "sources")
    build = ("--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder))
    _pip("wheel", *build, str(sources))
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=120)
    python = str(folder / "bin" / "python")
    _pip("--python", python, "install", "--no-deps", "--no-index", str(wheel))
    found = Installed(folder)
    for library in _asked_for(found.seqd(), "serve"):
        for name in {file.parts[0] for file in library.files or ()} - {"..", "__pycache__"}:
            (found.site / name).symlink_to(library.locate_file(name))
    return found


def _asked_for(seqd: Distribution, extra: str) -> list[Distribution]:
    """Return the libraries that pip would install, of those that are installed here."""
    found, due = dict[str, Distribution](), [(seqd, {extra})]
    while due:
        asking, extras = due.pop()
        for requirement in map(Requirement, asking.requires or ()):
            name, marker = canonicalize_name(requirement.name), requirement.marker
            is_due = marker is None or any(marker.evaluate({"extra": one}) for one in extras)
            if is_due and (name not in found or requirement.extras):
                asked = seqd if name == "seqd" else distribution(name)
                found[name] = asked
                due.append((asked, {*requirement.extras} or {""}))
    found.pop("seqd", None)
    return list(found.values())


@pytest.fixture(scope="module")
def environment(
    installed: Installed, redis_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Yield the variables of a daemon that runs from the wheel, with one slot for all tasks."""
    data = tmp_path_factory.mktemp("data")
    variables = _environment(
        SEQD_DATA_DIR=str(data),
        SEQD_REDIS_URL=redis_server.url,
        SEQD_PREFIX=f"seqd-wheel-{os.getpid()}",
        SEQD_INPUT_ROOTS="/",
    )
    log = data / "up.log"
    command = [installed.folder / "bin" / "seqd", "up", "--slots", "cpu:0,train@cpu"]
    with log.open("w") as output:
        up = subprocess.Popen(
            command, env=variables, cwd=data, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: "Ready after" in log.read_text(), "workers that are ready", 300)
        yield variables
    finally:
        up.terminate()
        up.wait(120)


def test_the_wheel_has_all_files_of_the_packages(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}

    # Examples are distributions of their own.
    ours = [name for name in _tracked() if "/examples/" not in name]
    tracked = {name for name in ours if not name.endswith((".md", "terminal.svg"))}
    assert packed == {_in_wheel(name) for name in tracked}
    assert "seqd_schemas/json/job.schema.json" in packed
    assert {f"{package}/py.typed" for package in FOLDERS.values()} < packed


def test_the_source_distribution_has_the_templates_of_new_plugins(tmp_path: Path):
    sources = _checked_out(tmp_path / "sources")
    program = "from hatchling.build import build_sdist; build_sdist('..')"

    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=sources, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        found = {name.partition("/")[2] for name in packed.getnames() if name.endswith(".jinja")}
    assert found == {name for name in _tracked() if name.endswith(".jinja")}
    assert len(found) > 30


def test_what_it_asks_for_has_no_keras_and_is_small(installed: Installed):
    program = (
        "from importlib.util import find_spec; "
        "print([one for one in ('keras', 'tensorflow', 'torch') if find_spec(one)])"
    )
    libraries = [installed.seqd(), *_asked_for(installed.seqd(), "serve")]

    sizes = [
        Path(library.locate_file(file)).stat().st_blocks * 512
        for library in libraries
        for file in library.files or ()
        if Path(library.locate_file(file)).is_file()
    ]

    assert installed.python(program) == "[]\n"
    assert {"numba", "safetensors", "celery"} < {library.name for library in libraries}
    assert 100 < sum(sizes) / 1e6 < STATED_MB


def test_the_schemas_are_in_the_package_and_are_what_the_command_writes(
    installed: Installed, tmp_path: Path
):
    program = (
        "from importlib.resources import files; "
        "print(*sorted(p.name for p in (files('seqd_schemas') / 'json').iterdir()))"
    )

    done = installed.run("schema", "--out", str(tmp_path), environment=_environment())

    assert done.status == 0, done.err
    names = sorted(path.name for path in tmp_path.iterdir())
    assert installed.python(program).split() == names
    assert len(names) >= 13


def test_a_daemon_from_it_classifies_and_generates_with_the_starters(
    installed: Installed, environment: dict[str, str]
):
    texts = [part for text, _ in REVIEWS for part in ("--text", text)]
    classified = installed.run("classify", *texts, "--json", environment=environment)
    written = [
        installed.run("generate", model, "the ", "--length", "20", environment=environment)
        for model in ("markov", "markov_words", "char_lstm")
    ]

    assert classified.status == 0, classified.err
    assert [label for label in ("positive", "negative") if label in classified.out] == [
        "positive",
        "negative",
    ]
    assert [one.status for one in written] == [0, 0, 0], written


@pytest.mark.parametrize(("model", "preset"), PRESETS)
def test_it_trains_each_preset_that_needs_no_keras(
    installed: Installed, environment: dict[str, str], model: str, preset: str, tmp_path: Path
):
    options = [part for value in TRAININGS[model, preset] for part in ("--set", value)]

    done = installed.run(
        "train", model, "--preset", preset, "--data", _data(tmp_path, model), *options,
        environment=environment,
    )  # fmt: skip

    assert done.status == 0, done.err


#: Trainings that need Keras, and what is said of them.
NEED_KERAS = (
    (
        ("char_lstm", "--preset", "tutorial"),
        "no_library: char_lstm learns from windows with Keras, on any device, and Keras cannot be "
        "imported here: No module named 'keras'. Install seqd[cpu] for this worker, or train in "
        "mode 'stream', as the presets fast and best do.",
    ),
    (
        ("imdb_lstm", "--data", "keras:imdb"),
        "no_library: The data set keras:imdb comes with Keras, and Keras cannot be imported here: "
        "No module named 'keras'. Install seqd[cpu] for this worker, or train from a file of "
        "reviews.",
    ),
)


def test_what_needs_keras_fails_with_what_to_install_and_the_worker_goes_on(
    installed: Installed, environment: dict[str, str], tmp_path: Path
):
    text = ("--data", _data(tmp_path, "char_lstm"))
    for arguments, said in NEED_KERAS:
        data = () if "--data" in arguments else text
        done = installed.run("train", *arguments, *data, environment=environment)

        assert done.status == 1
        assert said in " ".join(done.err.split())
        assert "Traceback" not in done.out + done.err

    again = installed.run("train", "markov", *text, environment=environment)
    assert again.status == 0, again.err


def _environment(**variables: str) -> dict[str, str]:
    """Return variables with which no module of the checkout is found."""
    kept = clean_environment(**variables, COLUMNS="1000")
    return {name: value for name, value in kept.items() if name != "PYTHONPATH"}


def _pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pip", *arguments], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr


def _tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *FOLDERS],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def _in_wheel(name: str) -> str:
    _, _, inside = name.partition("/")
    return f"seqd_schemas/{inside}" if inside.startswith("json/") else inside


def _checked_out(folder: Path) -> Path:
    """Copy what git has: a build in the checkout would leave files there."""
    for name in [*_tracked(), "pyproject.toml", "README.md"]:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    # git lists a link as one file, which leads to a folder.
    (folder / "schemas" / "seqd_schemas" / "json").symlink_to("../json")
    return folder


def _data(folder: Path, model: str) -> str:
    """Write something small to learn from; return where."""
    if model == "imdb_lstm":
        path = folder / "reviews.jsonl"
        rows = [{"text": text, "label": label} for text, label in REVIEWS * 40]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path = folder / "corpus.txt"
        path.write_text("The cat sat on the mat. The rat sat on a cat. " * 200)
    return str(path)
