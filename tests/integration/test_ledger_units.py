"""Units under their leases: what is committed, split and released beside what `tests/model` says.

Its walks are commits, leases, splits and releases in any order, and by workers that are late. The
scenarios here are rules that a short walk may not come to.
"""

import json
import zlib

import pytest
from redis import ResponseError

from builders import (
    a_chunk,
    a_classify_job,
    inline,
    some_results,
)
from ledger_fixtures import BRIEFLY_S, Environment
from seqd.ledger import blobs
from seqd.ledger.blobs import split_chunk, unpack_items
from seqd.ledger.units import Death, Unit
from seqd.ledger.work import CommitOutcome
from seqd_schemas import Counts, DeathCause

pytestmark = pytest.mark.processes


def test_results_that_do_not_match_the_unit_are_refused(environment: Environment) -> None:
    job_id = environment.submit_units(1)
    unit = environment.claim_unit()

    with pytest.raises(ResponseError, match=r"seqd: 3 results for unit 0, which has 2 items"):
        environment.ledger.work.commit(unit, some_results(3))

    assert environment.record(job_id).counts == Counts(total=2, processing=2)
    assert environment.commit(unit) is CommitOutcome.COMPLETED


def split(environment: Environment, unit: Unit) -> bool:
    parts = split_chunk(unpack_items(unit.blob))
    assert parts is not None
    return environment.ledger.work.split(unit, parts)


@pytest.mark.parametrize("row_bytes", [1_000_000, 400], ids=["one row a part", "two rows a part"])
def test_rows_of_a_split_unit_follow_each_other_each_one_stream_that_the_usual_call_reads(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, row_bytes: int
) -> None:
    monkeypatch.setattr(blobs, "RESULT_ROW_BYTES", row_bytes)  # 400: some three results
    job_id = environment.submit(chunk=a_chunk(8), sealed=True, unit_items=8)
    whole = environment.claim_unit()
    split(environment, whole)

    for part in (environment.claim_unit(), environment.claim_unit())[::-1]:
        chunk = unpack_items(part.blob)
        environment.ledger.work.commit(part, some_results(4, first=chunk.first_index))

    names = [f"item-{n}" for n in range(8)]
    rows = environment.redis.hgetall(environment.keys.output(job_id))
    assert sorted(rows) == [b"0", b"0+1", b"0+2", b"0+3"][: len(rows)]
    assert len(rows) == (2 if row_bytes > 400 else 4)
    lines = b"".join(zlib.decompress(rows[name]) for name in sorted(rows)).splitlines()
    assert [json.loads(line)["custom_id"] for line in lines] == names
    for row in rows.values():
        reader = zlib.decompressobj()
        reader.decompress(row)
        assert reader.unused_data == b""
    found = environment.handle(job_id).results()
    assert [result.custom_id for result in found] == names


def test_whoever_held_a_unit_last_and_how_it_died_is_told_whatever_its_name_and_message(
    environment: Environment,
) -> None:
    death = Death(DeathCause.HANG, message='It "hung" in a\nloop.')
    job_id = environment.submit_units(2)
    environment.ledger.work.release_unit(environment.claim_unit(), faulted_by="worker a spaced")
    held = environment.claim_unit("worker a spaced")
    environment.ledger.work.release_worker("worker a spaced", crashed=True, death=death)

    again = environment.claim_unit()

    assert (again.name, again.death) == (held.name, death)
    assert again.faults is not None
    assert (again.faults.count, again.faults.worker) == (1, "worker a spaced")
    assert environment.events(job_id).count("log") == 1


def test_all_of_a_fleet_that_died_is_woken_in_one_look(environment: Environment) -> None:
    hasty = environment.with_settings(lease_s=BRIEFLY_S)
    for _ in range(210):
        hasty.submit(a_classify_job(source=inline("good")), unit_items=300)
    assert [len(hasty.claim_names()) for _ in range(2)] == [200, 10]
    hasty.wait_for_clock(hasty.ledger.fleet.now_ms() + 2)

    assert [hasty.ledger.work.expire() for _ in range(2)] == [210, 0]
