"""Arguments that are refused in words, by both clients, before anything is sent."""

import asyncio
from collections.abc import Awaitable, Callable
from math import nan
from typing import Any

import pytest

from seqd.client import AsyncClient, Client
from seqd.errors import ClientMisused, InvalidRequest

#: No Redis is there: whatever is sent raises RedisUnreachable.
NOWHERE = "redis://127.0.0.1:1/0"

_LIMIT = "limit is {}; allowed: 1 or more jobs."
_TIMEOUT = "timeout_s is {}; allowed: 0 or more seconds, or None for no end."
_METADATA = "metadata is {}; allowed: a dictionary of texts, as a job has."
_JOBS = "The jobs are {}; allowed: a list of handles."
_STATES = "states is {}; allowed: a list of states."
_NO_FILTER = (
    "No filter is given, so all dead letters would be meant. Give one, such as "
    "code='plugin_error', or every=True to {} all."
)
_EVERY = "every=True means all dead letters: leave the filters out, or do not {}."

#: A call of a client, or of its handle of a job, and what is wrong with its argument.
CALLS = [
    (
        lambda client: client.jobs(since="1h"),
        "since is '1h'; allowed: a datetime, such as datetime.now() - timedelta(hours=1).",
    ),
    (lambda client: client.jobs(states="failed"), _STATES.format("'failed'")),
    (lambda client: client.jobs(states=3), _STATES.format("3")),
    (
        lambda client: client.jobs(model=3),
        "model is 3; allowed: NAME, or NAME@3 (a version).",
    ),
    (lambda client: client.jobs(metadata="batch"), _METADATA.format("'batch'")),
    (lambda client: client.jobs(metadata={"batch": 7}), _METADATA.format("{'batch': 7}")),
    (lambda client: client.jobs(limit="2"), _LIMIT.format("'2'")),
    (lambda client: client.jobs(limit=0), _LIMIT.format("0")),
    (lambda client: client.jobs(limit=True), _LIMIT.format("True")),
    (lambda client: client.jobs(tenant=3), "tenant is 3; allowed: the name of a tenant."),
    (lambda client: client.open_jobs(limit="2"), _LIMIT.format("'2'")),
    (lambda client: client.open_jobs(limit=0), _LIMIT.format("0")),
    (lambda client: client.predict("a", timeout_s="5"), _TIMEOUT.format("'5'")),
    (lambda client: client.predict("a", timeout_s=-1), _TIMEOUT.format("-1")),
    (lambda client: client.complete("a", timeout_s=nan), _TIMEOUT.format("nan")),
    (lambda client: client.job("j1").wait(timeout_s="5"), _TIMEOUT.format("'5'")),
    (lambda client: client.job("j1").wait(timeout_s=-1), _TIMEOUT.format("-1")),
    (lambda client: client.job("j1").trained_version(timeout_s="5"), _TIMEOUT.format("'5'")),
    (
        lambda client: client.job("j1").result(1),
        "custom_id is 1; allowed: the name of an item.",
    ),
    (
        lambda client: client.classify_each(3),
        "The items are 3; allowed: an iterable of texts or records.",
    ),
    (lambda client: client.replay(), _NO_FILTER.format("replay")),
    (lambda client: client.replay(tenant=None, dry_run=True), _NO_FILTER.format("replay")),
    (lambda client: client.purge_failures(), _NO_FILTER.format("purge")),
    (lambda client: client.purge_failures(since=None, dry_run=True), _NO_FILTER.format("purge")),
    (lambda client: client.replay(every=True, code="too_long"), _EVERY.format("replay")),
    (lambda client: client.purge_failures(every=True, ids=["1-1"]), _EVERY.format("purge")),
]

#: Calls that give a stream, of both clients: they are refused before it is read.
STREAMS = [
    (lambda client: client.as_completed(None), _JOBS.format("None")),
    (lambda client: client.as_completed("j1"), _JOBS.format("'j1'")),
    (
        lambda client: client.as_completed(["j1"]),
        "One of the jobs is 'j1'; allowed: handles. That of an identifier is client.job(JOB).",
    ),
    (
        lambda client: client.as_completed([client.job("j1")], timeout_s="5"),
        _TIMEOUT.format("'5'"),
    ),
    (
        lambda client: client.as_completed([client.job("j1")], timeout_s=-1),
        _TIMEOUT.format("-1"),
    ),
    (lambda client: client.job("j1").events(timeout_s="5"), _TIMEOUT.format("'5'")),
    (lambda client: client.job("j1").events(timeout_s=nan), _TIMEOUT.format("nan")),
    *(
        (
            lambda client, after=after: client.job("j1").events(after=after),
            f"after is {after!r}; allowed: the id of an event, such as '1796013784137-0', or '0-0' "
            "for all that are kept.",
        )
        for after in ("abc", "", "5", None, f"{2**64}-0", f"0-{2**64}")
    ),
    (
        lambda client: client.job("j1").results(limit="5"),
        "limit is '5'; allowed: a whole number from 0 on, or None for no limit.",
    ),
]


def message_of(call: Callable[[], object]) -> str:
    """Return the message with which a call is refused."""
    with pytest.raises(InvalidRequest) as refusal:
        call()
    assert refusal.value.code == "invalid_request"
    return str(refusal.value)


@pytest.mark.parametrize(("call", "message"), [*CALLS, *STREAMS])
def test_a_client_says_what_arrived_and_what_is_allowed(
    call: Callable[[Client], object], message: str
) -> None:
    with Client(NOWHERE) as client:
        assert message_of(lambda: call(client)) == message


@pytest.mark.parametrize(("call", "message"), CALLS)
def test_a_client_of_asyncio_says_the_same(
    call: Callable[[AsyncClient], Awaitable[Any]], message: str
) -> None:
    async def use() -> str:
        async with AsyncClient(NOWHERE) as client:
            with pytest.raises(InvalidRequest) as refusal:
                await call(client)
            assert refusal.value.code == "invalid_request"
            return str(refusal.value)

    assert asyncio.run(use()) == message


@pytest.mark.parametrize(("call", "message"), STREAMS)
def test_a_stream_of_asyncio_is_refused_before_it_is_read(
    call: Callable[[AsyncClient], object], message: str
) -> None:
    async def use() -> str:
        async with AsyncClient(NOWHERE) as client:
            return message_of(lambda: call(client))

    assert asyncio.run(use()) == message


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.jobs(),
        lambda client: client.open_jobs(),
        lambda client: client.job("j1").record(),
        lambda client: client.predict("a"),
        lambda client: client.workers(),
        lambda client: next(client.job("j1").results()),
        lambda client: next(client.as_completed([client.job("j1")])),
    ],
    ids=["jobs", "open_jobs", "record", "predict", "workers", "results", "as_completed"],
)
def test_a_closed_client_says_so_as_one_of_asyncio_does(call: Callable[[Client], object]) -> None:
    client = Client(NOWHERE)
    client.close()

    with pytest.raises(ClientMisused) as refusal:
        call(client)

    assert str(refusal.value) == "This Client is closed. Make another one."


def test_a_client_can_be_closed_twice() -> None:
    with Client(NOWHERE) as client:
        client.close()
