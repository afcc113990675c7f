"""A client that blocks is closed while other threads use it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Barrier, Event
from time import monotonic

import pytest

from seqd.client import Client, JobHandle
from seqd.errors import ClientMisused
from worker_fixtures import Cluster

pytestmark = pytest.mark.processes

SAID = "This Client is closed. Make another one."


def read_results(client: Client, job: JobHandle[object]) -> None:
    for _ in client.job(job.job_id).results():
        pass


def read_events(client: Client, job: JobHandle[object]) -> None:
    for _ in client.job(job.job_id).events():
        pass


def wait_for_the_end(client: Client, job: JobHandle[object]) -> None:
    client.job(job.job_id).wait()


def take_as_they_end(client: Client, job: JobHandle[object]) -> None:
    for _ in client.as_completed([client.job(job.job_id)]):
        pass


def hand_in_again_and_again(client: Client, job: JobHandle[object]) -> None:
    for number in count():
        client.classify([f"text {number}"], model="echo")


def predict_again_and_again(client: Client, job: JobHandle[object]) -> None:
    for number in count():
        client.predict(f"text {number}", model="echo")


#: What a service's threads may be in. Each reads twice, so that a connection of the pool is taken
#: by a reader that has been there before.
USES = [read_results, read_events, wait_for_the_end, take_as_they_end] * 2 + [
    hand_in_again_and_again,
    predict_again_and_again,
]


def test_threads_that_use_a_client_as_it_is_closed_are_told_so(cluster: Cluster) -> None:
    client = Client(settings=cluster.settings)
    job = client.classify(["a"], model="echo", parameters={"delay_ms": 10_000.0})
    begun = Barrier(len(USES) + 1)

    def end_of(use: Callable[[Client, JobHandle[object]], None]) -> Exception | None:
        begun.wait()
        try:
            use(client, job)
        except Exception as error:  # noqa: BLE001 - of which kind it is, is what is asked
            return error
        return None

    with ThreadPoolExecutor(len(USES)) as threads:
        ends = [threads.submit(end_of, use) for use in USES]
        begun.wait()
        # All of them have asked once it has answered some times more than there are of them.
        for _ in range(5 * len(USES)):
            client.tenants()

        client.close()

        found = [(type(end.result(30)), str(end.result())) for end in ends]
    cluster.client().job(job.job_id).cancel()
    assert found == [(ClientMisused, SAID)] * len(USES)


def test_an_upload_goes_on_to_its_end_as_a_client_is_closed(cluster: Cluster) -> None:
    client = Client(settings=cluster.settings)
    is_asked, may_go_on = Event(), Event()

    def texts() -> Iterator[str]:
        yield from (f"text {number}" for number in range(1_500))
        is_asked.set()
        may_go_on.wait(30)
        yield from (f"text {number}" for number in range(500))

    job = client.classify(texts(), model="echo")
    with ThreadPoolExecutor(2) as threads:
        assert is_asked.wait(30)
        reader = threads.submit(read_results, client, job)
        closing = threads.submit(client.close)
        may_go_on.set()
        closing.result(30)

        end = reader.exception(30)
        assert end is None or isinstance(end, ClientMisused)

    assert cluster.client().job(job.job_id).wait(timeout_s=30).counts.succeeded == 2_000


def test_an_upload_that_waits_for_room_is_let_go_at_once(empty_cluster: Cluster) -> None:
    empty_cluster.publish_catalog()  # no worker, so nothing makes room
    texts = (f"text {number}" for number in count())
    job = empty_cluster.client(max_pending_bytes=1).classify(texts, model="echo")

    began_s = monotonic()
    job.let_go(60.0)

    assert monotonic() - began_s < 30.0
    assert not job.record().sealed
    job.cancel()
