"""A gateway on loopback for tests, with a worker in the test's process, and clients of it.

models        what the worker serves: functions by name; a file of tests may have its own
services      the server and the worker of the file
gateway       the address of the gateway, such as `http://127.0.0.1:41234`
web           an httpx client of it
openai        the stock client of its routes
seqd          runs commands on its ledger
new_key       makes a key; gives its secret and its id
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest
from openai import OpenAI

from cli_builders import Ended, here, use_ledger
from seqd.gateway.app import gateway_app
from seqd.testing import RunningServices, running_services
from service_guide import serving

#: Longest that a request may take, all else on the machine beside it.
LIMIT_S = 120.0


def sentiment(text: str) -> str:
    """Return the label of a review; refuse one."""
    if text == "raise":
        raise ValueError("not a review")
    return "positive" if "fine" in text else "negative"


def write(prompt: str) -> Iterator[str]:
    """Continue a prompt in two parts."""
    yield f"{prompt} and "
    yield "so on"


@pytest.fixture(scope="module")
def models() -> Mapping[str, Any]:
    return {"imdb_lstm": sentiment, "char_lstm": write}


@pytest.fixture(scope="module")
def services(models: Mapping[str, Any]) -> Iterator[RunningServices]:
    with running_services(models) as services:
        yield services


@pytest.fixture(scope="module")
def gateway(services: RunningServices) -> Iterator[str]:
    with serving(gateway_app(services.settings)) as address:
        yield address


@pytest.fixture
def web(gateway: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway, timeout=LIMIT_S) as client:
        yield client


@pytest.fixture
def openai(gateway: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway}/v1", api_key="none", timeout=LIMIT_S) as client:
        yield client


@pytest.fixture
def seqd(
    services: RunningServices, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """What runs commands on the gateway's ledger."""
    use_ledger(monkeypatch, services.settings)
    return lambda *words: here(capsys, *words)


@pytest.fixture
def new_key(seqd: Callable[..., Ended]) -> Callable[..., tuple[str, str]]:
    """What makes a key; gives its secret and its id."""

    def made(tenant: str, role: str, *more: str) -> tuple[str, str]:
        ended = seqd("keys", "new", "--tenant", tenant, "--role", role, *more, "--json")
        found = json.loads(ended.out)
        return found["secret"], found["key"]["id"]

    return made
