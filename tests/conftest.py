"""What every test gets: an environment without anybody's settings, and the Redis fixtures.

It also arranges a run: how many processes there are (`pytest -n auto`), which tests begin first,
where Numba keeps what it has compiled, and how many cases hypothesis draws.
"""

import gc
import os
import re
import signal
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from unittest import mock
from zlib import adler32

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from checkout import use_checkout
from seqd.local.slots import cores
from seqd.worker.celery_environment import remove_celery_variables

ROOT = Path(__file__).parent.parent

#: Test processes for each core. Slow tests wait for a lease, a signal or another process; without
#: them the processor is what is scarce, and each process collects all tests (147 s, 160 with 3).
PROCESSES_PER_CORE, PROCESSES_PER_CORE_OF_QUICK = 3, 2

#: Files that run in one process: of the image, which is built once; beside Keras, whose import
#: takes six seconds; over all sources, which are parsed once; and on the worker of `task_fixtures`,
#: whose start takes as much.
TOGETHER = {
    "images": ("test_containers", "test_stack"),
    "networks": ("test_char_lstm", "test_imdb", "test_imdb_learners"),
    "sources": ("test_checkout", "test_import_rules", "test_seams", "test_source_rules"),
    "tasks": (
        *("test_cli_run", "test_cli_schema", "test_plugin_shown", "test_run_client"),
        *("test_run_evaluations", "test_run_inbox", "test_run_tasks"),
    ),
}

#: Files on the worker of `worker_fixtures` run in three processes: where each of six had one, their
#: starts, and what they do while no test needs them, took as much as a tenth of the tests.
USES_SHARED_WORKER = re.compile(r"def test_\w+\([^)]*\b(?:cluster|cure)\b")
SHARED_WORKERS = 3

#: A file all of whose tests are slow. A run that leaves them out does not even import it.
ALL_SLOW = re.compile(r"^pytestmark = (?:pytest\.mark\.slow$|\[[^\]]*\bpytest\.mark\.slow\b)", re.M)

# A test of a property is no test of time: a busy machine must not fail it. The cases are the same
# in each run, so that no run fails by chance; `make hostile` draws new ones.
hypothesis.settings.register_profile(
    "thorough",
    deadline=None,
    derandomize=os.environ.get("HOSTILE_NEW") != "1",
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "quick", hypothesis.settings.get_profile("thorough"), max_examples=30
)
hypothesis.settings.load_profile("thorough")

# An editable install may point to another checkout; what a test starts inherits this.
use_checkout()

# Some tests import Celery, which reads its variables then.
remove_celery_variables()

# A shell starts what runs in its background with SIGINT and SIGQUIT ignored, and nohup with SIGHUP;
# so would every process that a test starts be, which then could not be ended as a person ends it. A
# handler of ours keeps this process safe as before, and is not handed on.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)

pytest_plugins = [
    "redis_fixtures",
    "clock_fixtures",
    "ledger_fixtures",
    "worker_fixtures",
    "s3_fixtures",
    "cgroup_fixtures",
    "task_fixtures",
    "sentinel_fixtures",
    "tls_fixtures",
    "fake_gpu_fixtures",
    "skips",
    "durations",
]


def pytest_configure() -> None:
    gc.disable()  # Until all tests are known: what is made by then stays to the end.
    # Numba reads the variable when it is first imported, here and in every process started here.
    os.environ["NUMBA_CACHE_DIR"] = str(ROOT / ".pytest_cache" / "numba")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    is_quick = leaves_slow_out(config.option.markexpr)
    return (PROCESSES_PER_CORE_OF_QUICK if is_quick else PROCESSES_PER_CORE) * cores()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what `-m` would leave out whole, before it is imported."""
    is_left_out = (
        collection_path.suffix == ".py"
        and leaves_slow_out(config.option.markexpr)
        and ALL_SLOW.search(collection_path.read_text("utf-8"))
    )
    return True if is_left_out else None


def leaves_slow_out(expression: str) -> bool:
    """Return True for an expression of marks that surely chooses no test that is slow."""
    outside = re.sub(r"\([^()]*\)", "", expression)
    return " or " not in outside and "not slow" in outside.split(" and ")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that last longest: those with networks, then those with processes."""
    first, second = (
        {item.path for item in items if item.get_closest_marker(mark)}
        for mark in ("network", "processes")
    )
    items.sort(key=lambda item: (item.path not in first, item.path not in second))


def pytest_collection_finish() -> None:
    """Collect garbage from now on, but not among some million objects of the tests themselves."""
    gc.freeze()
    gc.enable()


@cache
def _group_of(file: str) -> str:
    """Return what a file shares a process with; itself where that is nothing."""
    path = ROOT / file
    for group, stems in TOGETHER.items():
        if path.stem in stems:
            return group
    if USES_SHARED_WORKER.search(path.read_text()):
        return f"shared worker {adler32(path.stem.encode()) % SHARED_WORKERS}"
    return file


class _Files(LoadFileScheduling):
    """A file stays in one process, and so do those that run together."""

    def _split_scope(self, nodeid: str) -> str:
        return _group_of(str(super()._split_scope(nodeid)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    return _Files(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape what UTF-8 cannot hold in captured output: a report travels between processes."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode())
        for title, text in report.sections
    ]
    return report


@pytest.fixture
def own_environment() -> Iterator[None]:
    """Let what a test runs in this process set variables: all are as before behind it."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide the `SEQD_` variables of whoever runs the tests; `redis_server` has read its own."""
    for name in [name for name in os.environ if name.startswith("SEQD_")]:
        monkeypatch.delenv(name)
    yield
