"""The one format of Redis and of the model store: what a program of this release may work on."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

import seqd
from builders import a_catalog_entry
from ledger_fixtures import Environment, publish_entries
from seqd.client import AsyncClient, Client, OtherFormat
from seqd.formats import LAYOUT
from seqd.models.store import ModelStore
from seqd.settings import Settings
from seqd_schemas import FORMAT
from store_builders import publish
from worker_fixtures import Cluster

OF_BEFORE = "holds what seqd 0.1 or 0.2 has stored, and no later release reads."
OF_DEV0 = "holds what seqd 1.0.0.dev0 has stored, and no later release reads."


def of_a_later(found: str) -> str:
    return (
        f"has format {found}, and seqd {seqd.__version__}, which is the one here, reads formats up "
        f"to {FORMAT}. Upgrade seqd here."
    )


def no_format(environment: Environment) -> str:
    publish_entries(environment.ledger.fleet, [a_catalog_entry()])
    environment.redis.delete(environment.keys.format())
    return f"{OF_BEFORE} Set SEQD_PREFIX to another."


def the_first_format(environment: Environment) -> str:
    environment.redis.set(environment.keys.format(), "1")
    return f"{OF_DEV0} Set SEQD_PREFIX to another."


def a_later_format(environment: Environment) -> str:
    environment.redis.set(environment.keys.format(), str(FORMAT + 1))
    return f"{of_a_later(str(FORMAT + 1))} Or set SEQD_PREFIX to another."


async def catalog_of(settings: Settings) -> None:
    async with AsyncClient(settings=settings) as client:
        await client.catalog()


@pytest.mark.parametrize("wrong", [no_format, the_first_format, a_later_format])
def test_a_client_of_either_face_is_refused_where_redis_has_a_format_that_it_cannot_read(
    environment: Environment, wrong: Callable[[Environment], str]
) -> None:
    settings = environment.ledger.settings
    told = f"Redis, under the prefix {settings.prefix!r}, {wrong(environment)}"

    with Client(settings=settings) as client, pytest.raises(OtherFormat) as refused:
        client.jobs()
    with pytest.raises(OtherFormat) as refused_later:
        asyncio.run(catalog_of(settings))

    assert (str(refused.value), str(refused_later.value)) == (told, told)
    environment.redis.delete(environment.keys.format(), environment.keys.catalog())
    with Client(settings=settings) as client:
        assert client.jobs() == []


def test_each_of_the_first_calls_is_refused_where_they_are_made_together(
    environment: Environment,
) -> None:
    settings = environment.ledger.settings
    a_later_format(environment)

    async def first_calls() -> list[object]:
        async with AsyncClient(settings=settings) as client:
            calls = (client.catalog(), client.jobs(), client.failures())
            return list(await asyncio.gather(*calls, return_exceptions=True))

    answers = asyncio.run(first_calls())

    assert [type(answer) for answer in answers] == [OtherFormat] * 3


def test_the_first_worker_states_the_format_and_no_other_changes_it(
    environment: Environment,
) -> None:
    fleet = environment.ledger.fleet
    before = environment.redis.get(environment.keys.format())

    publish_entries(fleet, [a_catalog_entry()])
    first = environment.redis.get(environment.keys.format())
    environment.redis.set(environment.keys.format(), "9")
    publish_entries(fleet, [a_catalog_entry()])

    assert (before, first) == (None, str(LAYOUT).encode())
    assert environment.redis.get(environment.keys.format()) == b"9"


def test_who_looks_while_the_first_worker_publishes_takes_it_for_none_of_a_release_before(
    environment: Environment,
) -> None:
    look = environment.ledger.fleet.check_format.steps()
    asked = next(look)
    reply = environment.ledger.transport.send(asked)

    publish_entries(environment.ledger.fleet, [a_catalog_entry()])

    with pytest.raises(StopIteration):  # its end, and no OtherFormat
        while True:
            reply = environment.ledger.transport.send(look.send(reply))


@pytest.mark.processes
def test_a_worker_does_not_start_on_a_redis_or_a_store_that_it_cannot_read(
    empty_cluster: Cluster,
) -> None:
    keys, store = empty_cluster.settings.keys, empty_cluster.settings.store_dir
    redis = Redis.from_url(str(empty_cluster.settings.redis_url))
    store.mkdir(parents=True, exist_ok=True)

    redis.set(keys.format(), "9")
    first = empty_cluster.start("first")
    ends = [first.wait_for_end()]
    redis.delete(keys.format())
    (store / "format.json").write_text("9\n")
    second = empty_cluster.start("second")
    ends.append(second.wait_for_end())
    redis.close()

    assert ends == [78, 78]
    assert f"error[other_format]: Redis, under the prefix {keys.prefix!r}, has format 9" in (
        first.log()
    )
    assert f"error[other_format]: The model store {store} has format 9" in second.log()


def test_a_store_states_its_format_with_its_first_version_and_is_read_by_no_other(
    tmp_path: Path,
) -> None:
    store = ModelStore(tmp_path, {})
    store.check_format()
    publish(store, "topics")
    store.check_format()
    file = tmp_path / "format.json"
    stated = file.read_text()

    file.write_text("1\n")
    store.check_format()
    file.write_text(f"{FORMAT + 1}\n")
    with pytest.raises(OtherFormat) as of_later:
        store.check_format()
    file.unlink()
    store.check_format()
    (tmp_path / "topics" / "model.json").unlink()
    with pytest.raises(OtherFormat) as of_before:
        store.check_format()

    assert stated == f"{LAYOUT}\n"
    instead = "et SEQD_DATA_DIR to another folder."
    assert (
        str(of_later.value)
        == f"The model store {tmp_path} {of_a_later(str(FORMAT + 1))} Or s{instead}"
    )
    assert str(of_before.value) == f"The model store {tmp_path} {OF_BEFORE} S{instead}"
