"""A pytest plugin for the tests of a service: a client of a daemon that the test itself runs.

    # conftest.py
    pytest_plugins = ["seqd.testing.services"]

    # test_service.py
    @pytest.fixture
    def seqd_models():
        return {"imdb_lstm": lambda text: "positive" if "fine" in text else "negative"}

    def test_a_review_is_labelled(seqd_client):
        job = seqd_client.classify(["A fine film."])

        assert [result.output.label for result in job.results()] == ["positive"]

No entry point names it: pytest imports those in each run of whoever has seqd installed, and this
one brings a worker. Tests without pytest use `seqd.testing.running_services`.
"""

import functools
import inspect
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import pytest

from seqd.client import AsyncClient, Client
from seqd.errors import SeqdError
from seqd.testing.in_process.models import ModelFunction
from seqd.testing.in_process.running import (
    RunningServices,
    ServerForTests,
    running_services,
    server_for_tests,
)

_ASYNC_CLIENT = "seqd_async_client"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run name a server, in the place of an embedded one."""
    parser.getgroup("seqd").addoption(
        "--seqd-redis-url",
        default=None,
        help="Redis or Valkey server for tests; by default one of the package is started.",
    )


@pytest.fixture(scope="session")
def seqd_server(pytestconfig: pytest.Config) -> Iterator[ServerForTests]:
    """The server of this run; each process of pytest-xdist has one."""
    # Not there where a test module names the plugin: the command line has been read by then.
    given: str | None = pytestconfig.getoption("seqd_redis_url", default=None)
    if given:
        yield ServerForTests(given)
        return
    with ExitStack() as stack:
        try:
            server = stack.enter_context(server_for_tests())
        except SeqdError as error:
            pytest.fail(str(error), pytrace=False)
        yield server


@pytest.fixture
def seqd_models() -> Mapping[str, ModelFunction]:
    """The models of the test's worker, by name; override it. By default there are none."""
    return {}


@pytest.fixture
def seqd_services(
    seqd_server: ServerForTests, seqd_models: Mapping[str, ModelFunction]
) -> Iterator[RunningServices]:
    """The worker of this test, and what may be ordered of it; see `RunningServices`."""
    with running_services(seqd_models, server=seqd_server) as services:
        yield services


@pytest.fixture
def seqd_client(seqd_services: RunningServices) -> Iterator[Client]:
    """A client of this test's worker. Jobs that have not ended with the test are cancelled."""
    with seqd_services.client() as client:
        yield client
        seqd_services.cancel_open_jobs()


@pytest.fixture
def seqd_async_client(
    seqd_services: RunningServices, request: pytest.FixtureRequest
) -> AsyncClient:
    """A client of this test's worker for coroutine tests, by pytest-asyncio or anyio.

    It is closed in the test's own event loop, when the test function has returned.
    """
    if not inspect.iscoroutinefunction(request.function):
        pytest.fail(
            f"{_ASYNC_CLIENT} is for tests that are coroutines; elsewhere use `async with "
            "seqd_services.async_client() as client`.",
            pytrace=False,
        )
    return seqd_services.async_client()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Have a coroutine test close its client: only its own event loop can."""
    if not isinstance(item, pytest.Function):
        return
    client, services = item.funcargs.get(_ASYNC_CLIENT), item.funcargs.get("seqd_services")
    if not isinstance(client, AsyncClient) or not isinstance(services, RunningServices):
        return
    test = item.obj

    @functools.wraps(test)
    async def test_and_close(**arguments: object) -> None:
        async with client:
            await test(**arguments)
            services.cancel_open_jobs()

    item.obj = test_and_close
