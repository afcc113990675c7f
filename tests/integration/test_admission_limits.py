"""A worker's limits hold for every client, and for jobs from the inbox, with the time to wait."""

import json

import pytest

from seqd.errors import InvalidParameters, InvalidRequest, QuotaExceeded
from seqd.ledger import connect
from seqd_schemas import Failure, Priority, Rejected
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes

ONE_REVIEW: dict[str, object] = {
    "kind": "classify",
    "model": "echo",
    "source": {"type": "inline", "items": [{"custom_id": "a", "text": "good"}]},
}


@pytest.mark.slow
def test_the_operators_limits_hold_for_clients_and_for_the_inbox(
    empty_cluster: Cluster,
) -> None:
    empty_cluster.start_ready(
        max_tenant_jobs=1, max_output_characters=1_000_000, max_results_ttl_s=604_800
    )
    client = empty_cluster.client()

    def rejection_of(job_id: str, **changed: object) -> Failure:
        """Hand a job in as another language would, and wait until it is rejected."""
        with connect(str(empty_cluster.settings.redis_url)) as redis:
            fields = {"id": job_id, "job": json.dumps(ONE_REVIEW | changed)}
            redis.xadd(empty_cluster.settings.keys.inbox(), fields)
        job = client.job(job_id)
        wait_until(lambda: job.rejection() is not None, "the inbox has answered")
        rejection = job.rejection()
        assert isinstance(rejection, Rejected)
        return rejection.failure

    with pytest.raises(InvalidRequest) as too_long:
        client.classify(["good"], model="echo", results_ttl_s=700_000)
    failure = rejection_of("long", results_ttl_s=700_000)

    assert "results_ttl_s is 700,000; allowed: at most 604,800 (SEQD_MAX_RESULTS_TTL_S" in str(
        too_long.value
    )
    assert (failure.code, failure.message) == (too_long.value.code, str(too_long.value))

    much: dict[str, object] = {"length": 500_000, "samples": 3}
    with pytest.raises(InvalidParameters) as too_much:
        client.generate(["a"], model="echo", parameters=much)
    failure = rejection_of("much", kind="generate", parameters=much)
    allowed = client.generate(["a"], model="echo", parameters={"length": 1_000_000}, job_id="all")
    unit_items = allowed.record().unit_items
    allowed.cancel()

    assert str(too_much.value) == (
        "echo generate: length 500,000 x samples 3 can be 1,500,000 characters for each item; "
        "allowed: 1,000,000 (SEQD_MAX_OUTPUT_CHARACTERS of the workers). Ask for fewer or shorter "
        "texts."
    )
    assert failure.message == str(too_much.value)
    assert [job.job_id for job in client.jobs()] == ["all"]
    assert unit_items == 8

    slow = client.classify(["text"] * 40, model="echo", parameters={"delay_ms": 200.0})
    with pytest.raises(QuotaExceeded) as too_many:
        client.classify(["good"], model="echo")
    failure = rejection_of("late")
    elsewhere = client.classify(
        ["good"], model="echo", tenant="other", priority=Priority.INTERACTIVE
    )
    elsewhere.wait(timeout_s=30)
    slow.cancel()

    assert too_many.value.retry_after_s == failure.retry_after_s == 5.0
    assert (failure.code, failure.retryable) == ("quota_exceeded", True)
    assert failure.message == str(too_many.value)
    assert client.classify(["good"], model="echo").wait(timeout_s=30).counts.succeeded == 1
