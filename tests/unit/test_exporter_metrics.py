"""The exporter's labels are bounded, and one read at a time is made for all who ask."""

import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from seqd.cli.exporter import _open
from seqd.errors import InvalidSettings, RedisUnreachable
from seqd.exporter.metrics import OTHER, bounded
from seqd.exporter.reading import FleetReader
from seqd.ledger.backlog import FleetState
from seqd.scaling import RouteWork
from seqd.settings import Settings

A_STATE = FleetState([], [], {"open": 0}, None)


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


def test_who_asks_during_a_read_waits_for_that_one():
    began, may_end, reads = Event(), Event(), []

    def read() -> FleetState:
        reads.append(1)
        began.set()
        assert may_end.wait(10)
        return A_STATE

    reader = FleetReader(read, answer_s=5)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(reader.reading)
        assert began.wait(10)
        second = threads.submit(reader.reading)
        may_end.set()
        answers = [first.result(10).state, second.result(10).state]
    reader.close()

    assert answers == [A_STATE, A_STATE]
    assert len(reads) == 1


def test_what_a_late_read_found_is_not_shown_as_what_there_is():
    may_end, reads = Event(), []

    def read() -> FleetState:
        reads.append(1)
        if len(reads) == 1:
            assert may_end.wait(10)
            return A_STATE
        raise RedisUnreachable("away")

    reader = FleetReader(read, answer_s=0.05)
    late = reader.reading()
    pending = reader._pending
    may_end.set()
    assert pending is not None
    pending.result(10)
    after = reader.reading()
    reader.close()

    assert late.state is None
    assert after.state is None
    assert len(reads) == 2


def test_without_its_library_the_exporter_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
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
