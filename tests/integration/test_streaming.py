"""Texts come to the client while real workers write them, each character once, whatever happens."""

import itertools
from collections.abc import Iterable, Iterator

import pytest

from seqd.client import Client, JobHandle, StreamedText
from seqd.errors import InvalidRequest
from seqd_schemas import Generation, ItemErrorCode, ItemSuccess, JobState
from worker_fixtures import Cluster

pytestmark = [pytest.mark.processes, pytest.mark.slow]

#: A text of about five seconds, in twenty steps: its reader may be late on a busy machine.
SLOW = {"length": 2_000, "step_chars": 100, "delay_ms": 250}
#: One that a test cancels or kills long before it is done.
ENDLESS = {"length": 1_000_000, "step_chars": 10, "delay_ms": 20}


@pytest.fixture
def client(cluster: Cluster) -> Client:
    return cluster.client()


def a_text(client: Client, *prompts: str, stream: bool = True, **parameters: object) -> JobHandle:
    """Hand in a generation of the light plugin."""
    return client.generate(
        list(prompts) or ["a"],
        model="echo",
        stream=stream,
        parameters=parameters,  # type: ignore[arg-type]
    )


def texts_of(job: JobHandle) -> dict[tuple[str, int], str]:
    """Return what `results` says: item and sample → text."""
    return {
        (result.custom_id, number): sample.text
        for result in job.results()
        if isinstance(result, ItemSuccess) and isinstance(result.output, Generation)
        for number, sample in enumerate(result.output.samples)
    }


def joined(deltas: Iterable[StreamedText]) -> dict[tuple[str, int], str]:
    """Put deltas together: item and sample → text."""
    texts: dict[tuple[str, int], str] = {}
    for delta in deltas:
        key = (delta.custom_id, delta.sample)
        texts[key] = texts.get(key, "") + delta.text
    return texts


def live(deltas: Iterator[StreamedText], count: int) -> list[StreamedText]:
    """Take so many deltas, which must come while the text is written."""
    taken = list(itertools.islice(deltas, count))
    assert all(delta.finished is None and delta.error is None for delta in taken)
    return taken


def test_deltas_come_while_the_text_is_written_and_are_the_text(client: Client) -> None:
    job = a_text(client, **SLOW)

    deltas = job.stream()
    first = live(deltas, 3)
    state_by_then = job.record().state
    rest = list(deltas)

    assert state_by_then is JobState.RUNNING
    assert joined(first + rest) == texts_of(job)
    (last,) = [delta for delta in rest if delta.finished is not None]
    assert last is rest[-1]
    assert last.finished is not None
    assert len(last.finished.text) == 2_000
    assert all(delta.text for delta in first + rest[:-1])


def test_all_samples_of_all_items_of_several_jobs_in_one_batch_come_apart(client: Client) -> None:
    # Held back until all are there, so that one claim takes both: items of the same index.
    blocker = a_text(client, "wait", stream=False, length=1, delay_ms=1_000)
    jobs = [a_text(client, *prompts, samples=2, **SLOW) for prompts in (("a", "b"), ("c", "d"))]

    streams = [job.stream() for job in jobs]
    heads = [live(stream, 4) for stream in streams]
    states = [job.record().state for job in jobs]
    texts = [joined(itertools.chain(*both)) for both in zip(heads, streams, strict=True)]

    blocker.wait()
    assert states == [JobState.RUNNING] * 2
    assert texts == [texts_of(job) for job in jobs]
    assert [sorted(found) for found in texts] == [
        [("row-1", 0), ("row-1", 1), ("row-2", 0), ("row-2", 1)]
    ] * 2
    assert len({text for found in texts for text in found.values()}) == 4


def test_a_model_that_fails_in_a_batch_writes_each_text_anew(client: Client) -> None:
    job = a_text(client, "a", "raise", "bad", "b", length=200, step_chars=20, delay_ms=30)

    deltas = list(job.stream())

    good = {key: text for key, text in joined(deltas).items() if key[0] in ("row-1", "row-4")}
    assert good == texts_of(job)
    errors = {delta.custom_id: delta.error for delta in deltas if delta.error is not None}
    assert {name: error.code for name, error in errors.items()} == {
        "row-2": ItemErrorCode.PLUGIN_ERROR,
        "row-3": ItemErrorCode.INVALID_INPUT,
    }


def test_a_cancelled_text_stops_long_before_its_end(client: Client, cluster: Cluster) -> None:
    job = a_text(client, **ENDLESS)
    deltas = job.stream()
    live(deltas, 3)

    job.cancel()
    rest = list(deltas)
    after = a_text(client, "abc", stream=False)
    (text,) = texts_of(after).values()

    assert rest[-1].error is not None
    assert rest[-1].error.code is ItemErrorCode.CANCELLED
    assert text == "cba"
    assert cluster.starts_of_units(job.job_id) == [1]


def test_a_training_or_classification_has_no_texts(client: Client) -> None:
    job = client.classify(["a"], model="echo")

    with pytest.raises(InvalidRequest) as error:
        next(job.stream())

    assert str(error.value) == (
        f"Job {job.job_id} is a job of kind classify: it writes no texts. `generate` does."
    )


def test_a_text_goes_on_where_it_was_when_its_worker_is_killed(empty_cluster: Cluster) -> None:
    worker = empty_cluster.start_ready()
    client = empty_cluster.client()
    undisturbed = texts_of(a_text(client, "a", "b", seed=3, **SLOW | {"delay_ms": 0}))
    job = a_text(client, "a", "b", seed=3, **SLOW)
    deltas = job.stream()
    before = live(deltas, 10)

    worker.kill_child()
    after = list(deltas)

    assert joined(before + after) == undisturbed == texts_of(job)
    assert empty_cluster.starts_of_units(job.job_id) == [2]
    assert sum(delta.finished is None for delta in after) > 2, "it was not live any more"
