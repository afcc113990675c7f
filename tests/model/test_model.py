"""Whatever clients, workers, people and time do: the ledger does what the model says.

A failure prints the shortest walk that was found; `make model` takes new ones without end.
"""

from collections.abc import Iterator

import pytest

from clock_fixtures import ClockServer
from model.adapter import Adapter
from model.running import open_adapter, take_walks

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]  # shortening takes five minutes


@pytest.fixture(scope="module")
def adapter(each_clock_server: ClockServer) -> Iterator[Adapter]:
    with open_adapter(each_clock_server) as adapter:
        yield adapter


def test_the_ledger_does_what_the_model_says(adapter: Adapter) -> None:
    take_walks(adapter, walks=30, steps=25)


@pytest.mark.slow
@pytest.mark.long
def test_the_ledger_does_what_the_model_says_for_long(adapter: Adapter) -> None:
    take_walks(adapter, walks=150, steps=40)
