"""Observers are notified of a job if that can be done; work in hand never depends on it."""

from types import SimpleNamespace
from typing import Any

import pytest

from seqd.errors import RedisUnreachable, UnknownJob
from seqd.worker.context import WorkerContext


def a_context(get: Any) -> WorkerContext:
    told: list[object] = []
    registry = SimpleNamespace(
        told=told,
        notify_job_started=lambda job, worker: told.append((job, worker)),
        notify_job_finished=told.append,
    )
    ledger = SimpleNamespace(jobs=SimpleNamespace(get=get))
    names = ("routes", "store", "cache", "leases", "drain", "max_attempts", "fitness")
    tools: dict[str, Any] = dict.fromkeys(names)
    return WorkerContext(
        identity=SimpleNamespace(name="w1"),  # type: ignore[arg-type]
        ledger=ledger,  # type: ignore[arg-type]
        registry=registry,  # type: ignore[arg-type]
        **tools,
    )


def failing(error: Exception) -> Any:
    def get(job_id: str) -> None:
        raise error

    return get


def test_observers_get_the_job_and_who_works_on_it():
    context = a_context(lambda job_id: f"record of {job_id}")

    context.jobs_started(["j1"])
    context.job_finished("j1")

    assert context.registry.told == [("record of j1", "w1"), "record of j1"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UnknownJob("gone"), "observers not notified of job=j1: its owner has removed it"),
        (RedisUnreachable("away"), "observers not notified of job=j1: away"),
        (ValueError("a fault of ours"), "observers not notified of job=j1"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_job_that_cannot_be_read_for_them_costs_a_line_in_the_log(error, line, caplog):
    caplog.set_level("INFO")
    context = a_context(failing(error))

    context.jobs_started(["j1"])
    context.job_finished("j1")

    assert context.registry.told == []  # type: ignore[attr-defined]
    assert caplog.messages == [line, line]


def told_of_many(context: WorkerContext, observers: list[str], count: int) -> list[object]:
    """Tell a context's observers that so many jobs have ended together; returns what they heard."""
    names = [f"j{number}" for number in range(count)]
    registry: Any = context.registry
    registry.observers_of = lambda hook: observers if hook == "seqd_job_finished" else []
    jobs: Any = context.ledger.jobs
    jobs.kept = lambda job_ids: (f"kept {job_id}" for job_id in job_ids)
    context.jobs_finished(names)
    told: list[object] = registry.told
    return told


#: How many jobs end together, who observes, and what of them is told and logged.
TOGETHER = [
    (300, ["job_log"], "", ["300 jobs finished: job=j0 and others"]),
    (300, ["job_log", "mine"], "kept ", []),
    (300, [], "", []),
    (2, ["job_log"], "record of ", []),
]


@pytest.mark.parametrize(("count", "observers", "told", "lines"), TOGETHER)
def test_of_many_small_jobs_the_log_gets_one_line_and_who_was_installed_is_told_of_each(
    count: int, observers: list[str], told: str, lines: list[str], caplog
):
    caplog.set_level("INFO")

    heard = told_of_many(a_context(lambda job_id: f"record of {job_id}"), observers, count)

    assert heard == ([f"{told}j{number}" for number in range(count)] if told else [])
    assert caplog.messages == lines


@pytest.mark.parametrize("observers", [["job_log"], ["job_log", "mine"]])
def test_interactive_jobs_are_one_line_at_their_end_unless_somebody_was_installed_to_be_told(
    observers: list[str], caplog
):
    caplog.set_level("INFO")
    context = a_context(lambda job_id: f"record of {job_id}")
    context.registry.observers_of = lambda hook: observers  # type: ignore[method-assign]

    context.jobs_started(["j1", "j2"], is_waited_for=True)
    context.jobs_finished(["j1", "j2"], is_waited_for=True)

    records = [f"record of {job_id}" for job_id in ("j1", "j2")]
    is_told = "mine" in observers
    begun = [(record, "w1") for record in records]
    assert context.registry.told == ([*begun, *records] if is_told else [])  # type: ignore[attr-defined]
    line = "interactive jobs finished: job=j1 job=j2"
    assert caplog.messages == ([] if is_told else [line])
