"""A unit that kills its workers is halved until the killer stands alone; readers see one unit."""

import json
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import a_chunk, some_results
from ledger_fixtures import CLASSIFY, ROUTES, Environment
from seqd.client import JobHandle
from seqd.ledger import blobs
from seqd.ledger.blobs import split_chunk, unpack_items
from seqd.ledger.units import Unit
from seqd.ledger.work import CommitOutcome
from seqd_schemas import Counts, JobState

pytestmark = pytest.mark.processes

ITEMS = 8


def a_job(environment: Environment) -> str:
    """A job of one unit of eight items."""
    return environment.submit(chunk=a_chunk(ITEMS), sealed=True, unit_items=ITEMS)


def split(environment: Environment, unit: Unit) -> bool:
    parts = split_chunk(unpack_items(unit.blob))
    assert parts is not None
    return environment.ledger.work.split(unit, parts)


def commit_part(environment: Environment, part: Unit, *, errored: int = 0) -> CommitOutcome:
    """Commit a result for each item of a part."""
    chunk = unpack_items(part.blob)
    results = some_results(len(chunk.items), first=chunk.first_index, errored=errored)
    return environment.ledger.work.commit(part, results)


def ids_of(environment: Environment, job_id: str) -> list[str]:
    return [result.custom_id for result in JobHandle(environment.ledger, job_id).results()]


def test_the_parts_of_a_unit_are_claimed_one_at_a_time_in_order(environment: Environment) -> None:
    job_id = a_job(environment)

    split(environment, environment.claim_unit())

    assert environment.claim_names() == [(job_id, "0:0:4")]
    assert environment.claim_names() == [(job_id, "0:4:8")]
    assert environment.claim_names() == []


def test_a_split_notifies_for_its_parts(environment: Environment) -> None:
    a_job(environment)
    unit = environment.claim_unit()
    environment.notified.clear()

    split(environment, unit)

    assert environment.notified == [CLASSIFY]


def test_the_results_of_the_parts_become_the_units_when_the_last_one_is_there(
    environment: Environment,
) -> None:
    job_id = a_job(environment)
    split(environment, environment.claim_unit())
    first, second = environment.claim_unit(), environment.claim_unit()
    split(environment, second)
    third, fourth = environment.claim_unit(), environment.claim_unit()

    outcomes = [commit_part(environment, part, errored=1) for part in (fourth, first)]
    before = environment.ledger.jobs.outputs(job_id, [0])[0]
    last = commit_part(environment, third)

    assert outcomes == [CommitOutcome.COMMITTED, CommitOutcome.COMMITTED]
    assert before is None
    assert last is CommitOutcome.COMPLETED
    assert ids_of(environment, job_id) == [f"item-{n}" for n in range(ITEMS)]
    record = environment.record(job_id)
    assert record.counts == Counts(total=8, succeeded=6, errored=2)
    assert (record.units, record.units_done) == (1, 1)


def test_only_the_attempt_that_holds_the_lease_splits(environment: Environment) -> None:
    job_id = a_job(environment)
    zombie = environment.claim_unit()
    environment.ledger.work.release_unit(zombie)
    environment.claim_unit("worker-b")

    was_split = split(environment, zombie)

    assert was_split is False
    assert environment.ledger.jobs.parts(job_id, 0) == ["0"]


@pytest.mark.parametrize("committed_parts", [0, 1, 2])
def test_a_zombies_commit_of_a_unit_that_was_split_changes_nothing(
    environment: Environment, committed_parts: int
) -> None:
    job_id = a_job(environment)
    zombie = environment.claim_unit()
    split(environment, zombie)
    for _ in range(committed_parts):
        commit_part(environment, environment.claim_unit())

    outcome = environment.ledger.work.commit(zombie, some_results(ITEMS, label="zombie"))

    assert outcome is CommitOutcome.DUPLICATE
    assert environment.record(job_id).counts.succeeded == 4 * committed_parts


def test_a_cancelled_job_tells_of_every_item_of_a_split_unit_in_order(
    environment: Environment,
) -> None:
    job_id = a_job(environment)
    split(environment, environment.claim_unit())
    environment.claim_unit()
    commit_part(environment, environment.claim_unit())

    environment.ledger.control.cancel(job_id)

    results = list(JobHandle(environment.ledger, job_id).results())
    assert [result.custom_id for result in results] == [f"item-{n}" for n in range(ITEMS)]
    assert [result.status for result in results] == ["errored"] * 4 + ["succeeded"] * 4
    assert environment.record(job_id).counts == Counts(total=8, succeeded=4, cancelled=4)


def test_nothing_of_a_split_job_is_left_without_a_time_to_live(environment: Environment) -> None:
    job_id = a_job(environment)
    split(environment, environment.claim_unit())

    environment.ledger.control.cancel(job_id)

    names = list(environment.redis.scan_iter(f"{environment.keys.job(job_id)}*"))
    assert names
    assert [name for name in names if environment.redis.ttl(name) < 0] == []


@given(order=st.permutations(range(ITEMS)), sizes=st.lists(st.booleans(), max_size=12))
@settings(
    # Each example makes a job of its own; that the ledger holds others does not matter to it.
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_however_a_unit_is_split_and_committed_its_results_are_whole(
    environment: Environment, order: list[int], sizes: list[bool]
) -> None:
    """Split some of what is claimed, commit the rest in any order: every item once, in order."""
    job_id = a_job(environment)
    choices = iter(sizes)
    held: list[Unit] = []
    while (claim := environment.claim(routes=ROUTES)) is not None:
        (part,) = claim.units
        if split_chunk(unpack_items(part.blob)) is not None and next(choices, False):
            split(environment, part)
        else:
            held.append(part)

    for place in order:
        if place < len(held):
            commit_part(environment, held[place])

    assert environment.record(job_id).state is JobState.COMPLETED
    assert ids_of(environment, job_id) == [f"item-{n}" for n in range(ITEMS)]


def test_every_row_of_a_split_unit_is_one_stream_that_the_usual_call_reads(
    environment: Environment,
) -> None:
    job_id = a_job(environment)
    split(environment, environment.claim_unit())
    first, second = environment.claim_unit(), environment.claim_unit()

    commit_part(environment, second)
    commit_part(environment, first)

    rows = environment.redis.hgetall(environment.keys.output(job_id))
    assert sorted(rows) == [b"0", b"0+1"]
    lines = zlib.decompress(rows[b"0"]) + zlib.decompress(rows[b"0+1"])
    assert [json.loads(line)["custom_id"] for line in lines.splitlines()] == [
        f"item-{n}" for n in range(ITEMS)
    ]
    for row in rows.values():
        reader = zlib.decompressobj()
        reader.decompress(row)
        assert reader.unused_data == b""


def test_rows_of_parts_that_have_several_follow_each_other(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "RESULT_ROW_BYTES", 400)  # some three results
    job_id = a_job(environment)
    split(environment, environment.claim_unit())
    first, second = environment.claim_unit(), environment.claim_unit()

    commit_part(environment, second)
    commit_part(environment, first)

    rows = environment.redis.hgetall(environment.keys.output(job_id))
    assert sorted(rows) == [b"0", b"0+1", b"0+2", b"0+3"]
    assert ids_of(environment, job_id) == [f"item-{n}" for n in range(ITEMS)]
