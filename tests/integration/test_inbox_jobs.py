"""The inbox beside real workers: one XADD from any language makes a job, also in a full Redis."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest
from redis import Redis
from redis.exceptions import OutOfMemoryError

from inbox_builders import Producer, a_job_id, a_request, words
from seqd.errors import IdempotencyConflict, RedisFull
from seqd.ledger import connect
from seqd.ledger.acl import Role
from seqd_schemas import INBOX_GROUP, JobState
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes

MIB = 2**20


@pytest.fixture
def producer(cluster: Cluster) -> Iterator[Producer]:
    """A program with the rights of its role, which calls plain commands."""
    url = str(cluster.settings_of(Role.INBOX).redis_url)
    with Redis.from_url(url, protocol=2, socket_timeout=None) as redis:
        yield Producer(redis, cluster.settings.keys)


def test_a_job_runs_under_the_identifier_that_its_producer_chose_and_is_followed_from_the_first(
    producer: Producer, cluster: Cluster
) -> None:
    client, job_id, events = cluster.client(), a_job_id(), list[str]()

    def follow() -> None:
        events.extend(event.event for event in client.job(job_id).events())

    follower = threading.Thread(target=follow)
    follower.start()
    for _ in range(2):  # the same twice is one job
        producer.add(a_request(["a", "b"]), job_id)
    follower.join(timeout=120)

    results = list(client.job(job_id).results())
    assert [(r.custom_id, r.output.label) for r in results] == [("c0", "a"), ("c1", "b")]
    assert (events[0], events[-1], events.count("queued")) == ("queued", "completed", 1)
    wait_until(lambda: producer.waiting() == 0, "an empty inbox")
    with connect(str(cluster.settings.redis_url)) as redis:
        assert redis.xpending(cluster.settings.keys.inbox(), INBOX_GROUP)["pending"] == 0
    assert client.job(job_id).rejection() is None
    producer.rejection_of(producer.add(a_request(["a"], model="nobody_has_this")))
    # What a program in another language reads of a job that it has handed in.
    keys = cluster.settings.keys
    assert not producer.redis.hexists(keys.output(job_id), "0")
    assert producer.redis.hget(keys.job(job_id), "results")
    assert producer.redis.hget(keys.limits(), "inbox_entries") == b"10000"
    with pytest.raises(IdempotencyConflict):
        client.classify(["b"], model="echo", job_id=job_id)


def test_an_entry_that_a_dead_worker_read_is_claimed_by_another(
    producer: Producer, cluster: Cluster
) -> None:
    key, job_id = cluster.settings.keys.inbox(), a_job_id()
    # A consumer that takes the entry before any worker can, and is never heard of again. The
    # entry is idle for half a minute from the start, so that the test need not wait for that.
    with connect(str(cluster.settings.redis_url)) as redis:
        with redis.pipeline(transaction=True) as pipe:
            pipe.xadd(key, {"id": job_id, "job": json.dumps(a_request(["a"]))})
            pipe.xreadgroup(INBOX_GROUP, "dead", {key: ">"}, count=1)
            _, taken = pipe.execute()
        entry_id = taken[0][1][0][0]
        redis.xclaim(key, INBOX_GROUP, "dead", 0, [entry_id], idle=60_000)

    assert producer.answer_to(entry_id.decode()).outcome == "accepted"
    assert cluster.client().job(job_id).wait(timeout_s=120).state is JobState.COMPLETED


@pytest.mark.slow
def test_a_worker_that_is_killed_while_it_takes_entries_over_answers_each_once(
    empty_cluster: Cluster,
) -> None:
    empty_cluster.publish_catalog()
    with connect(str(empty_cluster.settings.redis_url)) as redis:
        producer = Producer(redis, empty_cluster.settings.keys)
        bodies = [json.dumps(a_request([f"text {n}"])) if n % 3 else "{}" for n in range(600)]
        with redis.pipeline() as pipe:
            for n, body in enumerate(bodies):
                pipe.xadd(empty_cluster.settings.keys.inbox(), {"id": f"e{n}", "job": body})
            entries = [entry.decode() for entry in pipe.execute()]

        for enough in (100, 250):
            worker = empty_cluster.start("w")
            wait_until(partial(producer.has_answered, enough), "some answers")
            worker.kill()
        left = producer.waiting()
        empty_cluster.start_ready("w")
        wait_until(lambda: producer.waiting() == 0, "an empty inbox")
        answers = producer.all_answers()

    print(f"{left} of 600 entries were left by two workers that were killed")
    assert sorted(answer.entry for answer in answers) == sorted(entries)
    assert [answer.outcome for answer in answers].count("accepted") == 400
    assert all(answer.created for answer in answers if answer.outcome == "accepted")


def used_bytes(producer: Producer) -> int:
    return int(producer.redis.info("memory")["used_memory"])


def add_until(producer: Producer, text_chars: int, used: int) -> list[str]:
    """Add entries until Redis uses so much, or takes no more; returns their identifiers."""
    added: list[str] = []
    try:
        while used_bytes(producer) < used:
            for _ in range(20):
                text = words(text_chars, len(added))
                added.append(producer.add(a_request([text]), f"p{len(added)}"))
    except OutOfMemoryError:
        pass
    return added


@pytest.mark.slow
@pytest.mark.parametrize("text_chars", [4_000, 20_000], ids=["small", "large"])
def test_entries_that_alone_exceed_the_memory_share_are_taken_over_or_rejected(
    own_cluster: Cluster, text_chars: int
) -> None:
    worker, client = own_cluster.start_ready(), own_cluster.client()
    with connect(str(own_cluster.settings.redis_url)) as redis:
        producer = Producer(redis, own_cluster.settings.keys)
        most = used_bytes(producer) + 8 * MIB
        redis.config_set("maxmemory", most)
        worker.freeze()
        added = add_until(producer, text_chars, int(0.9 * most))
        # It was measured less than 250 ms ago, with less in it.
        redis.delete(own_cluster.settings.keys.memory())
        with pytest.raises(RedisFull):
            client.classify(["a client's"], model="echo")
        # Done jobs would make room for entries that are not read yet.
        own_cluster.operator().pause_model("echo", reason="a test")

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
        own_cluster.operator().resume_model("echo")
        wait_until(lambda: not client.open_jobs(), "all jobs are done")
        redis.config_set("maxmemory", 0)
        assert (
            client.classify(["a client's"], model="echo").wait(timeout_s=120).counts.succeeded == 1
        )


@pytest.mark.slow
def test_a_worker_begins_on_a_redis_that_the_inbox_has_filled(own_cluster: Cluster) -> None:
    own_cluster.publish_catalog()
    with connect(str(own_cluster.settings.redis_url)) as redis:
        producer = Producer(redis, own_cluster.settings.keys)
        redis.config_set("maxmemory", used_bytes(producer) + 8 * MIB)
        added = add_until(producer, 20_000, 2**62)

        own_cluster.start_ready()

        wait_until(lambda: producer.waiting() == 0, "an empty inbox")
        assert [answer.id for answer in producer.all_answers() if answer.created] == added
