"""Who waits for a job that no worker can run is told so, however the workers went."""

import logging
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from builders import a_worker_status
from cli_builders import a_record
from clock_fixtures import HeldClock
from seqd.client import Client, JobHandle
from seqd.client.waiting import WaitingNotice, Watch
from seqd.errors import NoWorker
from seqd.ledger import Ledger, connect
from seqd_schemas import JobRecord, Waiting, WaitingCode, WorkerState
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes

NO_WORKER = "waits: No worker is up: `seqd up` starts them, in some seconds."

#: Ways to wait for a job, each for longer than it takes to see that nobody is up, on a busy machine
#: too.
WAYS: dict[str, Callable[[Client, JobHandle], object]] = {
    "wait": lambda client, job: job.wait(timeout_s=8),
    "results": lambda client, job: list(job.results()),
    "events": lambda client, job: list(job.events()),
    "as_completed": lambda client, job: list(client.as_completed([job], timeout_s=8)),
}


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if " waits: " in message]


def test_whoever_waits_for_a_job_with_no_worker_up_is_told_once(
    empty_cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    empty_cluster.publish_catalog()
    client = empty_cluster.client()
    jobs = {way: client.classify(["a"], model="echo") for way in WAYS}

    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(len(WAYS)) as pool:
        ends = {way: pool.submit(WAYS[way], client, job) for way, job in jobs.items()}
        wait_until(lambda: len(told(caplog)) >= len(WAYS), "each is told")
        for way in ("results", "events"):  # which have no end of their own
            jobs[way].cancel()

    assert sorted(told(caplog)) == sorted(f"job={job.job_id} {NO_WORKER}" for job in jobs.values())
    assert isinstance(ends["wait"].exception(), TimeoutError)
    assert str(ends["wait"].exception()).endswith(
        " It waits: No worker is up: `seqd up` starts them, in some seconds."
    )
    for way in WAYS:
        assert isinstance(ends[way].exception(), TimeoutError | None), way


def test_a_job_for_a_model_that_a_starting_worker_may_bring_is_sent_once_it_is_there(
    empty_cluster: Cluster,
) -> None:
    client = empty_cluster.client()
    with connect(str(empty_cluster.settings.redis_url)) as redis:
        status = a_worker_status(worker="w1", plugins=(), state=WorkerState.STARTING)
        Ledger(redis, empty_cluster.settings).fleet.publish_worker(status, ttl_s=60)

    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(client.classify, ["a"], model="echo")
        assert not wait([sent], timeout=0.4).done
        empty_cluster.publish_catalog()

        assert sent.result(timeout=120).record().model == "echo"


def test_workers_that_load_one_model_after_another_are_told_of_once(
    empty_cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    empty_cluster.publish_catalog()
    record = empty_cluster.client().classify(["a"], model="echo").record()

    with connect(str(empty_cluster.settings.redis_url)) as redis:
        ledger = Ledger(redis, empty_cluster.settings)
        notice, loading = WaitingNotice(ledger), list[tuple[str, ...]]([(), ("a@1",), ("echo@1",)])
        for loads in loading:
            status = a_worker_status(
                worker="w1", plugins=(), state=WorkerState.STARTING, loading=loads
            )
            ledger.fleet.publish_worker(status, ttl_s=60)
            ledger.driver.run(notice.look(record, at_once=True, age_s=0.0))

    assert [message.partition(" waits: ")[2][:33] for message in told(caplog)] == [
        "A worker is still starting (w1). "
    ]


class _Noticed(WaitingNotice):
    """A notice of the reasons that it is given, one a look."""

    look_s = 1.0  # type: ignore[assignment]

    def __init__(self, *reasons: Waiting | None) -> None:
        self._reasons = iter(reasons)

    def look(self, record: JobRecord, **_: object) -> Generator[None, None, Waiting | None]:  # type: ignore[override]
        yield from ()
        return next(self._reasons)


def test_the_time_without_a_worker_begins_anew_once_one_could_run_the_job() -> None:
    nobody = Waiting(code=WaitingCode.NO_WORKER, message="No worker is up.")
    clock, notice = HeldClock(), _Noticed(nobody, None, nobody, nobody)
    watch = Watch(notice, {"no_worker_timeout_s": 10.0}, clock=clock)

    seen = []
    for at_s in (100, 105, 111):
        clock.now_s = at_s
        seen.append(_returned(watch.look(a_record())))
    clock.now_s = 121

    assert seen == [nobody, None, nobody]
    with pytest.raises(NoWorker):
        _returned(watch.look(a_record()))


def _returned(look: Generator[object, object, Waiting | None]) -> Waiting | None:
    with pytest.raises(StopIteration) as ended:
        next(look)
    value: Waiting | None = ended.value.value
    return value
