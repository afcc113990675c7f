"""Each entry of the inbox gets one answer, which its producer finds by the entry's stream id.

The inbox runs in the test's own process, on a ledger whose jobs nobody computes.
"""

import json
import secrets

import pytest
from hypothesis import strategies as st

from builders import a_catalog_entry, a_failure, a_worker_status
from hostile_cases import hostile
from inbox_builders import Producer, a_job_id, a_request
from ledger_fixtures import Environment
from seqd.client import Client, UnknownModel
from seqd.worker.inbox import Inbox
from seqd_schemas import (
    INBOX_GROUP,
    InboxAnswer,
    JobState,
    PluginState,
    PluginStatus,
    WorkerState,
    to_stored,
)

pytestmark = pytest.mark.processes

#: A plugin that an upgrade has broken.
BROKEN = PluginStatus(
    name="topics",
    distribution="seqd-topics",
    version="2",
    state=PluginState.BROKEN,
    reason="ModuleNotFoundError: No module named 'words' (seqd_topics.py, line 1, in <module>)",
)


@pytest.fixture
def producer(environment: Environment) -> Producer:
    environment.ledger.fleet.publish_catalog([a_catalog_entry(model="echo")])
    environment.ledger.fleet.publish_limits(environment.settings)
    return Producer(environment.redis, environment.keys)


@pytest.fixture
def inbox(environment: Environment) -> Inbox:
    return Inbox(environment.ledger, environment.settings, "worker-a")


def answer_all(producer: Producer, inbox: Inbox) -> None:
    while producer.waiting():
        inbox.run_once()


def the_answer(producer: Producer, inbox: Inbox, entry: str) -> InboxAnswer:
    """Have the inbox answered, and return what a producer is told of one entry."""
    answer_all(producer, inbox)
    return producer.answer_to(entry)


def test_an_entry_that_becomes_a_job_is_accepted(producer: Producer, inbox: Inbox) -> None:
    entry = producer.add_job(a_request(["a"]), "mine")

    answer = the_answer(producer, inbox, entry)

    assert answer == InboxAnswer(
        entry=entry, outcome="accepted", id="mine", job_id="mine", created=True
    )


@pytest.mark.parametrize(
    ("worker", "told"),
    [
        (
            {"plugins": (BROKEN,)},
            " Plugins that are broken on workers: topics on w1: ModuleNotFoundError: No module "
            "named 'words' (seqd_topics.py, line 1, in <module>).",
        ),
        (
            {"state": WorkerState.STARTING},
            " A worker is still starting (w1): try again in a moment.",
        ),
    ],
    ids=["broken", "starting"],
)
def test_a_model_that_nobody_publishes_is_rejected_with_what_workers_say_of_their_plugins(
    environment: Environment,
    producer: Producer,
    inbox: Inbox,
    worker: dict[str, object],
    told: str,
) -> None:
    fleet = environment.ledger.fleet
    fleet.publish_worker(a_worker_status(worker="w1", seen_at_ms=fleet.now_ms(), **worker))
    entry = producer.add_job(a_request(["a"], model="topics"), "mine")

    answer = the_answer(producer, inbox, entry)

    assert answer.failure is not None
    assert answer.failure.code == "unknown_model"
    assert answer.failure.message == (
        "no model named 'topics'. Known models: echo. `seqd plugins list` shows plugins that "
        f"failed to load; one that was installed since needs `seqd workers restart`.{told}"
    )


def test_the_inbox_and_a_client_refuse_the_model_of_a_broken_plugin_in_the_same_words(
    environment: Environment, producer: Producer, inbox: Inbox
) -> None:
    fleet = environment.ledger.fleet
    fleet.publish_worker(a_worker_status(seen_at_ms=fleet.now_ms(), plugins=(BROKEN,)))
    entry = producer.add_job(a_request(["a"], model="topics"), "mine")

    answer = the_answer(producer, inbox, entry)
    with Client(settings=environment.settings) as client, pytest.raises(UnknownModel) as refused:
        client.classify(["a"], model="topics")

    assert answer.failure is not None
    assert answer.failure.message == str(refused.value)


