"""One text, one answer: `predict` of both faces, on a real server with a real worker."""

import asyncio
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis

from async_builders import an_async_client, face_of, faces, run
from redis_fixtures import PrivateServer
from seqd.client import Client
from seqd.errors import InvalidParameters, ItemFailed, JobCancelled, UnknownModel
from tcp_proxy import TcpProxy
from worker_fixtures import Cluster, live_settings, wait_until

pytestmark = pytest.mark.processes


@faces
def test_a_text_has_its_classification(cluster: Cluster, face: str) -> None:
    with face_of(cluster, face) as asked:
        found = asked.do(lambda: asked.client.predict("A fine film.", model="echo"))
        written = asked.do(
            lambda: asked.client.complete("once", model="echo", parameters={"length": 5})
        )

    assert (found.label, found.score) == ("A fine film.", 1.0)
    assert (written.prompt, len(written.samples[0].text)) == ("once", 5)


@faces
def test_nothing_is_left_in_redis_of_a_text_that_was_answered(cluster: Cluster, face: str) -> None:
    before = cluster.keys_of_jobs()

    with face_of(cluster, face) as asked:
        for number in range(3):
            asked.do(lambda number=number: asked.client.predict(f"text {number}", model="echo"))
        with pytest.raises(ItemFailed, match=r"^this text was made bad$") as raised:
            asked.do(lambda: asked.client.predict("bad", model="echo"))

    assert raised.value.code == "invalid_input"
    assert cluster.keys_of_jobs() - before <= {"jobs:small"}


@faces
@pytest.mark.parametrize(
    ("text", "given", "error", "message"),
    [
        ("  ", {}, ItemFailed, "The item was not sent: text is blank."),
        ("a", {"model": "ecco"}, UnknownModel, "no model named 'ecco'. Known models: echo."),
        ("a", {"parameters": {"lenght": 1}}, InvalidParameters, "'lenght'"),
    ],
)
def test_what_cannot_be_asked_is_refused_as_any_job_is(
    cluster: Cluster,
    face: str,
    text: str,
    given: dict[str, object],
    error: type[Exception],
    message: str,
) -> None:
    with face_of(cluster, face) as asked, pytest.raises(error, match=re.escape(message)):
        asked.do(lambda: asked.client.predict(text, **({"model": "echo"} | given)))  # type: ignore[arg-type]


@faces
def test_a_text_that_takes_too_long_is_cancelled_and_leaves_nothing(
    empty_cluster: Cluster, face: str
) -> None:
    empty_cluster.publish_catalog()  # by a worker that is gone
    before = empty_cluster.keys_of_jobs()

    with face_of(empty_cluster, face) as asked, pytest.raises(TimeoutError) as raised:
        asked.do(lambda: asked.client.predict("text", model="echo", timeout_s=0.3))

    said = r"Job \w+ was queued after 0\.3 s, and is cancelled and removed\."
    assert re.fullmatch(said, str(raised.value))
    assert empty_cluster.keys_of_jobs() <= before | {"client"}


def test_a_worker_that_is_at_a_late_text_does_not_bring_it_back(cluster: Cluster, cure) -> None:
    client = cluster.client()
    before = cluster.keys_of_jobs()

    with pytest.raises(TimeoutError, match=r"^Job \w+ was running after 5 s"):
        client.predict("held", model="echo", timeout_s=5.0)
    cure.touch()
    client.predict("the worker is free again", model="echo")

    wait_until(lambda: cluster.keys_of_jobs() <= before, "nothing is left of it")


@faces
def test_somebody_cancels_the_job_of_a_text(empty_cluster: Cluster, face: str) -> None:
    empty_cluster.publish_catalog()
    direct = empty_cluster.client()

    with face_of(empty_cluster, face) as asked, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(asked.do, lambda: asked.client.predict("text", model="echo"))
        wait_until(lambda: direct.open_jobs() != [], "the job is there")
        direct.job(direct.open_jobs()[0].job_id).cancel()
        with pytest.raises(JobCancelled, match=r"^Job \w+ was cancelled before it had its turn\."):
            answer.result()


def test_threads_share_a_client(cluster: Cluster) -> None:
    client = cluster.client()
    texts = [f"text {number}" for number in range(100)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda text: client.predict(text, model="echo"), texts))

    assert [answer.label for answer in answers] == texts


