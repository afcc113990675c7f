"""An inbox that is too long, or that fills Redis: every entry is answered, and work goes on."""

import random
import string
from collections import Counter
from collections.abc import Iterator

import pytest
from redis import Redis
from redis.exceptions import OutOfMemoryError

from builders import a_catalog_entry
from inbox_builders import Producer, a_request
from ledger_fixtures import Environment
from redis_fixtures import PrivateServer
from seqd.errors import RedisFull
from seqd.ledger import connect
from seqd.worker.inbox import Inbox
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes

MIB = 2**20

TEXT = "".join(random.Random(7).choices(string.ascii_lowercase[:8] + " ", k=20_000))


@pytest.fixture
def redis(own_server: PrivateServer) -> Iterator[Redis]:
    with connect(own_server.url) as client:
        yield client


@pytest.fixture
def producer(environment: Environment) -> Producer:
    environment.ledger.fleet.publish_catalog([a_catalog_entry(model="echo")])
    environment.ledger.fleet.publish_limits(environment.settings)
    return Producer(environment.redis, environment.keys)


@pytest.fixture
def inbox(environment: Environment) -> Inbox:
    return Inbox(environment.ledger, environment.settings, "worker-a")


@pytest.fixture
def full(environment: Environment) -> Iterator[None]:
    """A server that is full, from the moment on at which the test has asked for it."""
    yield
    environment.redis.config_set("maxmemory", 0)
    environment.redis.delete(environment.keys.memory())


def fill(redis: Redis) -> None:
    redis.config_set("maxmemory", 1)


def used_bytes(redis: Redis) -> int:
    return int(redis.info("memory")["used_memory"])


def words(chars: int, number: int) -> str:
    """Text that is compressed to about half, another one for each number."""
    return f"{number} {TEXT[:chars]}"


def allow(environment: Environment, entries: int) -> None:
    settings = environment.settings.model_copy(update={"max_inbox_entries": entries})
    environment.ledger.fleet.publish_limits(settings)


def answer_all(producer: Producer, inbox: Inbox) -> None:
    while producer.waiting():
        inbox.run_once()


def add_until(producer: Producer, text_chars: int, used: int) -> list[str]:
    """Add entries until Redis uses so much, or takes no more; returns their identifiers."""
    added: list[str] = []
    try:
        while used_bytes(producer.redis) < used:
            for _ in range(20):
                text = words(text_chars, len(added))
                added.append(producer.add(a_request([text]), f"p{len(added)}"))
    except OutOfMemoryError:
        pass
    return added


@pytest.mark.slow
@pytest.mark.parametrize("text_chars", [4_000, 20_000], ids=["small", "large"])
def test_entries_that_alone_exceed_the_memory_share_are_taken_over_or_rejected(
    own_cluster: Cluster, redis: Redis, text_chars: int
) -> None:
    worker = own_cluster.start_ready()
    client, producer = own_cluster.client(), Producer(redis, own_cluster.settings.keys)
    most = used_bytes(redis) + 8 * MIB
    redis.config_set("maxmemory", most)
    worker.freeze()
    added = add_until(producer, text_chars, int(0.9 * most))
    redis.delete(
        own_cluster.settings.keys.memory()
    )  # measured less than 250 ms ago, with less in it
    with pytest.raises(RedisFull):
        client.classify(["a client's"], model="echo")

    worker.thaw()

    wait_until(lambda: producer.waiting() == 0, "an empty inbox")
    answers = producer.all_answers()
    assert [answer.id for answer in answers] == added
    outcomes = Counter(answer.outcome for answer in answers)
    print(f"entries of {text_chars} characters: {dict(outcomes)}")
    assert outcomes["accepted"] > 0
    rejected = [answer for answer in answers if answer.outcome == "rejected"]
    assert {answer.failure.code for answer in rejected if answer.failure} <= {"redis_full"}
    if text_chars > 10_000:  # Each takes more in the inbox than as a job.
        assert rejected == []
    else:
        assert producer.rejection_of(str(rejected[-1].id)).retry_after_s == 30.0
    wait_until(lambda: not client.open_jobs(), "all jobs are done")
    redis.config_set("maxmemory", 0)
    assert client.classify(["a client's"], model="echo").wait(timeout_s=30).counts.succeeded == 1


@pytest.mark.slow
def test_a_worker_begins_on_a_redis_that_the_inbox_has_filled(
    own_cluster: Cluster, redis: Redis
) -> None:
    own_cluster.publish_catalog()
    producer = Producer(redis, own_cluster.settings.keys)
    redis.config_set("maxmemory", used_bytes(redis) + 8 * MIB)
    added = add_until(producer, 20_000, 2**62)

    own_cluster.start_ready()

    wait_until(lambda: producer.waiting() == 0, "an empty inbox")
    assert [answer.id for answer in producer.all_answers() if answer.created] == added


