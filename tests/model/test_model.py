"""Whatever clients, workers, people and time do: the ledger does what the model says.

A failure prints the shortest walk that was found; `make model` takes new ones without end.
"""

from collections.abc import Iterator

import hypothesis
import pytest

from clock_fixtures import ClockServer
from model.adapter import SERVED, Adapter
from model.machine import TTL_S
from model.running import open_adapter, take_walks, walk_on
from redis_fixtures import installed_servers

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(3_000),  # on a busy machine, and to shorten a walk takes five minutes
]


@pytest.fixture(scope="module")
def adapter(each_clock_server: ClockServer) -> Iterator[Adapter]:
    with open_adapter(each_clock_server) as adapter:
        yield adapter


def test_the_ledger_does_what_the_model_says(
    adapter: Adapter, each_clock_server: ClockServer
) -> None:
    walks = hypothesis.settings().max_examples // 2
    if each_clock_server.binary.kind is not min(one.kind for one in installed_servers()):
        walks = min(walks, 20)  # what is peculiar to a server, the tests on `each_server` say

    take_walks(adapter, walks=walks, steps=25)


def test_an_ingest_that_may_not_go_on_is_released_with_its_worker(adapter: Adapter) -> None:
    walk = walk_on(adapter)()
    walk.classify_file(tenant="north", units=None, lost=0)
    walk.claim(worker="worker-a", served=SERVED, lost=0)
    walk.keep(which=0, lost=0)
    walk.steer(which=0, act="pause", lost=0)
    walk.resume_ingest(which=0, lost=0)
    walk.steer(which=0, act="resume", lost=0)

    walk.release_worker(worker="worker-a", crashed=False, death="", goes_on=True, lost=0)

    walk.all_is_as_predicted()
    assert [claimed.worker for claimed in walk.claims] == ["worker-a", "worker-b"]


def test_a_paused_job_goes_on_where_it_was(adapter: Adapter) -> None:
    walk = walk_on(adapter)()
    asked = {"tenant": "north", "model": "imdb_lstm", "priority": "normal"}
    walk.classify(asked=asked, size=9, lost=0)
    walk.claim(worker="worker-a", served=SERVED, lost=0)
    walk.steer(which=0, act="pause", lost=0)
    walk.claim(worker="worker-b", served=SERVED, lost=0)
    walk.steer(which=0, act="resume", lost=0)
    walk.all_is_as_predicted()

    walk.claim(worker="worker-b", served=SERVED, lost=0)

    walk.all_is_as_predicted()
    assert [claimed.worker for claimed in walk.claims] == ["worker-a", "worker-b"]


def test_a_small_job_is_retried_in_the_last_moment_of_its_time_to_live(adapter: Adapter) -> None:
    walk, last_ms = walk_on(adapter)(), 1_000 * TTL_S["north"]

    walk.fail_and_try_again(
        tenant="north", size=1, outcomes=["error"], spans_ms=[last_ms], worker="worker-a"
    )

    walk.all_is_as_predicted()
    assert len(walk.ledger.jobs) == 2


def test_a_warning_says_when_results_go(adapter: Adapter) -> None:
    walk = walk_on(adapter)()
    asked = {"tenant": "north", "model": "imdb_lstm", "priority": "normal"}
    walk.classify(asked=asked, size=9, lost=0)
    walk.work_until_nothing_is_left(worker="worker-a", outcomes=["like"])

    walk.pass_time(span_ms=950 * TTL_S["north"])
    walk.reconcile(what="expire", is_much=False, lost=0)

    walk.all_is_as_predicted()


@pytest.mark.slow
@pytest.mark.long
def test_the_ledger_does_what_the_model_says_for_long(adapter: Adapter) -> None:
    take_walks(adapter, walks=150, steps=40)
