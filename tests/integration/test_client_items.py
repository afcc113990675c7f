"""Jobs of items from a Python program, run by a real worker: order, faults, lazy upload."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from random import Random

import pytest

from plugin_builders import place
from seqd.client import AsyncClient, Client
from seqd.errors import (
    DuplicateCustomId,
    IdempotencyConflict,
    InvalidParameters,
    InvalidRequest,
    JobFailed,
    UnknownJob,
    UnknownModel,
)
from seqd_schemas import ItemFailure, ItemSuccess, JobState, Priority
from worker_fixtures import PLUGIN, Cluster, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.smoke]


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    with Client(settings=cluster.settings) as client:
        yield client


def labels_of(results: list[ItemSuccess | ItemFailure]) -> list[str]:
    """Return each item's label, or its error's code."""
    return [
        result.output.label  # type: ignore[union-attr] # echo classifies
        if isinstance(result, ItemSuccess)
        else result.error.code.value
        for result in results
    ]


def test_many_units_from_a_generator_come_back_once_and_in_order(client):
    texts = (f"text {number}" for number in range(1_000))

    results = list(client.classify(texts, model="echo").results())

    assert labels_of(results) == [f"text {number}" for number in range(1_000)]
    assert [result.custom_id for result in results] == [f"row-{n}" for n in range(1, 1_001)]


def test_results_are_read_while_the_job_runs(client, cure):
    job = client.classify([*["a"] * 40, "held", *["a"] * 39], model="echo")

    next(job.results())
    state_at_first_result = job.record().state
    cure.touch()

    assert state_at_first_result is JobState.RUNNING
    assert job.wait(timeout_s=30).counts.succeeded == 80


def test_prompts_are_continued(client):
    (result,) = client.generate(["abc"], model="echo").results()

    assert result.output.samples[0].text == "cba"


def test_records_keep_the_identifiers_that_they_bring(client):
    records = [{"custom_id": "x", "text": "a"}, {"id": 7, "text": "b"}, {"text": "c"}]

    results = list(client.classify(records, model="echo").results())

    assert [result.custom_id for result in results] == ["x", "7", "row-3"]


def test_an_item_that_cannot_be_used_becomes_an_error_in_its_place(client):
    values = ["a", "", {"no": "text"}, "lone \ud800 surrogate", "bad", "b"]

    results = list(client.classify(values, model="echo").results())
    record = client.job(client.jobs(1)[0].job_id).record()

    assert labels_of(results) == [
        "a",
        "invalid_input",
        "invalid_input",
        "decode_error",
        "invalid_input",
        "b",
    ]
    assert (record.state, record.counts.succeeded, record.counts.errored) == ("completed", 2, 4)


def test_a_plugin_that_raises_for_one_item_leaves_its_neighbours_alone(client):
    results = list(client.classify(["a", "raise", "b"], model="echo").results())

    assert labels_of(results) == ["a", "plugin_error", "b"]
    assert results[1].error.message == (
        "The model plugin raised ValueError: this text was made to break the plugin "
        + place(PLUGIN / "seqd_light.py", 'raise ValueError("this text was', "_raises")
    )


def test_too_few_outcomes_for_one_item_are_that_items_error(client):
    results = list(client.classify(["a", "few", "b"], model="echo").results())

    assert labels_of(results) == ["a", "plugin_error", "b"]
    assert "0 outcomes for 1 items" in results[1].error.message


def test_an_outcome_of_a_wrong_type_is_that_items_error(client):
    results = list(client.classify(["a", "wrong", "b"], model="echo").results())

    assert labels_of(results) == ["a", "plugin_error", "b"]
    assert results[1].error.message == (
        "The model plugin gave str as an outcome; its contract (B1) allows Classification and "
        "ItemError."
    )


def test_an_outcome_that_no_result_can_hold_is_that_items_error(client):
    results = list(client.classify(["a", "nan", "subclass", "b"], model="echo").results())

    assert labels_of(results) == ["a", "plugin_error", "plugin_error", "b"]
    assert results[1].error.message == (
        "The model plugin gave a Classification that no result can hold: score is nan: Input "
        "should be less than or equal to 1."
    )
    assert results[2].error.message == (
        "The model plugin gave RichClassification with the field 'language', which would be lost: "
        "a result holds the fields of Classification only."
    )


def test_a_unit_that_writes_80_million_characters_is_read_back(client):
    prompts = [f"{number} {'x' * 999_998}" for number in range(5)]

    job = client.generate(prompts, model="echo", parameters={"samples": 16})

    written = [result.output.samples for result in job.results()]
    assert job.record().units == 1
    assert [len(samples) for samples in written] == [16] * 5
    assert all(
        sample.text == prompt[::-1]
        for prompt, samples in zip(prompts, written, strict=True)
        for sample in samples
    )


def test_the_upload_is_never_far_ahead_of_the_workers(cluster, cure):
    drawn = 0
    # Hardly compressible: a unit of eight takes about 1,000 bytes.
    texts = [Random(number).randbytes(100).hex() for number in range(399)]

    def draw() -> Iterator[str]:
        nonlocal drawn
        for text in ["held", *texts]:
            drawn += 1
            yield text

    settings = cluster.settings.model_copy(update={"max_pending_bytes": 4_000})
    with Client(settings=settings) as client:
        job = client.classify(draw(), model="echo")
        wait_until(lambda: drawn >= 24, "units that wait behind the one that is held")
        with pytest.raises(TimeoutError):
            job.wait(timeout_s=1)
        drawn_while_held = drawn
        cure.touch()
        answered = sum(result.ok for result in job.results())

    assert (drawn, answered) == (400, 400)
    # Four units of 8 wait in Redis or are worked on, and one is about to be sent.
    assert drawn_while_held < 80


def test_what_the_callers_iterable_raises_fails_the_job_and_is_raised_again(client):
    def draw() -> Iterator[str]:
        yield from (f"text {number}" for number in range(100))
        raise OSError("the disk is gone")

    job = client.classify(draw(), model="echo")

    with pytest.raises(OSError, match="the disk is gone"):
        job.wait(timeout_s=30)
    record = job.record()
    assert record.state is JobState.FAILED
    assert record.failure is not None
    assert record.failure.code == "upload_failed"
    assert record.failure.message == (
        "The input broke off after unit 12: OSError: the disk is gone"
    )
    with pytest.raises(OSError, match="the disk is gone"):
        list(job.results())


def test_an_identifier_that_is_used_twice_fails_the_job(client):
    records = [{"id": f"i{number % 50}", "text": "a"} for number in range(60)]

    job = client.classify(records, model="echo")

    with pytest.raises(DuplicateCustomId) as raised:
        job.wait(timeout_s=30)
    assert str(raised.value).startswith("the identifier 'i0' is used twice: by entry 1 and by entr")
    failure = client.job(job.job_id).record().failure
    assert failure is not None
    assert failure.code == "duplicate_custom_id"


def test_a_duplicate_in_the_first_unit_is_refused_at_once(client):
    with pytest.raises(DuplicateCustomId):
        client.classify([{"id": "i", "text": "a"}, {"id": "i", "text": "b"}], model="echo")


def test_a_model_that_nobody_runs_is_refused_with_those_that_there_are(client):
    with pytest.raises(UnknownModel) as raised:
        client.classify(["a"], model="ecko")

    assert str(raised.value) == (
        "no model named 'ecko'. Known models: echo. Did you mean 'echo'? `seqd plugins list` "
        "shows plugins that failed to load; "
        "one that was installed since needs `seqd workers restart`."
    )


def test_a_parameter_out_of_range_is_refused_before_anything_is_sent(client):
    before = client.jobs(1)

    with pytest.raises(InvalidParameters) as raised:
        client.classify(["a"], model="echo", parameters={"delay_ms": -1})

    assert str(raised.value).startswith("echo classify: parameter 'delay_ms' is -1")
    assert client.jobs(1) == before


def test_no_items_are_refused(client):
    with pytest.raises(InvalidRequest) as raised:
        client.classify([], model="echo")

    assert str(raised.value) == "There are no items; at least one is due."


def test_an_idempotency_key_stands_for_one_job(client):
    jobs = [client.classify(["a"], model="echo", idempotency_key="k-1") for _ in range(2)]

    assert jobs[0].job_id == jobs[1].job_id
    assert len(list(jobs[1].results())) == 1
    with pytest.raises(IdempotencyConflict) as raised:
        client.classify(["a"], model="echo", idempotency_key="k-1", parameters={"note": "other"})
    assert str(raised.value).startswith(
        f"The idempotency key 'k-1' already stands for job {jobs[0].job_id}"
    )


@pytest.mark.parametrize("count", [1, 20], ids=["one unit", "several units"])
def test_other_items_under_an_idempotency_key_are_refused(client, count):
    key = f"items-{count}"
    job = client.classify(["a"] * count, model="echo", idempotency_key=key)
    job.wait(timeout_s=30)

    with pytest.raises(IdempotencyConflict) as raised:
        client.classify(["b"] * count, model="echo", idempotency_key=key)
    again = client.classify(["a"] * count, model="echo", idempotency_key=key)

    assert str(raised.value).startswith(
        f"The idempotency key '{key}' already stands for job {job.job_id}"
    )
    assert labels_of(list(again.results())) == ["a"] * count


@pytest.mark.serial
def test_waiting_ends_when_its_time_is_over(client):
    job = client.classify(["a"] * 8, model="echo", parameters={"delay_ms": 100})

    began = time.monotonic()
    with pytest.raises(TimeoutError) as raised:
        job.wait(timeout_s=0.2)
    waited_s = time.monotonic() - began

    assert waited_s < 1.0
    assert str(raised.value).endswith("after 0.2 s, with 0 of 8 items done.")
    assert job.wait(timeout_s=30).counts.succeeded == 8


def test_events_are_replayed_from_any_of_them(client):
    job = client.classify(["a"] * 20, model="echo")
    job.wait(timeout_s=30)

    events = list(job.events())
    names = [event.event for event in events]
    again = list(client.job(job.job_id).events(after=events[1].id))

    assert names[:2] == ["queued", "started"]
    assert names[-1] == "completed"
    assert again == events[2:]
    assert list(job.events(after=events[-1].id)) == []


def test_a_job_that_is_not_kept_is_unknown(client):
    with pytest.raises(UnknownJob):
        client.job("no-such-job").record()


def test_events_of_a_job_that_is_not_kept_are_waited_for_no_longer_than_asked(client):
    began = time.monotonic()
    with pytest.raises(UnknownJob):
        list(client.job("no-such-job").events(timeout_s=0.1))
    assert time.monotonic() - began < 10.0  # else it is for ever


def test_leaving_the_client_waits_for_its_uploads(cluster):
    def draw() -> Iterator[str]:
        for number in range(50):
            time.sleep(0.005)
            yield f"text {number}"

    with Client(settings=cluster.settings) as client:
        job = client.classify(draw(), model="echo")

    with Client(settings=cluster.settings) as other:
        assert other.job(job.job_id).wait(timeout_s=30).counts.succeeded == 50
    assert not [t for t in threading.enumerate() if t.name.startswith("seqd-upload")]


def test_interactive_work_overtakes_a_bulk_job(client):
    slowly = {"delay_ms": 5}
    bulk = client.classify(
        [*["a"] * 399, "held"], model="echo", parameters=slowly, priority=Priority.BULK
    )
    next(bulk.results())

    urgent = client.classify(["b"], model="echo", priority=Priority.INTERACTIVE)
    urgent.wait(timeout_s=30)
    bulk_state = bulk.record().state

    assert bulk_state is JobState.RUNNING
    assert bulk.cancel() is JobState.CANCELLED


def test_many_small_jobs_are_worked_on_together(client, cure):
    blocker = client.classify(["held"], model="echo")
    wait_until(lambda: blocker.record().state is JobState.RUNNING, "the worker is busy")
    jobs = [client.classify(["batch"], model="echo", parameters={"note": "n"}) for n in range(16)]
    cure.touch()

    labels = [label for job in jobs for label in labels_of(list(job.results()))]

    # Units of 8, from 8 jobs each.
    assert labels == ["batch of 8"] * 16
    assert blocker.wait(timeout_s=30).counts.succeeded == 1


def test_a_failed_job_raises_its_reason_after_its_results(client):
    def draw() -> Iterator[str]:
        yield from "ab" * 20
        raise RuntimeError("no more")

    job = client.classify(draw(), model="echo")
    with pytest.raises(RuntimeError):
        job.wait(timeout_s=30)

    seen = []
    with pytest.raises(JobFailed) as raised:
        for result in client.job(job.job_id).results():
            seen.append(result)

    assert raised.value.failure.code == "upload_failed"
    assert len({result.custom_id for result in seen}) == len(seen) == 40


def test_leaving_the_client_by_an_exception_fails_what_is_not_complete_and_does_not_wait(cluster):
    def endless() -> Iterator[str]:
        while True:
            yield "a"

    with pytest.raises(ZeroDivisionError), Client(settings=cluster.settings) as leaving:
        job_id = leaving.classify(endless(), model="echo").job_id
        raise ZeroDivisionError("the caller's own fault")

    with Client(settings=cluster.settings) as client:
        record = client.job(job_id).record()
    assert record.state is JobState.FAILED
    assert record.failure is not None
    assert record.failure.code == "upload_failed"
    assert "ZeroDivisionError: the caller's own fault" in record.failure.message


def test_one_string_is_refused_for_it_would_be_taken_for_its_letters(client):
    with pytest.raises(InvalidRequest) as refusal:
        client.classify("A fine film.", model="echo")

    assert str(refusal.value) == (
        "The items are one str; allowed: an iterable of texts or records. Put it into a list."
    )


def test_one_record_is_refused_for_it_would_be_taken_for_its_fields_names(client):
    with pytest.raises(InvalidRequest) as refusal:
        client.classify({"text": "A fine film."}, model="echo")

    assert str(refusal.value) == (
        "The items are one dict; allowed: an iterable of texts or records. Put it into a list."
    )


async def asynchronous_texts() -> AsyncIterator[str]:
    yield "A fine film."


@pytest.mark.parametrize("items", [None, 3, asynchronous_texts()])
@pytest.mark.parametrize("method", ["classify", "classify_each"])
def test_what_nobody_can_iterate_over_is_refused(
    cluster: Cluster, client: Client, method: str, items: object
) -> None:
    before = cluster.keys_of_jobs()

    with pytest.raises(InvalidRequest) as refusal:
        getattr(client, method)(items, model="echo")

    assert refusal.value.code == "invalid_request"
    assert str(refusal.value) == (
        f"The items are {items!r}; allowed: an iterable of texts or records."
    )
    assert cluster.keys_of_jobs() <= before


@pytest.mark.parametrize(
    ("method", "items"),
    [("classify", None), ("classify", 3), ("classify_each", asynchronous_texts())],
)
def test_a_client_of_asyncio_refuses_what_it_cannot_iterate_over(
    cluster: Cluster, method: str, items: object
) -> None:
    before = cluster.keys_of_jobs()

    async def use() -> str:
        async with AsyncClient(settings=cluster.settings) as client:
            with pytest.raises(InvalidRequest) as refusal:
                await getattr(client, method)(items, model="echo")
            return str(refusal.value)

    assert asyncio.run(use()) == (
        f"The items are {items!r}; allowed: an iterable of texts or records."
    )
    assert cluster.keys_of_jobs() <= before


class ByPlace:
    """What is iterated over by the place of an item, as a data set of PyTorch is."""

    def __getitem__(self, place: int) -> str:
        return ["a", "b"][place]


def test_items_may_be_found_by_their_place_alone(client: Client) -> None:
    job = client.classify(ByPlace(), model="echo")  # type: ignore[arg-type] # has no __iter__

    assert labels_of(list(job.results())) == ["a", "b"]
