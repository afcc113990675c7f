"""Many single texts from a service, each a job of its own, run by a real worker."""

import os
import signal
from collections.abc import Iterator

import pytest

from seqd.client import Client, EndedJob
from seqd.errors import IdempotencyConflict, JobsRefused, UnknownJob
from seqd_schemas import Completed, ItemFailure, ItemSuccess, Priority
from worker_fixtures import Cluster

pytestmark = pytest.mark.processes

DEADLINE_S = 60.0


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    with Client(settings=cluster.settings) as client:
        yield client


def label_of(ended: EndedJob) -> str:
    """Return the label of the only item of a job."""
    (result,) = ended.results()
    assert isinstance(result, ItemSuccess)
    return result.output.label  # type: ignore[union-attr] # echo classifies


def test_each_text_is_a_job_with_its_own_result_events_and_record(client):
    texts = [f"text {number}" for number in range(300)]

    jobs = client.classify_each(texts, model="echo", priority=Priority.INTERACTIVE)
    labels = {ended.job_id: label_of(ended) for ended in client.as_completed(jobs, DEADLINE_S)}

    assert [labels[job.job_id] for job in jobs] == texts
    record = jobs[7].record()
    assert (record.state, record.counts.succeeded, record.priority) == (
        "completed",
        1,
        Priority.INTERACTIVE,
    )
    names = [event.event for event in jobs[7].events()]
    assert names == ["queued", "started", "completed"]
    assert isinstance(list(jobs[7].events())[-1], Completed)
    assert [result.output.label for result in jobs[7].results()] == ["text 7"]


def test_a_text_that_cannot_be_used_spoils_its_own_job_alone(client):
    jobs = client.classify_each(["a", "", "raise", {"id": "x", "text": "b"}], model="echo")

    ended = {done.job_id: list(done.results()) for done in client.as_completed(jobs, DEADLINE_S)}

    results = [ended[job.job_id][0] for job in jobs]
    assert [type(result) for result in results] == [
        ItemSuccess,
        ItemFailure,
        ItemFailure,
        ItemSuccess,
    ]
    assert [result.error.code for result in results[1:3]] == ["invalid_input", "plugin_error"]
    assert results[3].custom_id == "x"


def test_jobs_that_were_handed_in_any_other_way_are_waited_for_as_well(client, cluster):
    with Client(settings=cluster.settings) as other:
        theirs = other.classify_each(["theirs"], model="echo")
    many = client.classify(["a"] * 20, model="echo")
    ours = client.classify_each(["ours"], model="echo")

    ended = list(client.as_completed([*theirs, many, *ours], DEADLINE_S))

    counts = {done.job_id: len(list(done.results())) for done in ended}
    assert counts == {theirs[0].job_id: 1, many.job_id: 20, ours[0].job_id: 1}


def test_jobs_come_as_they_end_and_a_slow_one_holds_nobody_up(client):
    (slow,) = client.classify_each(["slow"], model="echo", parameters={"delay_ms": 1_500})
    quick = client.classify_each(["a", "b"], model="echo", priority=Priority.INTERACTIVE)

    ended = [done.job_id for done in client.as_completed([slow, *quick], DEADLINE_S)]

    assert sorted(ended) == sorted([slow.job_id, *(job.job_id for job in quick)])


def test_a_job_that_is_cancelled_is_given_with_its_state(client):
    (job,) = client.classify_each(["a"], model="echo", parameters={"delay_ms": 1_000})
    job.cancel()

    (ended,) = client.as_completed([job], DEADLINE_S)

    assert ended.state == "cancelled"
    assert [result.error.code for result in ended.results()] == ["cancelled"]


def test_waiting_ends_at_the_time_that_was_asked_for(client):
    (job,) = client.classify_each(["a"], model="echo", parameters={"delay_ms": 2_000})

    with pytest.raises(TimeoutError) as late:
        list(client.as_completed([job], timeout_s=0.05))

    assert str(late.value) == (
        f"1 of 1 jobs have not ended after 0.05 s, job {job.job_id} among them."
    )
    assert [label_of(ended) for ended in client.as_completed([job], DEADLINE_S)] == ["a"]


def test_a_job_that_is_not_kept_is_not_waited_for(client):
    with pytest.raises(UnknownJob, match="No job 'never-was'"):
        list(client.as_completed([client.job("never-was")], DEADLINE_S))


def test_identifiers_make_sending_again_safe_and_a_clash_is_told(client):
    first = client.classify_each(["a", "b"], model="echo", job_ids=["each-1", "each-2"])

    with pytest.raises(JobsRefused) as refusal:
        client.classify_each(["a", "z", "c"], model="echo", job_ids=["each-1", "each-2", "each-3"])

    assert refusal.value.accepted == ["each-1", "each-3"]
    assert isinstance(refusal.value.refused["each-2"], IdempotencyConflict)
    jobs = [*first, client.job("each-3")]
    labels = sorted(label_of(ended) for ended in client.as_completed(jobs, DEADLINE_S))
    assert labels == ["a", "b", "c"]


def test_nothing_to_hand_in_gives_no_jobs(client):
    assert client.classify_each([], model="echo") == []
    assert list(client.as_completed([])) == []


@pytest.mark.slow
def test_each_job_comes_out_once_though_the_worker_is_killed_among_them(empty_cluster: Cluster):
    worker = empty_cluster.start_ready()
    client = empty_cluster.client()
    texts = [f"text {number}" for number in range(160)]

    jobs = client.classify_each(texts, model="echo", parameters={"delay_ms": 5})
    completion = client.as_completed(jobs, DEADLINE_S)
    ended = [next(completion)]
    os.kill(worker.child_pid(), signal.SIGKILL)
    ended += completion

    labels = {done.job_id: label_of(done) for done in ended}
    assert len(ended) == len(texts)
    assert [labels[job.job_id] for job in jobs] == texts
    names = [[event.event for event in job.events()] for job in jobs]
    # Those that the dead worker had in hand have a `log` of how it died, and started once more.
    told = {tuple(name for name in of_job if name != "log") for of_job in names}
    assert told == {("queued", "started", "completed")}
