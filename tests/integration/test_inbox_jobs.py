"""The inbox: one XADD from any language makes a job, or gets its reason why not."""

import json
import secrets
import threading
from collections.abc import Iterator
from functools import partial

import pytest
import redis

from inbox_builders import Producer, a_job_id, a_request
from seqd.client import Client
from seqd.errors import IdempotencyConflict, JobFailed
from seqd_schemas import INBOX_GROUP, JobState, Rejected
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes


@pytest.fixture
def producer(cluster: Cluster) -> Iterator[Producer]:
    assert cluster.settings.redis_url is not None
    with redis.Redis.from_url(cluster.settings.redis_url) as connection:
        yield Producer(connection, cluster.settings.keys)


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    with Client(settings=cluster.settings) as client:
        yield client


#: Two items of one identifier.
TWICE = a_request([], source={"type": "inline", "items": [{"custom_id": "c0", "text": "a"}] * 2})


def wait_for_job(client: Client, job_id: str) -> None:
    wait_until(lambda: any(job.job_id == job_id for job in client.jobs(100)), f"job {job_id}")


def test_a_job_runs_under_the_identifier_that_its_producer_chose(producer, client):
    job_id = producer.add(a_request(["a", "b"]))

    wait_for_job(client, job_id)
    results = list(client.job(job_id).results())

    assert [(r.custom_id, r.output.label) for r in results] == [("c0", "a"), ("c1", "b")]


def test_an_entry_that_was_submitted_leaves_the_inbox(producer, client, cluster):
    job_id = producer.add(a_request(["a"]))
    wait_for_job(client, job_id)
    client.job(job_id).wait(timeout_s=30)

    wait_until(lambda: producer.waiting() == 0, "an empty inbox")
    pending = producer.redis.xpending(cluster.settings.keys.inbox(), INBOX_GROUP)
    assert pending["pending"] == 0


def test_the_same_entry_twice_makes_one_job(producer, client):
    job_id = producer.add(a_request(["a"]))
    producer.add(a_request(["a"]), job_id)
    wait_for_job(client, job_id)

    client.job(job_id).wait(timeout_s=30)
    wait_until(lambda: producer.waiting() == 0, "an empty inbox")

    events = [event.event for event in client.job(job_id).events()]
    assert events.count("queued") == events.count("completed") == 1
    assert client.job(job_id).rejection() is None


@pytest.mark.parametrize(
    ("job", "code", "reason"),
    [
        ("{not json", "invalid_request", "The field `job` is not a job: the JSON: Invalid JSON"),
        ('"text"', "invalid_request", "The field `job` is not a job"),
        (
            a_request(["a"], colour="red"),
            "invalid_request",
            "classify.colour: there is no such field",
        ),
        (
            a_request(["a"], source={"type": "inline", "items": [{"id": "r1", "text": "a"}]}),
            "invalid_request",
            "classify.source.inline.items.0.id: there is no such field; custom_id is missing",
        ),
        (a_request(["a"], model="ecko"), "unknown_model", "Did you mean 'echo'?"),
        (a_request(["a"], model="echo@999"), "unknown_model", "model 'echo' has no version 999"),
        (
            a_request(["a"], parameters={"delay_ms": "x"}),
            "invalid_parameters",
            "'delay_ms' is \"x\"",
        ),
        (a_request(["a"], source={"type": "upload"}), "invalid_request", "nobody would upload"),
        (
            '{"kind": "train", "model": "echo", "source": {"type": "file", "path": "/a.jsonl"}, '
            '"held_out": {"type": "upload"}, "schema_version": 2}',
            "invalid_request",
            "nobody would upload",
        ),
        (a_request([]), "invalid_request", "at least 1 item"),
        (TWICE, "duplicate_custom_id", "'c0' is used twice: by entry 1 and by entry 2"),
    ],
    ids=[
        "garbage",
        "no-object",
        "field",
        "field of an item",
        "model",
        "version",
        "parameter",
        "upload",
        "held-out upload",
        "empty",
        "duplicate",
    ],
)
def test_what_cannot_become_a_job_is_rejected_with_its_reason(producer, client, job, code, reason):
    job_id = producer.add(job)

    failure = producer.rejection_of(job_id)

    assert failure.code == code
    assert reason in failure.message
    rejection = client.job(job_id).rejection()
    assert isinstance(rejection, Rejected)
    assert rejection.failure == failure
    with pytest.raises(JobFailed) as raised:
        client.job(job_id).record()
    assert raised.value.failure == failure