def scripts_run(cluster: Cluster, call: Callable[[], object]) -> tuple[int, float]:
    """Return how many scripts the server has run meanwhile, for whomever, and the seconds."""
    with Redis.from_url(str(cluster.settings.redis_url)) as redis:
        before = redis.info("commandstats")["cmdstat_evalsha"]["calls"]
        began_s = time.monotonic()
        call()
        took_s = time.monotonic() - began_s
        return int(redis.info("commandstats")["cmdstat_evalsha"]["calls"]) - before, took_s


def test_texts_that_tasks_ask_together_have_their_own_answers_in_few_round_trips(
    cluster: Cluster,
) -> None:
    texts = [f"text {number}" for number in range(1_000)]
    answers = list[object]()

    async def use() -> None:
        async with an_async_client(cluster) as client:
            answers.extend(
                await asyncio.gather(
                    *(client.predict(text, model="echo", timeout_s=120) for text in texts),
                    client.predict("bad", model="echo"),
                    client.predict("good", model="ecco"),
                    client.complete("once", model="echo", parameters={"length": 5}),
                    client.predict("other", model="echo", parameters={"delay_ms": 1.0}),
                    return_exceptions=True,
                )
            )

    calls, took_s = scripts_run(cluster, lambda: run(use(), limit_s=120.0))

    *found, bad, unknown, written, other = answers
    assert [answer.label for answer in found] == texts  # type: ignore[attr-defined]
    assert (other.label, written.prompt) == ("other", "once")  # type: ignore[attr-defined]
    assert isinstance(bad, ItemFailed) and bad.code == "invalid_input"
    assert isinstance(unknown, UnknownModel)
    # Each alone would take four: submitted, claimed, committed, taken. Beside that workers look
    # after the fleet, some dozens of scripts a second.
    assert calls < 4 * len(texts) / 2 + 60 * took_s


def test_the_job_of_a_task_that_is_cancelled_is_cancelled_and_removed(
    empty_cluster: Cluster,
) -> None:
    empty_cluster.publish_catalog()
    direct = empty_cluster.client()
    before = empty_cluster.keys_of_jobs()

    async def use() -> None:
        async with an_async_client(empty_cluster) as client:
            at_once = asyncio.create_task(client.predict("text", model="echo"))
            await asyncio.sleep(0)  # it has asked, and nothing is sent yet
            at_once.cancel()
            later = asyncio.create_task(client.predict("text", model="echo"))
            while not await client.open_jobs():
                await asyncio.sleep(0.01)
            later.cancel()
            await asyncio.gather(at_once, later, return_exceptions=True)

    run(use())

    wait_until(lambda: direct.open_jobs() == [], "no job is left")
    left = empty_cluster.keys_of_jobs() - before
    assert {key for key in left if not key.endswith("-wake:completions")} == set()


def test_an_interrupted_call_leaves_no_job_behind(empty_cluster: Cluster) -> None:
    empty_cluster.publish_catalog()
    client = empty_cluster.client()
    raised = threading.Event()

    class Interrupted(Exception):
        """What a time limit of the caller's own raises."""

    def interrupt_once(*_: object) -> None:
        if not raised.is_set():
            raised.set()
            raise Interrupted

    before = empty_cluster.keys_of_jobs()
    old = signal.signal(signal.SIGALRM, interrupt_once)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(Interrupted):
            client.predict("text", model="echo")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)

    assert empty_cluster.keys_of_jobs() <= before


@pytest.fixture
def proxied(private_server: PrivateServer, tmp_path: Path) -> Iterator[tuple[Cluster, TcpProxy]]:
    """A cluster of its own, and a proxy in front of its server."""
    cluster = Cluster(live_settings(private_server, tmp_path), tmp_path)
    with TcpProxy(private_server.url) as proxy:
        try:
            yield cluster, proxy
        finally:
            cluster.close()


@pytest.mark.slow
def test_a_text_whose_answer_was_lost_on_its_way_is_sent_again(
    proxied: tuple[Cluster, TcpProxy],
) -> None:
    cluster, proxy = proxied
    cluster.start_ready()
    direct: Client = cluster.client()
    client: Client = cluster.client(redis_url=proxy.url)
    before = cluster.keys_of_jobs()

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.predict, "text", model="echo", parameters={"delay_ms": 3_000.0})
        wait_until(lambda: direct.open_jobs() != [], "the job is there")
        proxy.drop_next_replies(1, to=b"EVALSHA")

        assert answer.result().label == "text"
    assert proxy.is_done
    assert cluster.keys_of_jobs() <= before
