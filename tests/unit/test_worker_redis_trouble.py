"""Answers of the ledger that come late, or say that a chunk was replaced under a worker's hands.

The ledger is a stand-in, since a real server does neither between two calls of one unit.
"""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from builders import a_chunk, some_results
from cli_builders import a_record
from seqd.ledger.units import Unit
from seqd.ledger.work import CommitOutcome, MiscountedResults
from seqd.settings import Settings
from seqd.worker.computing import UnitItems
from seqd.worker.context import WorkerContext
from seqd.worker.items import ItemRunner
from seqd_schemas import JobRecord


def a_unit(**changes: object) -> Unit:
    unit = Unit(job_id="j1", name="0", attempt=1, crashes=0, blob=b"", started_job=False)
    return replace(unit, **changes)  # type: ignore[arg-type]


def test_only_the_job_whose_chunk_was_replaced_fails_by_the_ledgers_own_word() -> None:
    failed, finished = list[str](), list[str]()
    work = SimpleNamespace(
        commit_batch=lambda finished, plugin_version: [
            MiscountedResults("seqd: 2 results for unit 0, which has 3 items"),
            CommitOutcome.COMPLETED,
        ],
        fail_job=lambda unit, failure, traceback: failed.append(unit.job_id) or True,
    )
    tools: dict[str, Any] = dict.fromkeys(("routes", "store", "cache", "fitness", "drain"))

    def kept(job_ids: Sequence[str]) -> list[JobRecord]:
        return [a_record(job_id=job_id) for job_id in job_ids]

    context = WorkerContext(
        ledger=SimpleNamespace(work=work, jobs=SimpleNamespace(kept=kept)),  # type: ignore[arg-type]
        identity=SimpleNamespace(slot=SimpleNamespace(name="cpu:0")),  # type: ignore[arg-type]
        registry=SimpleNamespace(  # type: ignore[arg-type]
            is_observed=lambda hook: True,
            notify_job_finished=lambda job: finished.append(job.job_id),
        ),
        leases=SimpleNamespace(  # type: ignore[arg-type]
            given_up=lambda unit: None,
            computed=lambda: None,
            committed=lambda unit, outcome: None,
        ),
        max_attempts=3,
        **tools,
    )
    units = [UnitItems(a_unit(job_id=job_id), a_chunk(2)) for job_id in ("replaced", "sound")]

    ItemRunner(context, Settings())._commit([(items, some_results(2)) for items in units])

    assert failed == ["replaced"]
    assert finished == ["replaced", "sound"]