def test_a_repeated_entry_with_the_same_content_is_accepted_again(
    producer: Producer, inbox: Inbox
) -> None:
    producer.add_job(a_request(["a"]), "mine")
    again = producer.add_job(a_request(["a"]), "mine")

    answer = the_answer(producer, inbox, again)

    assert answer == InboxAnswer(
        entry=again, outcome="accepted", id="mine", job_id="mine", created=False
    )
    assert producer.redis.zcard(f"{inbox._ledger.keys.jobs()}") == 1


@pytest.mark.parametrize("tenant", ["default", "another"])
def test_an_identifier_that_stands_for_another_request_is_answered_with_a_code(
    environment: Environment, producer: Producer, inbox: Inbox, tenant: str
) -> None:
    producer.add_job(a_request(["a"]), "mine")
    other = producer.add_job(a_request(["other"], tenant=tenant), "mine")

    answer = the_answer(producer, inbox, other)

    assert (answer.outcome, answer.job_id, answer.existing_job_id) == ("rejected", None, "mine")
    assert answer.failure is not None
    assert (answer.failure.code, answer.failure.message) == (
        "id_in_use",
        "The identifier 'mine' already stands for job mine, which asks for something else. Send "
        "the same request again, or choose another one.",
    )
    # The stream of that identifier is the job's, and stays so.
    assert environment.events("mine") == ["queued"]


@pytest.mark.parametrize(
    ("text", "code"), [("a", "already_submitted"), ("b", "idempotency_conflict")]
)
def test_an_idempotency_key_in_use_is_answered_with_the_job_that_it_stands_for(
    producer: Producer, inbox: Inbox, text: str, code: str
) -> None:
    producer.add_job(a_request(["a"], idempotency_key="k"), "first")
    second = producer.add_job(a_request([text], idempotency_key="k"), "second")

    answer = the_answer(producer, inbox, second)

    assert (answer.outcome, answer.existing_job_id) == ("rejected", "first")
    assert answer.failure is not None
    assert answer.failure.code == code
    event = producer.rejected_event_of("second")
    assert event["existing_job_id"] == "first"
    assert event["failure"] == json.loads(to_stored(answer.failure))


@pytest.mark.parametrize(
    ("fields", "given_id", "message"),
    [
        (
            {"id": "no id!", "job": "{}"},
            "no id!",
            "The field `id` is 'no id!'; allowed: 1 to 64 letters, digits, `_` and `-`, the first "
            "a letter or digit.",
        ),
        (
            {"id": b"\xff\xfe", "job": "{}"},
            "\ufffd\ufffd",
            "The field `id` is '\ufffd\ufffd'; allowed: 1 to 64 letters, digits, `_` and `-`, the "
            "first a letter or digit.",
        ),
        (
            {"id": "x" * 10_000, "job": "{}"},
            "x" * 256,
            f"The field `id` is '{'x' * 199}…; allowed: 1 to 64 letters, digits, `_` and `-`, the "
            "first a letter or digit.",
        ),
        (
            {"what": "ever"},
            None,
            "The entry has no field `id`; its fields: 'what'. It has two: `id`, the identifier "
            "that you choose for the job, and `job`, the job as JSON.",
        ),
        (
            {"id": "fieldless"},
            "fieldless",
            "The entry has the fields 'id'; allowed: `id`, the identifier that you choose for the "
            "job, and `job`, the job as JSON. Both are needed, and no other.",
        ),
        (
            {"id": "more", "job": "{}", "priority": "9"},
            "more",
            "The entry has the fields 'id', 'job', 'priority'; allowed: `id`, the identifier that "
            "you choose for the job, and `job`, the job as JSON. Both are needed, and no other.",
        ),
    ],
    ids=["invalid", "bytes", "long", "no id", "no job", "more"],
)
def test_an_entry_that_cannot_be_read_is_answered_with_what_is_wrong(
    producer: Producer, inbox: Inbox, fields, given_id, message
) -> None:
    entry = producer.add_fields(fields)

    answer = the_answer(producer, inbox, entry)

    assert (answer.outcome, answer.id) == ("rejected", given_id)
    assert answer.failure is not None
    assert (answer.failure.code, answer.failure.message) == ("invalid_request", message)
    if given_id in ("fieldless", "more"):
        assert producer.rejection_of(given_id) == answer.failure


