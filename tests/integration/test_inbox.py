"""Each entry of the inbox gets one answer, which its producer finds by the entry's stream id.

The inbox runs in the test's own process, on a ledger whose jobs nobody computes.
"""

import json
import secrets
from collections.abc import Iterator

import pytest
from hypothesis import strategies as st

from builders import a_catalog_entry, a_failure, a_worker_status
from hostile_cases import hostile
from inbox_builders import Producer, a_job_id, a_request, words
from ledger_fixtures import Environment, publish_entries
from seqd.client import Client, UnknownModel
from seqd.errors import JobFailed
from seqd.worker.inbox import Inbox
from seqd_schemas import (
    INBOX_GROUP,
    InboxAnswer,
    JobState,
    PluginState,
    PluginStatus,
    TaskSchema,
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
    task = TaskSchema(parameters=a_catalog_entry().tasks["classify"].parameters, unit_items=1)
    tasks = a_catalog_entry().tasks | {"train": task}
    publish_entries(environment.ledger.fleet, [a_catalog_entry(model="echo", tasks=tasks)])
    environment.ledger.fleet.publish_limits(environment.settings)
    return Producer(environment.redis, environment.keys)


@pytest.fixture
def inbox(environment: Environment) -> Inbox:
    return Inbox(environment.ledger, environment.settings, "worker-a")


@pytest.fixture
def client(environment: Environment) -> Iterator[Client]:
    with Client(settings=environment.settings) as client:
        yield client


def allow(environment: Environment, entries: int) -> None:
    settings = environment.with_settings(max_inbox_entries=entries).settings
    environment.ledger.fleet.publish_limits(settings)


def answer_all(producer: Producer, inbox: Inbox) -> None:
    while producer.waiting():
        inbox.run_once()


def the_answer(producer: Producer, inbox: Inbox, entry: str) -> InboxAnswer:
    """Have the inbox answered, and return what a producer is told of one entry."""
    answer_all(producer, inbox)
    return producer.answer_to(entry)


def refusal(answer: InboxAnswer) -> tuple[str, str]:
    """Return the code and the message of a rejection."""
    assert answer.outcome == "rejected" and answer.failure is not None
    return answer.failure.code, answer.failure.message


def test_an_entry_becomes_a_job_and_the_same_again_is_accepted_as_that(
    environment: Environment, producer: Producer, inbox: Inbox
) -> None:
    entries = [producer.add_job(a_request(["a"]), "mine") for _ in range(2)]

    answer_all(producer, inbox)

    assert producer.all_answers() == [
        InboxAnswer(entry=entry, outcome="accepted", id="mine", job_id="mine", created=created)
        for entry, created in zip(entries, (True, False), strict=True)
    ]
    assert environment.events("mine") == ["queued"]


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
def test_a_model_that_nobody_publishes_is_refused_in_a_clients_words_with_what_workers_say(
    environment: Environment,
    client: Client,
    producer: Producer,
    inbox: Inbox,
    worker: dict[str, object],
    told: str,
) -> None:
    fleet = environment.ledger.fleet
    fleet.publish_worker(a_worker_status(worker="w1", seen_at_ms=fleet.now_ms(), **worker))
    entry = producer.add_job(a_request(["a"], model="topics"), "mine")

    answer = the_answer(producer, inbox, entry)
    with pytest.raises(UnknownModel) as refused:
        client.predict("a", model="topics")  # a job would wait for the worker that starts

    assert refusal(answer) == ("unknown_model", str(refused.value))
    assert str(refused.value) == (
        "no model named 'topics'. Known models: echo. `seqd plugins list` shows plugins that "
        f"failed to load; one that was installed since needs `seqd workers restart`.{told}"
    )


@pytest.mark.parametrize("tenant", ["default", "another"])
def test_an_identifier_that_stands_for_another_request_is_answered_with_a_code(
    environment: Environment, producer: Producer, inbox: Inbox, tenant: str
) -> None:
    producer.add_job(a_request(["a"]), "mine")
    other = producer.add_job(a_request(["other"], tenant=tenant), "mine")

    answer = the_answer(producer, inbox, other)

    assert (answer.job_id, answer.existing_job_id) == (None, "mine")
    assert refusal(answer) == (
        "id_in_use",
        "The identifier 'mine' already stands for job mine, which asks for something else. Send "
        "the same request again, or choose another one.",
    )
    # The stream of that identifier is the job's, and stays so.
    assert environment.events("mine") == ["queued"]
    assert environment.redis.ttl(environment.keys.events("mine")) == -1


@pytest.mark.parametrize(
    ("text", "code"), [("a", "already_submitted"), ("b", "idempotency_conflict")]
)
def test_an_idempotency_key_in_use_is_answered_with_the_job_that_it_stands_for(
    producer: Producer, inbox: Inbox, text: str, code: str
) -> None:
    producer.add_job(a_request(["a"], idempotency_key="k"), "first")
    second = producer.add_job(a_request([text], idempotency_key="k"), "second")

    answer = the_answer(producer, inbox, second)

    assert (refusal(answer)[0], answer.existing_job_id) == (code, "first")
    assert answer.failure is not None
    event = producer.rejected_event_of("second")
    assert event["existing_job_id"] == "first"
    assert event["failure"] == json.loads(to_stored(answer.failure))


ALLOWED_ID = "allowed: 1 to 64 letters, digits, `_` and `-`, the first a letter or digit."
BOTH_FIELDS = (
    "; allowed: `id`, the identifier that you choose for the job, and `job`, the job as JSON. Both "
    "are needed, and no other."
)


@pytest.mark.parametrize(
    ("fields", "given_id", "message"),
    [
        ({"id": "no id!", "job": "{}"}, "no id!", f"The field `id` is 'no id!'; {ALLOWED_ID}"),
        (
            {"id": b"\xff\xfe", "job": "{}"},
            "\ufffd\ufffd",
            f"The field `id` is '\ufffd\ufffd'; {ALLOWED_ID}",
        ),
        (
            {"id": "x" * 10_000, "job": "{}"},
            "x" * 256,
            f"The field `id` is '{'x' * 199}…; {ALLOWED_ID}",
        ),
        (
            {"what": "ever"},
            None,
            "The entry has no field `id`; its fields: 'what'. It has two: `id`, the identifier "
            "that you choose for the job, and `job`, the job as JSON.",
        ),
        ({"id": "fieldless"}, "fieldless", f"The entry has the fields 'id'{BOTH_FIELDS}"),
        (
            {"id": "more", "job": "{}", "priority": "9"},
            "more",
            f"The entry has the fields 'id', 'job', 'priority'{BOTH_FIELDS}",
        ),
    ],
    ids=["invalid", "bytes", "long", "no id", "no job", "more"],
)
def test_an_entry_that_cannot_be_read_is_answered_with_what_is_wrong(
    producer: Producer, inbox: Inbox, fields, given_id, message
) -> None:
    entry = producer.add_fields(fields)

    answer = the_answer(producer, inbox, entry)

    assert (answer.id, refusal(answer)) == (given_id, ("invalid_request", message))
    if given_id in ("fieldless", "more"):
        assert producer.rejection_of(given_id) == answer.failure


def inline(*items: dict[str, str]) -> dict[str, object]:
    return {"type": "inline", "items": list(items)}


NO_UPLOAD = {
    "kind": "train",
    "model": "echo",
    "source": {"type": "file", "path": "/a.jsonl"},
    "held_out": {"type": "upload"},
}


@pytest.mark.parametrize(
    ("job", "code", "reason"),
    [
        ("{not json", "invalid_request", "The field `job` is not a job: the JSON: Invalid JSON"),
        ('"text"', "invalid_request", "The field `job` is not a job"),
        (a_request(["a"], colour="red"), "invalid_request", "classify.colour: there is no such"),
        (
            a_request([], source=inline({"id": "r1", "text": "a"})),
            "invalid_request",
            "classify.source.inline.items.0.id: there is no such field; custom_id is missing",
        ),
        (a_request(["a"], model="ecko"), "unknown_model", "Did you mean 'echo'?"),
        (a_request(["a"], source={"type": "upload"}), "invalid_request", "nobody would upload"),
        (json.dumps(NO_UPLOAD), "invalid_request", "nobody would upload"),
        (
            a_request(["a"], engine="ray"),
            "invalid_request",
            "engine is 'ray'; allowed: none. A job",
        ),
        (a_request([]), "invalid_request", "at least 1 item"),
        (
            a_request([], source=inline(*[{"custom_id": "c0", "text": "a"}] * 2)),
            "duplicate_custom_id",
            "'c0' is used twice: by entry 1 and by entry 2",
        ),
        (b" " * 10_000_000, "invalid_request", "The job has 10000000 bytes; allowed: 4194304. Na"),
    ],
    ids=[
        *("garbage", "no-object", "field", "field of an item", "model"),
        *("upload", "held-out upload", "another engine", "empty", "duplicate", "ten megabytes"),
    ],
)
def test_what_cannot_become_a_job_is_rejected_with_its_reason_and_the_next_one_is_taken(
    client: Client, producer: Producer, inbox: Inbox, job: object, code: str, reason: str
) -> None:
    entry = producer.add_job(job, "mine")
    next_one = producer.add_job(a_request(["a"]), a_job_id())

    answer = the_answer(producer, inbox, entry)

    assert refusal(answer)[0] == code
    assert reason in refusal(answer)[1]
    rejection = client.job("mine").rejection()
    assert rejection is not None and rejection.failure == answer.failure
    with pytest.raises(JobFailed) as raised:
        client.job("mine").record()
    assert raised.value.failure == answer.failure
    assert producer.answer_to(next_one).outcome == "accepted"


def test_a_rejected_identifier_is_rejected_anew_or_becomes_a_job_with_a_stream_of_its_own(
    environment: Environment, producer: Producer, inbox: Inbox
) -> None:
    producer.add_job("{}", "mine")
    producer.add_job(a_request(["a"], model="ecko"), "mine")
    answer_all(producer, inbox)
    assert producer.rejection_of("mine").code == "unknown_model"

    producer.add_job(a_request(["a"]), "mine")
    answer_all(producer, inbox)

    # A `rejected` before it would end the reading of whoever starts at the beginning.
    assert environment.events("mine") == ["queued"]
    assert environment.redis.ttl(environment.keys.events("mine")) == -1


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


def test_an_entry_that_two_workers_have_in_hand_gets_one_answer(
    environment: Environment, producer: Producer, inbox: Inbox
) -> None:
    for name, job in (("good", a_request(["a"])), ("bad", "{}"), ("refused", a_request(["a"]))):
        producer.add_job(job, name)
    in_hand = environment.ledger.inbox.read_new("worker-b", None)
    environment.ledger.inbox.reject(in_hand[2], "refused", a_failure(), None)
    producer.redis.xclaim(
        environment.keys.inbox(), INBOX_GROUP, "worker-a", 0, [entry.id for entry in in_hand]
    )
    inbox.run_once()
    answered = producer.all_answers()
    slow = Inbox(environment.ledger, environment.settings, "worker-b")

    slow._answer_all(in_hand, environment.ledger.fleet.catalog())

    assert producer.all_answers() == answered
    outcomes = {answer.id: answer.outcome for answer in answered}
    assert outcomes == {"refused": "rejected", "good": "accepted", "bad": "rejected"}
    assert environment.events("bad") == environment.events("refused") == ["rejected"]
    assert not environment.ledger.jobs.exists("refused")


def test_what_a_worker_has_read_before_it_died_is_answered_by_the_next_of_its_name(
    environment: Environment, producer: Producer
) -> None:
    entry = producer.add_job(a_request(["a"]), "mine")
    environment.ledger.inbox.read_new("worker-b", None)

    Inbox(environment.ledger, environment.settings, "worker-b").run_once()

    assert producer.answer_to(entry, block_ms=1).created


def test_who_does_not_reconcile_reads_what_a_round_has_found_and_nothing_else(
    producer: Producer, inbox: Inbox
) -> None:
    entry = producer.add_job(a_request(["a"]), "mine")
    inbox.note_round(0, is_led=True)
    inbox.run_once()
    answered_before = producer.all_answers()

    inbox.note_round(1, is_led=True)
    inbox.run_once()

    assert answered_before == []
    assert producer.answer_to(entry, block_ms=1).outcome == "accepted"


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
    publish_entries(environment.ledger.fleet, [a_catalog_entry(model="echo")])

    inbox.run_once()

    assert producer.answer_to(entry, block_ms=1).outcome == "accepted"


@pytest.mark.parametrize("ahead_ms", [0, 3_600_000], ids=["now", "a clock that was ahead"])
def test_an_answer_stands_behind_the_stream_id_of_its_entry(
    environment: Environment, producer: Producer, inbox: Inbox, ahead_ms: int
) -> None:
    at_ms = environment.ledger.fleet.now_ms() + ahead_ms
    entries = [producer.add_fields({"id": f"e{n}", "job": "{}"}, f"{at_ms}-{n}") for n in range(40)]

    answer_all(producer, inbox)

    for entry in entries:
        assert entry in {answer.entry for answer in producer.all_answers(after=entry)}


def test_what_is_kept_of_answers_has_a_time_to_live_shorter_of_what_passes(
    environment: Environment, producer: Producer, inbox: Inbox
) -> None:
    allow(environment, 1)
    producer.add_job("{}", "first")
    producer.add(a_request(["a"]), "second")

    answer_all(producer, inbox)

    keys = environment.keys
    names = (keys.inbox_answers(), keys.inbox_rejections(), keys.events("first"))
    lives = [environment.redis.ttl(key) for key in (*names, keys.events("second"))]
    assert lives == pytest.approx([86_400, 86_400, 86_400, 600], abs=10)


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


def test_producers_can_read_how_long_the_inbox_may_be_and_how_long_its_entries_wait(
    environment: Environment,
) -> None:
    unknown = environment.ledger.inbox.state()
    environment.ledger.fleet.publish_limits(environment.settings)
    Producer(environment.redis, environment.keys).add("{}", "first")

    state = environment.ledger.inbox.state()

    assert (unknown.entries, unknown.allowed_entries, unknown.oldest_age_s) == (0, None, None)
    assert environment.redis.hget(environment.keys.limits(), "inbox_entries") == b"10000"
    assert (state.entries, state.allowed_entries) == (1, 10_000)
    assert state.oldest_age_s is not None and 0 <= state.oldest_age_s < 10


def test_on_a_full_redis_a_large_entry_becomes_a_job_and_a_small_one_is_rejected(
    environment: Environment, producer: Producer, inbox: Inbox
) -> None:
    large = producer.add_job(a_request([words(20_000, 1)]), "large")
    small = producer.add_job(a_request(["a"]), "small")
    wrong = producer.add_job("{}", "wrong")

    with environment.full_redis():  # also without a group of readers by now
        answer_all(producer, inbox)

    assert producer.answer_to(large).created
    failure = producer.answer_to(small).failure
    assert failure is not None
    assert (failure.code, failure.retry_after_s) == ("redis_full", 30.0)
    assert producer.rejection_of("small") == failure
    assert producer.answer_to(wrong).outcome == "rejected"
    assert environment.record("large").counts.total == 1


def test_entries_on_a_full_redis_that_has_no_catalog_are_told_to_come_again(
    environment: Environment, producer: Producer, inbox: Inbox
) -> None:
    environment.redis.delete(environment.keys.catalog())
    entry = producer.add_job(a_request([words(20_000, 1)]), "mine")

    with environment.full_redis():
        inbox.make_room()

    failure = producer.answer_to(entry).failure
    assert failure is not None
    assert (failure.code, failure.retry_after_s) == ("redis_full", 30.0)


IDENTIFIERS = st.one_of(
    st.sampled_from([b"one", b"two", b"three"]),
    st.binary(max_size=12),
    st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass")),
)
REQUESTS = st.one_of(
    st.sampled_from(
        [
            json.dumps(request).encode()
            for text in ("a", "b")
            for request in (a_request([text]), a_request([text], idempotency_key="k"))
        ]
    ),
    st.just(json.dumps(a_request(["a"], tenant="another")).encode()),
    st.just(b"[" * 5_000),
    st.binary(max_size=40),
)
ENTRIES = st.one_of(
    st.fixed_dictionaries({b"id": IDENTIFIERS, b"job": REQUESTS}),
    st.fixed_dictionaries({b"id": IDENTIFIERS, b"job": REQUESTS, b"more": st.binary()}),
    st.dictionaries(
        st.one_of(st.sampled_from([b"id", b"job", b"ID"]), st.binary(max_size=10)),
        st.binary(max_size=30),
        min_size=1,
        max_size=4,
    ),
)


@hostile(st.lists(ENTRIES, min_size=1, max_size=8))
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
