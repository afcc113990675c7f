"""Observers are told of a job if that can be done; the work in hand never hangs on it."""

from types import SimpleNamespace
from typing import Any

import pytest

from seqd.errors import RedisUnreachable, UnknownJob
from seqd.worker.workbench import Workbench


def a_bench(get: Any) -> Workbench:
    told: list[object] = []
    registry = SimpleNamespace(
        told=told,
        notify_job_started=lambda job, worker: told.append((job, worker)),
        notify_job_finished=told.append,
    )
    ledger = SimpleNamespace(jobs=SimpleNamespace(get=get))
    names = ("routes", "store", "cache", "leases", "drain", "max_attempts")
    tools: dict[str, Any] = dict.fromkeys(names)
    return Workbench(
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
    bench = a_bench(lambda job_id: f"record of {job_id}")

    bench.job_started("j1")
    bench.job_finished("j1")

    assert bench.registry.told == [("record of j1", "w1"), "record of j1"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UnknownJob("gone"), "observers not told of job=j1: its owner has removed it"),
        (RedisUnreachable("away"), "observers not told of job=j1: away"),
        (ValueError("a fault of ours"), "observers not told of job=j1"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_job_that_cannot_be_read_for_them_costs_a_line_in_the_log(error, line, caplog):
    caplog.set_level("INFO")
    bench = a_bench(failing(error))

    bench.job_started("j1")
    bench.job_finished("j1")

    assert bench.registry.told == []  # type: ignore[attr-defined]
    assert caplog.messages == [line, line]
