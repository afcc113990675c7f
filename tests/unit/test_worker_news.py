"""A worker's record is published a moment after it has changed, by one thread alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock

import pytest

from seqd.ledger.fleet import Fleet
from seqd.testing import running_services
from seqd_schemas import WorkerStatus
from worker_fixtures import wait_until


@pytest.mark.processes
def test_a_record_is_not_published_while_an_earlier_one_is_on_its_way(redis_server, monkeypatch):
    lock, several, on_their_way = Lock(), Event(), list[WorkerStatus]()
    publish = Fleet.publish_worker

    @contextmanager
    def noted(status: WorkerStatus) -> Iterator[None]:
        with lock:
            on_their_way.append(status)
            if len(on_their_way) > 1:
                several.set()
        try:
            yield
        finally:
            with lock:
                on_their_way.remove(status)

    def slowly(self: Fleet, status: WorkerStatus, ttl_s: float = 0.0) -> None:
        with noted(status):
            if status.claim is not None:
                several.wait(1.2)  # a heartbeat comes meanwhile
            publish.__get__(self, Fleet)(status, ttl_s)

    monkeypatch.setattr(Fleet, "publish_worker", slowly)
    with (
        running_services({"imdb_lstm": str}, redis_url=redis_server.url) as services,
        services.hold() as held,
    ):
        job = services.client().classify(["fine"])
        held.wait_until_reached()
        wait_until(lambda: on_their_way != [], "its record is on its way")
        wait_until(lambda: several.is_set() or on_their_way == [], "it has come")
        held.release()
        job.wait(timeout_s=120)

    assert not several.is_set()