def test_an_entry_of_ten_megabytes_is_answered(producer: Producer, inbox: Inbox) -> None:
    large = producer.add_job(b" " * 10_000_000, a_job_id())
    next_one = producer.add_job(a_request(["a"]), a_job_id())

    answer = the_answer(producer, inbox, large)

    assert answer.failure is not None
    assert answer.failure.message == (
        "The job has 10000000 bytes; allowed: 4194304. Name a file as its source."
    )
    assert producer.answer_to(next_one).outcome == "accepted"


def test_a_worker_reads_no_more_large_entries_at_a_time_than_it_can_hold(
    environment: Environment, producer: Producer, inbox: Inbox
) -> None:
    for n in range(6):
        producer.add(b" " * 3_000_000, f"e{n}")

    read = environment.ledger.inbox.read_new("worker-a", 1)
    own = environment.ledger.inbox.read_own("worker-a")
    answer_all(producer, inbox)

    assert [len(read), len(own)] == [2, 2]
    assert len(producer.all_answers()) == 6


def test_a_second_rejection_under_one_identifier_takes_the_place_of_the_first(
    producer: Producer, inbox: Inbox
) -> None:
    producer.add_job("{}", "mine")
    producer.add_job(a_request(["a"], model="ecko"), "mine")

    answer_all(producer, inbox)

    assert producer.rejection_of("mine").code == "unknown_model"


def test_an_entry_that_two_workers_have_in_hand_gets_one_answer(
    environment: Environment, producer: Producer, inbox: Inbox
) -> None:
    producer.add_job(a_request(["a"]), "good")
    producer.add_job("{}", "bad")
    in_hand = environment.ledger.inbox.read_new("worker-b", None)
    producer.redis.xclaim(
        environment.keys.inbox(), INBOX_GROUP, "worker-a", 0, [entry.id for entry in in_hand]
    )
    inbox.run_once()
    answered = producer.all_answers()
    slow = Inbox(environment.ledger, environment.settings, "worker-b")

    slow._answer_all(in_hand, environment.ledger.fleet.catalog())

    assert producer.all_answers() == answered
    assert [answer.outcome for answer in answered] == ["accepted", "rejected"]
    assert environment.events("bad") == ["rejected"]


def test_an_entry_that_was_rejected_makes_no_job_in_slower_hands(
    environment: Environment, producer: Producer, inbox: Inbox
) -> None:
    producer.add_job(a_request(["a"]), "mine")
    (entry,) = environment.ledger.inbox.read_new("worker-b", None)
    environment.ledger.inbox.reject(entry, "mine", a_failure(), None)

    inbox._answer_all([entry], environment.ledger.fleet.catalog())

    assert environment.events("mine") == ["rejected"]
    assert [answer.outcome for answer in producer.all_answers()] == ["rejected"]
    assert environment.redis.exists(environment.keys.job("mine")) == 0


def test_what_a_worker_has_read_before_it_died_is_answered_by_the_next_of_its_name(
    environment: Environment, producer: Producer
) -> None:
    entry = producer.add_job(a_request(["a"]), "mine")
    environment.ledger.inbox.read_new("worker-b", None)

    Inbox(environment.ledger, environment.settings, "worker-b").run_once()

    assert producer.answer_to(entry, block_ms=1).created


@pytest.mark.parametrize("reader", ["worker-a", "dead"])
def test_an_entry_that_its_producer_deleted_after_it_was_read_holds_nothing_up(
    environment: Environment, producer: Producer, inbox: Inbox, reader: str
) -> None:
    deleted = producer.add_job(a_request(["a"]), "deleted")
    environment.ledger.inbox.read_new(reader, None)
    key = environment.keys.inbox()
    environment.redis.xclaim(key, INBOX_GROUP, reader, 0, [deleted], idle=60_000)
    environment.redis.xdel(key, deleted)
    entry = producer.add_job(a_request(["a"]), "mine")

    answer = the_answer(producer, inbox, entry)
    inbox.run_once()

    assert answer.outcome == "accepted"
    assert environment.redis.xpending(key, INBOX_GROUP)["pending"] == 0


def test_entries_wait_for_a_catalog_that_a_new_redis_does_not_have(
    environment: Environment, producer: Producer
) -> None:
    environment.redis.delete(environment.keys.catalog())
    entry = producer.add_job(a_request(["a"]), "mine")
    inbox = Inbox(environment.ledger, environment.with_settings(reconcile_s=0.01).settings, "w")
    inbox.run_once()
    assert producer.all_answers() == []
    environment.ledger.fleet.publish_catalog([a_catalog_entry(model="echo")])

    inbox.run_once()

    assert producer.answer_to(entry, block_ms=1).outcome == "accepted"


