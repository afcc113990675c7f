"""The exporter's labels are bounded, and one read at a time is made for all who ask."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import pytest

from builders import a_worker_status
from seqd.cli.exporter import _open
from seqd.errors import InvalidSettings
from seqd.exporter.metrics import MOST_TENANTS, OTHER, Reading, bounded, metrics_of
from seqd.exporter.reading import FleetReader, RightsWatch
from seqd.ledger.figures import FleetFigures
from seqd.scaling import RouteWork
from seqd.settings import Settings
from seqd_schemas import TenantLimits, TenantRecord

FIGURES = FleetFigures([], [], {"open": 0}, now_ms=5_000)


def values(reading: Reading) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in metrics_of(reading)
        for sample in family.samples
    }


def a_tenant(
    name: str, *, jobs: int = 0, items: int = 0, most_jobs: int = 10, kept: int = 0
) -> TenantRecord:
    """A tenant that may have 1,000 items, and keep 100,000 bytes."""
    return TenantRecord(
        tenant=name,
        own=TenantLimits(),
        limits=TenantLimits(jobs=most_jobs, items=1_000, kept_bytes=100_000),
        open_jobs=jobs,
        waiting_items=items,
        kept_bytes=1_000 * kept,
    )


def test_models_beyond_the_most_are_summed_up_by_task():
    routes = [
        RouteWork("classify", f"m{n}", seconds=float(n), items=n, oldest_wait_s=float(n))
        for n in range(1, 6)
    ]

    kept = bounded([*routes, RouteWork("generate", "m0", seconds=0.5, items=1)], most=3)

    assert [(r.task, r.model, r.seconds, r.items, r.oldest_wait_s) for r in kept] == [
        ("classify", "m3", 3.0, 3, 3.0),
        ("classify", "m4", 4.0, 4, 4.0),
        ("classify", "m5", 5.0, 5, 5.0),
        ("classify", OTHER, 3.0, 3, 2.0),  # 1 + 2
        ("generate", OTHER, 0.5, 1, None),
    ]


def test_who_asks_while_rights_are_looked_at_behind_a_read_is_answered_by_that_one():
    looking, may_end, reads = Event(), Event(), []

    def find_rights() -> list[str]:
        looking.set()
        assert may_end.wait(120)
        return []

    def read() -> FleetFigures:
        reads.append(1)
        return FIGURES

    reader = FleetReader(read, RightsWatch(find_rights, "default"), answer_s=60, shared_s=60)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(reader.reading)
        assert looking.wait(120)
        second = threads.submit(reader.reading)
        with pytest.raises(TimeoutError):
            second.result(0.1)
        may_end.set()
        answers = [first.result(120).figures, second.result(120).figures]
    reader.close()

    assert answers == [FIGURES, FIGURES]
    assert len(reads) == 1


def test_tenants_beyond_the_most_are_summed_up_and_those_near_their_limit_are_not():
    near = a_tenant("near", jobs=9, items=1)
    others = [a_tenant(f"t{number}", items=100) for number in range(MOST_TENANTS + 2)]

    found = values(Reading(replace(FIGURES, tenants=[*others, near]), 0.1, 0))

    tenants = {key[1] for key in found if key[0] == "seqd_tenant_items"}
    assert len(tenants) == MOST_TENANTS + 1
    assert found["seqd_tenant_share_ratio", "near"] == 0.9
    assert found["seqd_tenant_items", OTHER] == 300
    assert found["seqd_tenant_share_ratio", OTHER] == 0.1


def test_a_tenant_that_may_have_no_job_uses_all_of_it_with_one_and_nothing_without():
    records = [a_tenant("one", jobs=1, most_jobs=0), a_tenant("none", most_jobs=0)]

    found = values(Reading(replace(FIGURES, tenants=records), 0.1, 0))

    assert found["seqd_tenant_share_ratio", "one"] == 1
    assert found["seqd_tenant_share_ratio", "none"] == 0


def test_workers_are_counted_by_what_is_wrong_with_them():
    broken = {"name": "p", "distribution": "d", "version": "1", "state": "broken"}
    faults = [
        {"model": "m", "version": 1, "code": code, "since_ms": 1}
        for code in ("breaker_open", "missing")
    ]
    workers = [
        a_worker_status(worker="a", plugins=(broken,), unfit=faults, seen_at_ms=2_000),
        a_worker_status(worker="b", plugins=(broken,), unfit=faults[:1], seen_at_ms=6_000),
        a_worker_status(
            worker="c",
            seqd_version="9",
            cordon={"phase": "cordoned", "since_ms": 1},
            seen_at_ms=4_000,
        ),
    ]

    found = values(Reading(FleetFigures([], workers, {}, now_ms=5_000), 0.1))

    assert found["seqd_unfit_workers",] == 1
    assert found["seqd_breaker_open_workers",] == 2
    assert found["seqd_broken_plugins",] == 1
    assert found["seqd_releases",] == 2
    assert found["seqd_cordoned_workers",] == 1
    assert found["seqd_longest_silence_seconds",] == 3.0


def test_a_clock_that_is_off_is_no_silence_and_is_told_of_only_by_workers_that_measure_it():
    workers = [
        a_worker_status(worker="ahead", seen_at_ms=5_000, clock_offset_ms=1_500),
        a_worker_status(worker="behind", seen_at_ms=5_000, clock_offset_ms=-60_000),
        a_worker_status(worker="older", seen_at_ms=5_000),
    ]

    found = values(Reading(FleetFigures([], workers, {}, now_ms=5_000), 0.1))
    of_older = values(Reading(FleetFigures([], workers[2:], {}, now_ms=5_000), 0.1))

    assert found["seqd_clock_offset_seconds",] == 60
    assert found["seqd_longest_silence_seconds",] == 0
    assert ("seqd_clock_offset_seconds",) not in of_older


def test_without_its_library_the_exporter_says_what_to_install(monkeypatch):
    for name in list(sys.modules):
        if name.startswith(("prometheus_client", "seqd.exporter")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    with pytest.raises(InvalidSettings) as refused:
        _open(Settings(redis_url="redis://127.0.0.1:1/0"))

    assert str(refused.value) == (
        "seqd exporter needs prometheus-client, which is not installed: pip install "
        "'seqd[exporter]'"
    )
