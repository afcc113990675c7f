"""Observers are notified of a job if that can be done; work in hand never depends on it."""

from types import SimpleNamespace
from typing import Any

import pytest

from seqd.errors import RedisUnreachable
from seqd.worker.context import WorkerContext


def a_context(observers: dict[str, list[str]], error: Exception | None = None) -> WorkerContext:
    told: list[object] = []
    registry = SimpleNamespace(
        told=told,
        observers_of=lambda hook: observers.get(hook.removeprefix("seqd_job_"), []),
        notify_job_started=lambda job, worker: told.append((job, worker)),
        notify_job_finished=told.append,
    )

    def kept(job_ids: list[str]) -> list[str]:
        if error is not None:
            raise error
        return [f"record of {job_id}" for job_id in job_ids if job_id != "removed"]

    ledger = SimpleNamespace(jobs=SimpleNamespace(kept=kept))
    names = ("routes", "store", "cache", "leases", "drain", "max_attempts", "fitness")
    tools: dict[str, Any] = dict.fromkeys(names)
    return WorkerContext(
        identity=SimpleNamespace(name="w1"),  # type: ignore[arg-type]
        ledger=ledger,  # type: ignore[arg-type]
        registry=registry,  # type: ignore[arg-type]
        **tools,
    )


ALL = {"started": ["mine"], "finished": ["job_log", "mine"]}
LOG_ALONE = {"finished": ["job_log"]}


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RedisUnreachable("away"), "observers not notified: job=j1: away"),
        (ValueError("a fault of ours"), "observers not notified: job=j1"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_job_that_cannot_be_read_for_observers_costs_a_line_in_the_log(error, line, caplog):
    context = a_context(ALL, error)

    context.jobs_started(["j1"])
    context.jobs_finished(["j1"])

    assert context.registry.told == []  # type: ignore[attr-defined]
    assert caplog.messages == [line, line]


MANY = [f"j{number}" for number in range(10)]

#: Who observes, which jobs begin and end together, whether somebody waits for them, of which
#: observers are told at their end, and what is logged.
TOGETHER = [
    (ALL, ["j1", "removed"], False, ["j1"], ["started: job=j1 job=removed"]),
    (ALL, ["j1"], True, ["j1"], []),
    (LOG_ALONE, ["j1"], False, ["j1"], ["started: job=j1"]),
    (LOG_ALONE, ["j1", "j2"], True, [], ["finished: job=j1 job=j2"]),
    (LOG_ALONE, [], False, [], []),
    ({}, ["j1"], False, [], ["started: job=j1"]),
    (
        LOG_ALONE,
        MANY,
        False,
        [],
        [
            f"{what}: {' '.join(f'job={job_id}' for job_id in MANY[:8])} and 2 others"
            for what in ("started", "finished")
        ],
    ),
]


@pytest.mark.parametrize(("observers", "jobs", "is_waited_for", "told", "lines"), TOGETHER)
def test_who_was_installed_is_told_of_each_job_and_the_log_has_one_line_of_many_or_brief_ones(
    observers: dict[str, list[str]],
    jobs: list[str],
    is_waited_for: bool,
    told: list[str],
    lines: list[str],
    caplog,
):
    caplog.set_level("INFO")
    context = a_context(observers)

    context.jobs_started(jobs, is_waited_for=is_waited_for)
    context.jobs_finished(jobs, is_waited_for=is_waited_for)

    records = [f"record of {job_id}" for job_id in told]
    begun = [(record, "w1") for record in records] if "started" in observers else []
    assert context.registry.told == [*begun, *records]  # type: ignore[attr-defined]
    assert caplog.messages == lines