def test_an_entry_without_a_usable_identifier_is_answered_and_holds_nothing_up(producer, client):
    unusable = producer.add_fields({"id": "no identifier!", "job": "{}"})
    nothing = producer.add_fields({"nothing": "at all"})

    job_id = producer.add(a_request(["a"]))

    assert producer.answer_to(unusable).id == "no identifier!"
    assert producer.answer_to(nothing).outcome == "rejected"
    wait_for_job(client, job_id)
    assert client.job(job_id).wait(timeout_s=30).state is JobState.COMPLETED


def test_a_rejected_identifier_can_be_used_for_a_right_job_afterwards(producer, client):
    job_id = producer.add("{}")
    producer.rejection_of(job_id)

    producer.add(a_request(["a"]), job_id)

    wait_for_job(client, job_id)
    assert client.job(job_id).wait(timeout_s=30).counts.succeeded == 1


def test_a_client_may_use_an_identifier_once(producer, client):
    job_id = producer.add(a_request(["a"]))
    wait_for_job(client, job_id)

    with pytest.raises(IdempotencyConflict):
        client.classify(["b"], model="echo", job_id=job_id)


def test_an_entry_that_a_dead_worker_read_is_claimed_by_another(producer, client, cluster):
    key = cluster.settings.keys.inbox()
    # A consumer that takes the entry before any worker can, and is never heard of again. The
    # entry is idle for half a minute from the start, so that the test need not wait for that.
    with producer.redis.pipeline(transaction=True) as pipe:
        pipe.xadd(key, {"id": (job_id := a_job_id()), "job": json.dumps(a_request(["a"]))})
        pipe.xreadgroup(INBOX_GROUP, "dead", {key: ">"}, count=1)
        _, taken = pipe.execute()
    entry_id = taken[0][1][0][0]
    producer.redis.xclaim(key, INBOX_GROUP, "dead", 0, [entry_id], idle=60_000)

    wait_for_job(client, job_id)

    assert client.job(job_id).wait(timeout_s=30).counts.succeeded == 1


def test_events_can_be_followed_from_before_the_job_exists(producer, client):
    job_id = a_job_id()
    answers: list[str] = []

    def follow() -> None:
        answers.extend(event.event for event in client.job(job_id).events())

    follower = threading.Thread(target=follow)
    follower.start()
    producer.add(a_request(["a"]), job_id)
    follower.join(timeout=20)

    assert answers[0] == "queued"
    assert answers[-1] == "completed"


def test_a_repeated_idempotency_key_is_answered_on_the_new_stream(producer, client):
    job = a_request(["a"], idempotency_key=secrets.token_hex(8))
    first = producer.add(job)
    client.job(first)
    wait_until(lambda: any(record.job_id == first for record in client.jobs(50)), "the first job")

    second = producer.add(job)

    failure = producer.rejection_of(second)
    assert failure.code == "already_submitted"
    assert f"already stands for job {first}" in failure.message
    assert producer.rejected_event_of(second)["existing_job_id"] == first


@pytest.mark.slow
def test_a_worker_that_is_killed_while_it_takes_entries_over_answers_each_once(
    empty_cluster: Cluster,
):
    assert empty_cluster.settings.redis_url is not None
    empty_cluster.publish_catalog()
    with redis.Redis.from_url(empty_cluster.settings.redis_url) as connection:
        producer = Producer(connection, empty_cluster.settings.keys)
        bodies = [json.dumps(a_request([f"text {n}"])) if n % 3 else "{}" for n in range(600)]
        with connection.pipeline() as pipe:
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
