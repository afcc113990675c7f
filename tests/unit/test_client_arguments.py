"""Arguments that are refused in words, by both clients, before anything is sent."""

from collections.abc import Callable
from functools import partial
from math import nan

import pytest

from async_builders import FACES, Face, faces
from seqd.client import Client
from seqd.errors import ClientMisused, InvalidRequest
from seqd_schemas import FileSource

#: No Redis is there: whatever is sent raises RedisUnreachable.
NOWHERE = "redis://127.0.0.1:1/0"

_LIMIT = "limit is {}; allowed: 1 or more {}."
_TIMEOUT = "timeout_s is {}; allowed: 0 or more seconds, or None for no end."
_METADATA = "metadata is {}; allowed: a dictionary of texts, as a job has."
_LABEL_MAP = (
    "label_map.0.[key] is 0; allowed: up to 256 labels of the model, each with its new name of 1 "
    "to 256 characters."
)
_OTHER_FIELD = (
    "{} is {!r}, and that of the FileSource is {!r}; allowed: that of the FileSource, by which "
    "workers read it."
)
_JOBS = "The jobs are {}; allowed: a list of handles."
_STATES = "states is {}; allowed: a list of states."
_NO_FILTER = (
    "No filter is given, so all dead letters would be meant. Give one, such as "
    "code='plugin_error', or every=True to {} all."
)
_MODEL = "model is {!r}; allowed: {}."
_OPTIONS = (
    "durable, expected_items, expires_in_s, id_field, idempotency_key, job_id, label_map, "
    "max_running_units, metadata, min_score, output_folder, parameters, priority, results_ttl_s, "
    "tenant, text_field"
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
    (lambda client: client.jobs(limit="2"), _LIMIT.format("'2'", "jobs")),
    (lambda client: client.jobs(limit=0), _LIMIT.format("0", "jobs")),
    (lambda client: client.jobs(limit=True), _LIMIT.format("True", "jobs")),
    (lambda client: client.jobs(tenant=3), "tenant is 3; allowed: the name of a tenant."),
    (lambda client: client.open_jobs(limit=0), _LIMIT.format("0", "jobs")),
    (lambda client: client.failures(limit=-1), _LIMIT.format("-1", "dead letters")),
    (lambda client: client.audit(limit=0), _LIMIT.format("0", "acts")),
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
    (
        lambda client: client.train(["a"], model="echo", labels="best"),
        "labels is 'best'; allowed: names of lower-case letters, digits, `_` and `-`.",
    ),
    (
        lambda client: client.sweep(FileSource(path="d.jsonl"), model="echo", grid=["epochs"]),
        "grid is ['epochs']; allowed: 1 to 8 parameters, each with values that differ, of 256 "
        "combinations at most.",
    ),
    (
        lambda client: client.classify(FileSource(path="/d.csv"), id_field="key"),
        _OTHER_FIELD.format("id_field", "key", "custom_id"),
    ),
    (
        lambda client: client.train(FileSource(path="/d.csv"), model="echo", label_field="mood"),
        _OTHER_FIELD.format("label_field", "mood", "label"),
    ),
    *(
        (lambda client, ask=ask: ask(client)(label_map={0: "neg"}), _LABEL_MAP)
        for ask in (
            lambda client: partial(client.classify, ["a"]),
            lambda client: partial(client.predict, "a"),
        )
    ),
    (
        lambda client: client.classify(["a"], model="imdb_lstm@"),
        _MODEL.format("imdb_lstm@", "NAME, NAME@3 (a version) or NAME@production (a label)"),
    ),
    (
        lambda client: client.train(["a"], model="markov@0"),
        _MODEL.format(
            "markov@0", "a name of up to 40 of a-z 0-9 _ with a letter in front, without a version"
        ),
    ),
    (
        lambda client: client.classify(["a"], tenant="A B"),
        "tenant is 'A B'; allowed: 1 to 64 letters, digits, `_`, `.` and `-`.",
    ),
    (
        lambda client: client.classify(["a"], foo=1),
        f"There is no option 'foo'. Known options: {_OPTIONS}.",
    ),
    *(
        (
            lambda client, score=score: client.classify(["a"], min_score=score),
            f"min_score is {score}; allowed: a score from 0 to 1.",
        )
        for score in (1.5, nan)
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


def said_to(asked: Face, call: Callable[[Client], object]) -> str:
    """Return what a call is refused with."""
    try:
        asked.do(lambda: call(asked.client))
    except InvalidRequest as refusal:
        return f"{refusal.code}: {refusal}"
    return "It was not refused."


@faces
def test_a_client_says_what_arrived_and_what_is_allowed_before_anything_is_sent(face):
    # A stream is refused before it is read.
    calls = [*CALLS, *STREAMS]

    with Face(FACES[face](NOWHERE)) as asked:
        said = [said_to(asked, call) for call, _ in calls]

    assert said == [f"invalid_request: {message}" for _, message in calls]


def test_a_closed_client_says_so_whatever_it_is_asked_and_can_be_closed_twice():
    client = Client(NOWHERE)
    client.close()
    client.close()

    calls: list[Callable[[], object]] = [
        client.jobs,
        client.open_jobs,
        client.job("j1").record,
        client.workers,
        lambda: client.predict("a"),
        lambda: next(client.job("j1").results()),
        lambda: next(client.as_completed([client.job("j1")])),
    ]
    for call in calls:
        with pytest.raises(ClientMisused) as refusal:
            call()
        assert str(refusal.value) == "This Client is closed. Make another one."
