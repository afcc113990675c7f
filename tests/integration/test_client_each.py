"""Many single texts from a service, each a job of its own, run by a real worker."""

from pathlib import Path

import pytest

from async_builders import face_of, faces
from seqd.client import Client, EndedJob
from seqd.errors import IdempotencyConflict, JobsRefused, UnknownJob
from seqd_schemas import ItemFailure, ItemSuccess, Priority
from worker_fixtures import Cluster

pytestmark = [pytest.mark.processes, pytest.mark.slow]

DEADLINE_S = 120.0


@pytest.fixture
def client(cluster: Cluster) -> Client:
    return cluster.client()


def label_of(ended: EndedJob) -> str:
    """Return the label of the only item of a job."""
    (result,) = ended.results()
    assert isinstance(result, ItemSuccess)
    return result.output.label  # type: ignore[union-attr] # echo classifies


def test_each_text_is_a_job_with_its_own_result_events_and_record(client: Client) -> None:
    texts = [f"text {number}" for number in range(300)]

    jobs = client.classify_each(texts, model="echo", priority=Priority.INTERACTIVE)
    labels = {ended.job_id: label_of(ended) for ended in client.as_completed(jobs, DEADLINE_S)}

    assert [labels[job.job_id] for job in jobs] == texts
    record = jobs[7].record()
    assert (record.state, record.counts.succeeded) == ("completed", 1)
    assert record.priority is Priority.INTERACTIVE
    assert [event.event for event in jobs[7].events()] == ["queued", "started", "completed"]
    assert [result.unwrap().label for result in jobs[7].results()] == ["text 7"]
    assert client.classify_each([], model="echo") == []
    assert list(client.as_completed([])) == []


@faces
def test_jobs_come_as_they_end_whoever_has_sent_them_and_each_with_its_own_end(
    cluster: Cluster, cure: Path, face: str
) -> None:
    theirs = cluster.client().classify_each(["theirs"], model="echo")
    with face_of(cluster, face) as asked:
        client = asked.client
        sent = ["a", "", "raise", {"id": "x", "text": "b"}]
        ours = asked.do(lambda: client.classify_each(sent, model="echo"))
        many = asked.do(lambda: client.classify(["a"] * 20, model="echo"))
        (late,) = asked.do(
            lambda: client.classify_each(["held"], model="echo", parameters={"delay_ms": 1})
        )
        asked.do(late.cancel)
        handles = [*(client.job(job.job_id) for job in theirs), *ours, many, late]

        ended = {one.job_id: one for one in asked.all_of(lambda: client.as_completed(handles, 120))}
        results = {job_id: asked.all_of(one.results) for job_id, one in ended.items()}

    assert [len(results[job.job_id]) for job in handles] == [1, 1, 1, 1, 1, 20, 1]
    own = [results[job.job_id][0] for job in ours]
    assert [type(one) for one in own] == [ItemSuccess, ItemFailure, ItemFailure, ItemSuccess]
    codes = [one.error.code for one in own if isinstance(one, ItemFailure)]
    assert codes == ["invalid_input", "plugin_error"]
    assert own[3].custom_id == "x"
    assert ended[late.job_id].state == "cancelled"


@faces
def test_waiting_ends_at_the_time_that_was_asked_for_and_at_a_job_that_is_not_kept(
    cluster: Cluster, cure: Path, face: str
) -> None:
    with face_of(cluster, face) as asked:
        client = asked.client
        (job,) = asked.do(lambda: client.classify_each(["held"], model="echo"))

        with pytest.raises(TimeoutError) as late:
            asked.all_of(lambda: client.as_completed([job], timeout_s=0.05))
        with pytest.raises(UnknownJob, match="No job 'never-was'"):
            asked.all_of(lambda: client.as_completed([client.job("never-was")], DEADLINE_S))
        cure.touch()
        ended = asked.all_of(lambda: client.as_completed([job], DEADLINE_S))

    assert str(late.value) == (
        f"1 of 1 jobs have not ended after 0.05 s, job {job.job_id} among them."
    )
    assert [one.job_id for one in ended] == [job.job_id]


def test_identifiers_make_sending_again_safe_and_a_clash_is_told(client: Client) -> None:
    first = client.classify_each(["a", "b"], model="echo", job_ids=["each-1", "each-2"])

    with pytest.raises(JobsRefused) as refusal:
        client.classify_each(["a", "z", "c"], model="echo", job_ids=["each-1", "each-2", "each-3"])

    assert refusal.value.accepted == ["each-1", "each-3"]
    assert isinstance(refusal.value.refused["each-2"], IdempotencyConflict)
    assert str(refusal.value).startswith("1 of 3 jobs were refused, the first because: ")
    assert str(refusal.value).endswith(
        " The others were accepted: see `accepted` and `refused`, and send the refused ones again."
    )
    jobs = [*first, client.job("each-3")]
    labels = sorted(label_of(ended) for ended in client.as_completed(jobs, DEADLINE_S))
    assert labels == ["a", "b", "c"]
