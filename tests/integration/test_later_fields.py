"""Fields that a later release adds: in a request, in a chunk and in a manifest, to this release."""

import json

import pytest

from builders import a_chunk, a_classify_job, some_results
from ledger_fixtures import Environment
from seqd.errors import LaterVersion
from seqd.ledger.blobs import pack_json, unpack_items, unpack_results
from seqd_schemas import ItemSuccess, JobState, to_stored
from worker_fixtures import Cluster


def with_field(stored: str, **more: object) -> bytes:
    """Return a stored record as a later release would write it."""
    return json.dumps(json.loads(stored) | more).encode()


def test_a_job_with_a_field_that_is_not_known_is_claimed_and_completed(environment: Environment):
    job_id = environment.submit_units(1)
    keys, job = environment.keys, a_classify_job()
    later = {"added_later": True, "source": {"type": "upload", "added_later": 1}}
    environment.redis.hset(keys.job(job_id), "spec", with_field(to_stored(job), **later))
    chunk = json.loads(to_stored(a_chunk()))
    chunk["items"][0]["added_later"] = "x"
    environment.redis.hset(keys.input(job_id), "0", pack_json(json.dumps(chunk).encode()))

    unit = environment.claim_unit()
    environment.commit(unit)

    assert unpack_items(unit.blob) == a_chunk()
    assert environment.record(job_id).job == job
    assert environment.record(job_id).state is JobState.COMPLETED


def test_a_result_with_a_field_that_is_not_known_is_read():
    (result,) = some_results(1)
    later = json.loads(to_stored(result))
    later["output"]["added_later"] = [1]
    row = pack_json(json.dumps(later | {"added_later": 1}).encode() + b"\n")

    assert list(unpack_results(row)) == [result]


def test_an_event_of_a_kind_that_is_not_known_is_left_out(environment: Environment):
    job_id = environment.submit_units(1)
    event = b'{"event":"moved","job_id":"job-0","at_ms":1}'
    environment.redis.xadd(environment.keys.events(job_id), {"e": event})
    environment.commit(environment.claim_unit())

    assert environment.events(job_id) == ["queued", "started", "completed"]


def test_a_job_that_states_a_later_version_is_not_called_damaged(environment: Environment):
    job_id = environment.submit_units(1)
    stored = with_field(to_stored(a_classify_job()), schema_version=9)
    environment.redis.hset(environment.keys.job(job_id), "spec", stored)

    with pytest.raises(LaterVersion) as refused:
        environment.record(job_id)

    assert str(refused.value).startswith(
        f"Job {job_id} was handed in by a later version of seqd than "
    )


@pytest.mark.slow
@pytest.mark.processes
def test_a_version_whose_manifest_has_a_field_that_is_not_known_is_served(empty_cluster: Cluster):
    (manifest,) = (empty_cluster.settings.store_dir / "echo").glob("*/manifest.json")
    manifest.write_bytes(with_field(manifest.read_text(), added_later={"by": "0.3"}))
    empty_cluster.start_ready()

    job = empty_cluster.client().classify([f"text {n}" for n in range(1_500)], model="echo")

    assert sum(isinstance(result, ItemSuccess) for result in job.results()) == 1_500
