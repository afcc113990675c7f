"""One text, one answer, for many tasks at a time: `AsyncClient.predict`."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from seqd.client import AsyncClient, Client
from seqd.errors import ItemFailed, UnknownModel
from seqd.ledger import connect
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes

#: Longest that anything here may take.
LIMIT_S = 60.0

#: Scripts that the worker here runs while it has nothing to do, 17 a second, and some more.
CALLS_A_SECOND = 30

T = TypeVar("T")


def run(use: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(use, LIMIT_S))


def calls_of_scripts(client: Client) -> int:
    """How many scripts the server has run so far, for clients and workers alike."""
    assert client._settings.redis_url is not None
    redis = connect(client._settings.redis_url)
    calls = redis.info("commandstats")["cmdstat_evalsha"]["calls"]
    redis.close()
    return calls


def test_a_text_has_its_classification(cluster: Cluster) -> None:
    async def use() -> str:
        async with AsyncClient(settings=cluster.settings) as client:
            return (await client.predict("A fine film.", model="echo")).label

    assert run(use()) == "A fine film."


def test_a_thousand_texts_at_a_time_have_their_own_answers_in_few_round_trips(
    cluster: Cluster,
) -> None:
    direct = cluster.client()
    before, calls = cluster.keys_of_jobs(), calls_of_scripts(direct)
    texts = [f"text {number}" for number in range(1_000)]

    async def use() -> list[str]:
        async with AsyncClient(settings=cluster.settings) as client:
            asked = (client.predict(text, model="echo", timeout_s=LIMIT_S) for text in texts)
            return [answer.label for answer in await asyncio.gather(*asked)]

    began = time.monotonic()
    assert run(use()) == texts
    took_s = time.monotonic() - began
    # Each alone would take four: submitted, claimed, committed, taken.
    assert calls_of_scripts(direct) - calls < 500 + CALLS_A_SECOND * took_s
    assert cluster.keys_of_jobs() - before <= {"jobs:small"}


def test_texts_that_are_asked_together_do_not_depend_on_each_other(cluster: Cluster) -> None:
    async def use() -> list[object]:
        async with AsyncClient(settings=cluster.settings) as client:
            return await asyncio.gather(
                client.predict("good", model="echo"),
                client.predict("bad", model="echo"),
                client.predict("good", model="ecco"),
                client.complete("once", model="echo", parameters={"length": 5}),
                client.predict("other", model="echo", parameters={"delay_ms": 1.0}),
                return_exceptions=True,
            )

    good, bad, unknown, written, other = run(use())

    assert (good.label, other.label, written.prompt) == ("good", "other", "once")  # type: ignore[attr-defined]
    assert isinstance(bad, ItemFailed)
    assert bad.code == "invalid_input"
    assert isinstance(unknown, UnknownModel)


def test_a_text_that_takes_too_long_is_cancelled_and_leaves_nothing(
    empty_cluster: Cluster,
) -> None:
    empty_cluster.publish_catalog()  # by a worker that is gone
    before = empty_cluster.keys_of_jobs()

    async def use() -> str:
        async with AsyncClient(settings=empty_cluster.settings) as client:
            with pytest.raises(TimeoutError) as raised:
                await client.predict("text", model="echo", timeout_s=0.3)
            return str(raised.value)

    assert " was queued after 0.3 s, and is cancelled and removed." in run(use())
    assert empty_cluster.keys_of_jobs() <= before | {"client"}


def test_the_job_of_a_task_that_is_cancelled_is_cancelled_and_removed(
    empty_cluster: Cluster,
) -> None:
    empty_cluster.publish_catalog()
    direct = empty_cluster.client()
    before = empty_cluster.keys_of_jobs()

    async def use() -> None:
        async with AsyncClient(settings=empty_cluster.settings) as client:
            at_once = asyncio.create_task(client.predict("text", model="echo"))
            await asyncio.sleep(0)  # it has asked, and nothing is sent yet
            at_once.cancel()
            later = asyncio.create_task(client.predict("text", model="echo"))
            while not await client.open_jobs():
                await asyncio.sleep(0.01)
            later.cancel()
            await asyncio.gather(at_once, later, return_exceptions=True)

    run(use())

    wait_until(lambda: direct.open_jobs() == [], "no job is left")
    left = {
        key
        for key in empty_cluster.keys_of_jobs() - before
        if not key.endswith("-wake:completions")
    }
    assert left == set()
