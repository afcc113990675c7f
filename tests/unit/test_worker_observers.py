"""Of a job the log and observers are told if that can be done; work in hand never depends on it."""

from types import SimpleNamespace
from typing import Any

import pytest

from cli_builders import a_record
from seqd.errors import RedisUnreachable
from seqd.worker.context import WorkerContext
from seqd_schemas import Counts, Failure, JobState

ENDED = a_record(
    state=JobState.COMPLETED,
    version=3,
    counts=Counts(total=3, succeeded=2, errored=1),
    started_at_ms=2_000,
    ended_at_ms=4_500,
)
FAILED = {"state": JobState.FAILED, "failure": Failure(code="plugin_fault", message="it broke")}


def a_context(observed: str = "", error: Exception | None = None) -> WorkerContext:
    told: list[tuple[str, ...]] = []
    registry = SimpleNamespace(
        told=told,
        is_observed=lambda hook: hook.removeprefix("seqd_job_") in observed,
        notify_job_started=lambda job, worker: told.append((job.job_id, worker)),
        notify_job_finished=lambda job: told.append((job.job_id,)) if observed else None,
    )

    def kept(job_ids: list[str]) -> list[object]:
        if error is not None:
            raise error
        changes = {"broken": FAILED}
        return [
            ENDED.model_copy(update={"job_id": job_id} | changes.get(job_id, {}))
            for job_id in job_ids
            if job_id != "removed"
        ]

    ledger = SimpleNamespace(jobs=SimpleNamespace(kept=kept))
    names = ("routes", "store", "cache", "leases", "drain", "max_attempts", "fitness")
    tools: dict[str, Any] = dict.fromkeys(names)
    identity = SimpleNamespace(name="w1", slot=SimpleNamespace(name="cpu:0"))
    return WorkerContext(
        identity=identity,
        ledger=ledger,
        registry=registry,
        **tools,
    )


ALL = "started, finished"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RedisUnreachable("away"), "not told to the log and observers: job=j1: away"),
        (ValueError("a fault of ours"), "not told to the log and observers: job=j1"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_job_that_cannot_be_read_costs_a_line_in_the_log(error, line, caplog):
    context = a_context(ALL, error)

    context.jobs_started(["j1"])
    context.jobs_finished(["j1"])

    assert context.registry.told == []
    assert caplog.messages == [line, line]


def completed(job_id: str) -> str:
    return f"job completed: job={job_id} {FIGURES}"


FIGURES = "model=imdb_lstm@3 slot=cpu:0 succeeded=2 errored=1 seconds=2.5"
MANY = [f"j{number}" for number in range(10)]

#: What is observed, which jobs begin and end together, whether somebody waits for them, of which
#: observers are told, and what is logged.
TOGETHER = [
    (ALL, ["j1", "removed"], False, ["j1"], ["started: job=j1 job=removed", completed("j1")]),
    (ALL, ["j1"], True, ["j1"], ["finished: job=j1"]),
    ("", ["j1"], False, [], ["started: job=j1", completed("j1")]),
    ("", ["j1", "j2"], True, [], ["finished: job=j1 job=j2"]),
    ("", [], False, [], []),
    (
        "finished",
        ["broken"],
        False,
        ["broken"],
        ["started: job=broken", f"job failed: job=broken {FIGURES} reason=plugin_fault: it broke"],
    ),
    (
        "",
        MANY,
        False,
        [],
        [
            f"{what}: {' '.join(f'job={job_id}' for job_id in MANY[:8])} and 2 others"
            for what in ("started", "finished")
        ],
    ),
]


@pytest.mark.parametrize(("observed", "jobs", "is_waited_for", "told", "lines"), TOGETHER)
def test_observers_are_told_of_each_job_and_the_log_has_one_line_of_many_or_brief_ones(
    observed, jobs, is_waited_for, told, lines, caplog
):
    caplog.set_level("INFO")
    context = a_context(observed)

    context.jobs_started(jobs, is_waited_for=is_waited_for)
    context.jobs_finished(jobs, is_waited_for=is_waited_for)

    begun = [(job_id, "w1") for job_id in told] if "started" in observed else []
    ended = [(job_id,) for job_id in told]
    assert context.registry.told == [*begun, *ended]
    assert caplog.messages == lines
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [line for line in lines if line.startswith("job failed: ")]
