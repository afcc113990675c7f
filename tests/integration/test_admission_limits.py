"""A worker's limits hold for every client, and for jobs from the inbox, with the time to wait."""

import pytest

from inbox_builders import Producer, a_request
from seqd.errors import InvalidParameters, QuotaExceeded
from seqd.ledger import connect
from worker_fixtures import Cluster

pytestmark = pytest.mark.processes


@pytest.mark.slow  # what each limit says is in `test_ledger_tenants` and `test_admission`
def test_the_limits_of_a_workers_settings_hold_for_clients_and_for_the_inbox(
    empty_cluster: Cluster,
) -> None:
    empty_cluster.start_ready(max_tenant_jobs=1, max_output_characters=1_000)
    client, settings = empty_cluster.client(), empty_cluster.settings
    open_job = client.classify(["held"], model="echo")

    with pytest.raises(InvalidParameters, match="SEQD_MAX_OUTPUT_CHARACTERS of the workers"):
        client.generate(["a"], model="echo", parameters={"length": 5_000}, tenant="other")
    with pytest.raises(QuotaExceeded, match="SEQD_MAX_TENANT_JOBS of the workers") as too_many:
        client.classify(["good"], model="echo")
    with connect(str(settings.redis_url)) as redis:
        producer = Producer(redis, settings.keys)
        failure = producer.rejection_of(producer.add(a_request(["good"])))
    open_job.cancel()

    assert (failure.code, failure.message) == ("quota_exceeded", str(too_many.value))
    assert failure.retry_after_s == too_many.value.retry_after_s == 5.0
