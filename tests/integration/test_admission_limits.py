"""A worker's limits hold for every client, and for jobs from the inbox, with the time to wait."""

import json

import pytest

from seqd.client import Client, JobHandle
from seqd.errors import InvalidParameters, InvalidRequest, QuotaExceeded
from seqd.ledger import connect
from seqd.settings import Settings
from seqd_schemas import Priority, Rejected
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes

ONE_REVIEW = (
    '{"kind": "classify", "model": "echo", "source": {"type": "inline", "items": '
    '[{"custom_id": "a", "text": "good"}]}}'
)


def hand_in(settings: Settings, job_id: str, job: str) -> None:
    """Hand a job in as another language would."""
    with connect(str(settings.redis_url)) as redis:
        redis.xadd(settings.keys.inbox(), {"id": job_id, "job": job})


def so_far(client: Client, job: JobHandle) -> list[str]:
    """Names of the events of a job, without waiting for more."""
    ledger = client._ledger
    return [event.event for event in ledger.jobs.events(job.job_id, longest_wait_s=0)]


@pytest.mark.slow
def test_the_operators_limits_hold_for_clients_and_for_the_inbox(empty_cluster: Cluster):
    empty_cluster.start_ready(max_tenant_jobs=1)
    client = empty_cluster.client()
    slow = client.classify(["text"] * 40, model="echo", parameters={"delay_ms": 200.0})

    with pytest.raises(QuotaExceeded) as refused:
        client.classify(["good"], model="echo")
    hand_in(empty_cluster.settings, "late", ONE_REVIEW)
    late = client.job("late")
    wait_until(lambda: late.rejection() is not None, "the inbox has answered")
    elsewhere = client.classify(
        ["good"], model="echo", tenant="other", priority=Priority.INTERACTIVE
    )
    elsewhere.wait(timeout_s=30)
    slow.cancel()

    assert refused.value.retry_after_s == 5.0
    rejection = late.rejection()
    assert isinstance(rejection, Rejected)
    assert (rejection.failure.code, rejection.failure.retryable) == ("quota_exceeded", True)
    assert rejection.failure.retry_after_s == 5.0
    assert rejection.failure.message == str(refused.value)
    assert client.classify(["good"], model="echo").wait(timeout_s=30).counts.succeeded == 1


@pytest.mark.slow
def test_what_an_item_could_make_a_model_write_is_bounded_when_its_job_is_handed_in(
    empty_cluster: Cluster,
):
    empty_cluster.start_ready(max_output_characters=1_000_000)
    client = empty_cluster.client()
    much = {"length": 500_000, "samples": 3}

    with pytest.raises(InvalidParameters) as refused:
        client.generate(["a"], model="echo", parameters=much)
    hand_in(
        empty_cluster.settings,
        "much",
        ONE_REVIEW.replace("classify", "generate").replace(
            '"source"', f'"parameters": {json.dumps(much)}, "source"'
        ),
    )
    wait_until(lambda: client.job("much").rejection() is not None, "the inbox has answered")
    allowed = client.generate(["a"], model="echo", parameters={"length": 1_000_000}, job_id="all")
    unit_items = allowed.record().unit_items
    allowed.cancel()

    assert str(refused.value) == (
        "echo generate: length 500,000 x samples 3 can be 1,500,000 characters for each item; "
        "allowed: 1,000,000 (SEQD_MAX_OUTPUT_CHARACTERS of the workers). Ask for fewer or shorter "
        "texts."
    )
    rejection = client.job("much").rejection()
    assert isinstance(rejection, Rejected)
    assert rejection.failure.message == str(refused.value)
    assert [job.job_id for job in client.jobs()] == ["all"]
    assert unit_items == 8


@pytest.mark.slow
def test_a_paused_training_gives_its_slot_to_another_and_then_goes_on(empty_cluster: Cluster):
    empty_cluster.start_ready()
    client = empty_cluster.client()
    records = [{"text": "a", "label": "pos"}]
    job = client.train(records, model="echo", parameters={"epochs": 60, "step_ms": 50.0})
    wait_until(lambda: "epoch" in so_far(client, job), "it has begun")

    job.pause()
    client.classify(["good"], model="echo").wait(timeout_s=30)
    events_then = len(so_far(client, job))
    job.resume()

    assert job.wait(timeout_s=60).training is not None
    names = so_far(client, job)
    assert names.count("paused") == names.count("resumed") == 1
    assert events_then < len(names)


@pytest.mark.slow
def test_a_time_to_live_that_the_operator_does_not_allow_is_refused_by_client_and_inbox(
    empty_cluster: Cluster,
):
    empty_cluster.start_ready(max_results_ttl_s=3_600)
    client = empty_cluster.client()

    with pytest.raises(InvalidRequest) as refused:
        client.classify(["good"], model="echo", results_ttl_s=7_200)
    hand_in(
        empty_cluster.settings,
        "long",
        ONE_REVIEW.replace('"source"', '"results_ttl_s": 7200, "source"'),
    )
    wait_until(lambda: client.job("long").rejection() is not None, "the inbox has answered")

    assert "results_ttl_s is 7,200; allowed: at most 3,600 (SEQD_MAX_RESULTS_TTL_S" in str(
        refused.value
    )
    rejection = client.job("long").rejection()
    assert isinstance(rejection, Rejected)
    assert rejection.failure.code == refused.value.code
    assert rejection.failure.message == str(refused.value)