@pytest.mark.usefixtures("full")
def test_on_a_full_redis_a_large_entry_becomes_a_job_and_a_small_one_is_rejected(
    environment: Environment, producer: Producer, inbox: Inbox
) -> None:
    large = producer.add_job(a_request([words(20_000, 1)]), "large")
    small = producer.add_job(a_request(["a"]), "small")
    wrong = producer.add_job("{}", "wrong")
    fill(environment.redis)

    answer_all(producer, inbox)

    assert producer.answer_to(large).created
    failure = producer.answer_to(small).failure
    assert failure is not None
    assert (failure.code, failure.retry_after_s) == ("redis_full", 30.0)
    assert producer.rejection_of("small") == failure
    assert producer.answer_to(wrong).outcome == "rejected"
    assert environment.record("large").counts.total == 1


@pytest.mark.usefixtures("full")
def test_an_inbox_without_a_group_is_opened_on_a_full_redis(
    environment: Environment, producer: Producer, inbox: Inbox
) -> None:
    entry = producer.add_job("{}", "first")
    fill(environment.redis)

    answer_all(producer, inbox)

    assert producer.answer_to(entry).outcome == "rejected"


@pytest.mark.usefixtures("full")
def test_entries_on_a_full_redis_that_has_no_catalog_are_told_to_come_again(
    environment: Environment, producer: Producer, inbox: Inbox
) -> None:
    environment.redis.delete(environment.keys.catalog())
    entry = producer.add_job(a_request([words(20_000, 1)]), "mine")
    fill(environment.redis)

    inbox.make_room()

    failure = producer.answer_to(entry).failure
    assert failure is not None
    assert (failure.code, failure.retry_after_s) == ("redis_full", 30.0)


def test_the_newest_entries_beyond_the_limit_are_rejected(
    environment: Environment, producer: Producer, inbox: Inbox
) -> None:
    allow(environment, 5)
    added = [producer.add(a_request(["a"]), f"e{n}") for n in range(20)]
    unusable = producer.add_fields({"id": "no id!", "job": "{}"})

    answer_all(producer, inbox)

    accepted = [answer.id for answer in producer.all_answers() if answer.outcome == "accepted"]
    assert accepted == added[:5]
    failure = producer.rejection_of("e5")
    assert (failure.code, failure.retryable, failure.retry_after_s) == ("inbox_full", True, 5.0)
    assert failure.message == (
        "The inbox has 21 entries; allowed: 5 (SEQD_MAX_INBOX_ENTRIES of the workers). Nothing "
        "was kept of this one. Add it again in 5 s, or when XLEN of the inbox is below "
        f"`inbox_entries` of {environment.keys.limits()}."
    )
    answer = producer.answer_to(unusable)
    assert (answer.id, answer.failure) == (None, failure)
    assert len(producer.all_answers()) == 21


def test_a_rejection_that_passes_is_kept_for_ten_minutes(
    environment: Environment, producer: Producer, inbox: Inbox
) -> None:
    allow(environment, 1)
    producer.add(a_request(["a"]), "first")
    producer.add(a_request(["a"]), "second")

    answer_all(producer, inbox)

    assert 590 < environment.redis.ttl(environment.keys.events("second")) <= 600


def test_what_is_kept_of_rejections_is_bounded_and_less_when_memory_is_short(
    environment: Environment, producer: Producer, inbox: Inbox
) -> None:
    allow(environment, 1)
    with environment.redis.pipeline() as pipe:
        for n in range(1_200):
            pipe.xadd(environment.keys.inbox(), {"id": f"e{n}", "job": "{}"})
        pipe.execute()
    environment.redis.set(environment.keys.memory(), "short")

    answer_all(producer, inbox)

    assert environment.redis.llen(environment.keys.inbox_rejections()) == 1_000
    kept = [n for n in range(1_200) if environment.redis.exists(environment.keys.events(f"e{n}"))]
    assert len(kept) == 1_000
    assert len(producer.all_answers()) == 1_200


def test_producers_can_read_how_long_the_inbox_may_be(
    environment: Environment, producer: Producer
) -> None:
    assert environment.redis.hget(environment.keys.limits(), "inbox_entries") == b"10000"
    producer.add("{}", "first")

    state = environment.ledger.inbox.state()

    assert (state.entries, state.allowed_entries) == (1, 10_000)
    assert state.oldest_age_s is not None
    assert 0 <= state.oldest_age_s < 10


def test_an_empty_inbox_has_no_oldest_entry(environment: Environment) -> None:
    state = environment.ledger.inbox.state()

    assert (state.entries, state.allowed_entries, state.oldest_age_s) == (0, None, None)