@pytest.mark.parametrize("ahead_ms", [0, 3_600_000], ids=["now", "a clock that was ahead"])
def test_an_answer_stands_behind_the_stream_id_of_its_entry(
    environment: Environment, producer: Producer, inbox: Inbox, ahead_ms: int
) -> None:
    at_ms = environment.ledger.fleet.now_ms() + ahead_ms
    entries = [producer.add_fields({"id": f"e{n}", "job": "{}"}, f"{at_ms}-{n}") for n in range(40)]

    answer_all(producer, inbox)

    found = [producer.all_answers(after=entry) for entry in entries]
    assert all(
        entry in {answer.entry for answer in behind}
        for entry, behind in zip(entries, found, strict=True)
    )


def test_an_answer_is_given_though_somebody_wrote_over_what_is_kept_of_them(
    environment: Environment, producer: Producer, inbox: Inbox
) -> None:
    environment.redis.set(environment.keys.inbox_answers(), "a string")
    environment.redis.set(environment.keys.inbox_rejections(), "a string")
    environment.redis.set(environment.keys.events("mine"), "a string")
    entry = producer.add_job("{}", "mine")

    assert the_answer(producer, inbox, entry).outcome == "rejected"
    assert producer.rejection_of("mine").code == "invalid_request"


def test_an_entry_whose_job_cannot_be_written_is_answered(
    environment: Environment, producer: Producer, inbox: Inbox
) -> None:
    environment.redis.set(environment.keys.open_jobs(), "a string")
    entry = producer.add_job(a_request(["a"]), "mine")

    answer = the_answer(producer, inbox, entry)

    assert answer.failure is not None
    assert (answer.failure.code, answer.failure.message) == (
        "job_damaged",
        "Redis holds something else than seqd writes under a key of this job. Hand it in again "
        "under another identifier.",
    )


def test_what_is_kept_of_answers_has_a_time_to_live(
    environment: Environment, producer: Producer, inbox: Inbox
) -> None:
    producer.add_job("{}", "mine")

    answer_all(producer, inbox)

    keys = environment.keys
    for key in (keys.inbox_answers(), keys.inbox_rejections(), keys.events("mine")):
        assert 86_300 < environment.redis.ttl(key) <= 86_400


identifiers = st.one_of(
    st.sampled_from([b"one", b"two", b"three"]),
    st.binary(max_size=12),
    st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass")),
)
requests = st.one_of(
    st.sampled_from(["a", "b"]).map(lambda text: json.dumps(a_request([text])).encode()),
    st.sampled_from(["a", "b"]).map(
        lambda text: json.dumps(a_request([text], idempotency_key="k")).encode()
    ),
    st.just(json.dumps(a_request(["a"], tenant="another")).encode()),
    st.just(b"[" * 5_000),
    st.binary(max_size=40),
)
entries = st.one_of(
    st.fixed_dictionaries({b"id": identifiers, b"job": requests}),
    st.fixed_dictionaries({b"id": identifiers, b"job": requests, b"more": st.binary()}),
    st.dictionaries(
        st.one_of(st.sampled_from([b"id", b"job", b"ID"]), st.binary(max_size=10)),
        st.binary(max_size=30),
        min_size=1,
        max_size=4,
    ),
)


@hostile(st.lists(entries, min_size=1, max_size=8))
def test_every_entry_gets_exactly_one_answer_and_none_blocks_the_next(
    environment: Environment, producer: Producer, inbox: Inbox, hostile_entries
) -> None:
    before = len(producer.all_answers())
    added = [producer.add_fields(fields) for fields in hostile_entries]
    last = f"last{secrets.token_hex(4)}"
    added.append(producer.add_job(a_request(["a"]), last))

    answer_all(producer, inbox)

    answered = producer.all_answers()[before:]
    assert [answer.entry for answer in answered] == added
    assert environment.redis.xpending(environment.keys.inbox(), INBOX_GROUP)["pending"] == 0
    for answer in answered:
        assert (answer.outcome == "accepted") is (answer.job_id is not None)
        assert (answer.outcome == "rejected") is (answer.failure is not None)
    assert answered[-1].created
    assert environment.record(last).state is JobState.QUEUED
