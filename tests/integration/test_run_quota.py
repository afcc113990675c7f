"""A job whose results would be more than its tenant may keep is refused, with how much they are."""

import secrets

import pytest

from builders import a_chunk, inline
from ledger_fixtures import Environment
from seqd.admission import AcceptedSchema, Admitted, least_result_bytes
from seqd.errors import InvalidRequest
from seqd.ledger.blobs import pack
from seqd_schemas import FileSource, RunJob, TenantLimits, UploadSource

#: Bytes that each of two results may take.
ALLOWED = 64 * 1024
EACH = ALLOWED // 2
SCHEMA = AcceptedSchema("0" * 64, EACH)

TOO_MUCH = (
    "The results of 3 items take about 98,304 bytes, 32,768 for each; tenant 'default' may keep "
    "65,536 of all its jobs (SEQD_MAX_TENANT_KEPT_BYTES of the workers). Hand in 2 items at most, "
    "and the others when those results are fetched and removed; or raise its share: seqd tenants "
    "set default --kept-bytes 98304"
)
#: What is said where more items may come.
SO_FAR = TOO_MUCH.replace("results of 3", "results of the first 3").replace("98304", "BYTES")


@pytest.fixture
def limited(environment: Environment) -> Environment:
    changed = environment.with_settings(max_tenant_kept_bytes=ALLOWED)
    changed.ledger.fleet.publish_limits(changed.settings)
    return changed


def submit(environment: Environment, source: object, **changes: object) -> RunJob:
    """Hand in a job of a task whose results have vectors."""
    job = RunJob(model="vectors", task="embed", source=source)
    job_id = f"job-{secrets.token_hex(4)}"
    environment.ledger.submissions.submit(
        job, Admitted(1, 2, task_schema=SCHEMA), job_id=job_id, **changes
    )
    return job_id


@pytest.mark.parametrize("source", [inline("a", "b", "c"), UploadSource(expected_items=3)])
def test_a_job_of_more_items_than_its_tenant_may_keep_results_of_is_refused(limited, source):
    with pytest.raises(InvalidRequest) as refused:
        submit(limited, source)

    assert str(refused.value) == TOO_MUCH
    assert limited.redis.exists(limited.keys.jobs()) == 0
    submit(limited, inline("a", "b"))


def test_a_limit_that_is_the_tenants_own_is_named_as_such(limited):
    limited.ledger.tenants.set_limits("default", TenantLimits(kept_bytes=2 * ALLOWED))

    submit(limited, inline("a", "b", "c"))
    with pytest.raises(InvalidRequest, match=r"may keep 131,072 .* \(seqd tenants show default\)"):
        submit(limited, inline("a", "b", "c", "d", "e"))


def test_an_upload_is_refused_the_unit_with_which_its_results_become_too_much(limited):
    job_id = submit(limited, UploadSource(), chunk=a_chunk(2))
    job = limited.ledger.jobs.get(job_id).job

    with pytest.raises(InvalidRequest) as refused:
        limited.ledger.submissions.append(job, job_id, 1, a_chunk(1, first=2))

    assert str(refused.value) == SO_FAR
    assert limited.ledger.jobs.get(job_id).counts.total == 2


def test_units_that_were_read_ahead_are_refused_likewise(limited):
    job_id = submit(limited, FileSource(path="/data/a.jsonl"))
    (unit,) = limited.ledger.work.claim("worker-a", ["embed.vectors@1"]).units
    blobs = {"0": pack(a_chunk(2)), "1": pack(a_chunk(1, first=2)), "bytes": 1_000}
    limited.redis.hset(limited.keys.ahead(job_id), mapping=blobs)
    job, append = limited.ledger.jobs.get(job_id).job, limited.ledger.submissions.append

    added = append(job, job_id, 0, None, ingest_attempt=unit.attempt, ahead_items=2)
    with pytest.raises(InvalidRequest) as refused:
        append(job, job_id, 1, None, ingest_attempt=unit.attempt, ahead_items=1)

    assert (added, str(refused.value)) == ("added", SO_FAR)


def test_an_upload_of_unknown_length_fails_with_the_reason_once_it_is_too_long(task_cluster):
    tenant = f"small-{secrets.token_hex(4)}"
    client = task_cluster.client()
    task_cluster.operator().set_tenant(tenant, TenantLimits(kept_bytes=550 * 1_024))
    texts = (f"text {number}" for number in range(600))

    job = client.run(texts, model="vectors", task="embed", tenant=tenant)

    with pytest.raises(InvalidRequest) as failed:
        job.wait(timeout_s=120)
    assert job.record().failure.message == str(failed.value)
    assert str(failed.value).startswith(
        "The results of the first 600 items take about 614,400 bytes, 1,024 for each; tenant "
        f"{tenant!r} may keep 563,200 of all its jobs"
    )


def test_only_vectors_whose_length_is_stated_and_that_cannot_be_left_out_count():
    vector = {"type": "string", "format": "float32-vector"}
    fields = {
        "query": vector | {"shape": [256]},
        "text": vector | {"shape": [4]},
        "other": vector | {"shape": [8]},
        "free": vector,
        "score": {"type": "number"},
    }

    required = ["query", "text", "free", "score"]

    assert least_result_bytes({"properties": fields, "required": required}) == 4 * 260
    assert least_result_bytes({"properties": {"score": {"type": "number"}}}) == 0
