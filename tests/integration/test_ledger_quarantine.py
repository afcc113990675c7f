"""What quarantine does with a job whose keys somebody has changed by hand: what stays, what goes.

That no other job is hurt is in `test_hostile_ledger`.
"""

from collections.abc import Callable

import pytest

from builders import a_classify_job, a_generate_job, a_sweep_job, a_train_job
from ledger_fixtures import ROUTES, Environment
from seqd_schemas import JobState, RunJob, UploadSource

pytestmark = pytest.mark.processes

Damage = Callable[[Environment, str], None]


def damage_request(environment: Environment, job_id: str) -> None:
    environment.redis.hset(environment.keys.job(job_id), "spec", b"\x80\x04\x95\xff pickle")


def replace_hash(environment: Environment, job_id: str) -> None:
    environment.redis.set(environment.keys.job(job_id), "a string")


def replace_todo(environment: Environment, job_id: str) -> None:
    environment.redis.set(environment.keys.todo(job_id), "a string")


def write_text(field: str) -> Damage:
    def change(environment: Environment, job_id: str) -> None:
        environment.redis.hset(environment.keys.job(job_id), field, "many")

    return change


def drop(field: str) -> Damage:
    def change(environment: Environment, job_id: str) -> None:
        environment.redis.hdel(environment.keys.job(job_id), field)

    return change


def do_all(environment: Environment) -> set[str]:
    """Claim and commit until nothing is left; returns the jobs whose units came."""
    jobs: set[str] = set()
    while (claim := environment.claim()) is not None:
        jobs |= {unit.job_id for unit in claim.units}
        for unit in claim.units:
            environment.commit(unit)
    return jobs


def test_what_a_damaged_job_had_is_kept_aside_for_whoever_looks(environment: Environment):
    job_id = environment.submit_units(2)
    environment.commit(environment.claim_unit())
    results = environment.redis.hget(environment.keys.output(job_id), "0")
    damage_request(environment, job_id)

    environment.claim()

    found, out = (environment.keys.quarantine(job_id, part) for part in ("hash", "out"))
    assert environment.redis.hget(found, "spec") == b"\x80\x04\x95\xff pickle"
    assert environment.redis.hget(out, "0") == results
    assert all(0 < environment.redis.ttl(name) <= 7 * 86_400 for name in (found, out))
    assert environment.ledger.jobs.outputs(job_id, [0]) == [None]


def test_a_count_that_is_no_number_keeps_no_job_from_failing(environment: Environment, caplog):
    job_id = environment.submit_units(1)
    replace_hash(environment, job_id)
    environment.redis.set(environment.keys.quarantined(), "many")

    assert do_all(environment) == set()

    assert environment.record(job_id).state is JobState.FAILED
    assert environment.ledger.jobs.quarantined() == 0
    assert f"{environment.keys.quarantined()} is no number" in caplog.text


def test_a_damaged_commit_leaves_input_and_results_as_they_were(environment: Environment):
    job_id = environment.submit_units(2)
    unit = environment.claim_unit()
    write_text("units_done")(environment, job_id)

    environment.commit(unit)

    found, out = (environment.keys.quarantine(job_id, part) for part in ("in", "out"))
    assert environment.redis.hget(found, "0") == unit.blob
    assert not environment.redis.exists(out)


KINDS = {
    "classify": a_classify_job(),
    "generate": a_generate_job(),
    "train": a_train_job(),
    "run": RunJob(model="vectors", task="embed", source=UploadSource()),
    "sweep": a_sweep_job(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_job_stays_of_its_kind(environment: Environment, kind: str):
    job = KINDS[kind]
    job_id = environment.submit_units(1, job)
    damage_request(environment, job_id)

    environment.claim(routes=(*ROUTES, "embed.vectors"))

    record = environment.record(job_id)
    assert (record.state, record.kind, record.model) == (JobState.FAILED, kind, job.model)


#: What is left of a damaged job of two items on its tenant's account: items and jobs.
ACCOUNTS = {
    "garbage request": (damage_request, 0, 0),
    "no group": (drop("group"), 0, 0),
    "todo is a string": (replace_todo, 0, 0),
    # A commit fails at these: before it changes anything.
    "units_done is text": (write_text("units_done"), 0, 0),
    "no units_done": (drop("units_done"), 0, 0),
    # Its counts cannot be read, so what waited stays until the last open job has ended.
    "total is text": (write_text("total"), 2, 0),
    "cancelled is text": (write_text("cancelled"), 2, 0),
    # It does not say whose it is.
    "no tenant": (drop("tenant"), 2, 1),
    "hash is a string": (replace_hash, 2, 1),
}


@pytest.mark.parametrize(("damage", "items", "jobs"), ACCOUNTS.values(), ids=ACCOUNTS)
def test_a_damaged_job_is_taken_off_its_tenants_account(
    environment: Environment, damage, items, jobs
):
    sound, damaged = (environment.submit_units(1) for _ in range(2))
    unit = environment.claim_unit()
    damage(environment, damaged)

    do_all(environment)

    assert unit.job_id == sound
    row = environment.redis.hgetall(environment.keys.tenant("default"))
    assert (int(row[b"items"]), int(row[b"jobs"])) == (2 + items, 1 + jobs)
    # The account goes with the last open job that is on it.
    environment.commit(unit)
    assert environment.redis.hexists(environment.keys.tenant("default"), "items") == bool(jobs)


def test_a_damaged_job_can_be_handed_in_again_with_its_idempotency_key(environment: Environment):
    job = a_classify_job(idempotency_key="once")
    damaged = environment.submit_units(1, job)
    drop("group")(environment, damaged)
    do_all(environment)

    again = environment.submit_units(1, job, job_id="again")

    assert again == "again"
    assert do_all(environment) == {again}
