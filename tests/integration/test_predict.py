"""One text, one answer: `Client.predict`, on a real server with a real worker."""

import re
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from redis_fixtures import PrivateServer
from seqd.errors import (
    InvalidParameters,
    ItemFailed,
    JobCancelled,
    UnknownModel,
)
from tcp_proxy import TcpProxy
from worker_fixtures import Cluster, live_settings, wait_until

pytestmark = pytest.mark.processes


def test_a_text_has_its_classification(cluster: Cluster) -> None:
    answer = cluster.client().predict("A fine film.", model="echo")

    assert (answer.label, answer.score) == ("A fine film.", 1.0)


def test_a_prompt_has_its_generation(cluster: Cluster) -> None:
    answer = cluster.client().complete("once", model="echo", parameters={"length": 5})

    assert (answer.prompt, len(answer.samples[0].text)) == ("once", 5)


def test_nothing_is_left_in_redis_of_a_text_that_was_answered(cluster: Cluster) -> None:
    client = cluster.client()
    before = cluster.keys_of_jobs()

    for number in range(3):
        client.predict(f"text {number}", model="echo")
    with pytest.raises(ItemFailed):
        client.predict("bad", model="echo")

    assert cluster.keys_of_jobs() <= before


def test_the_error_of_an_item_is_raised_with_its_code(cluster: Cluster) -> None:
    with pytest.raises(ItemFailed, match=r"^this text was made bad$") as raised:
        cluster.client().predict("bad", model="echo")

    assert raised.value.code == "invalid_input"


def test_a_text_that_no_item_may_hold_is_not_sent(empty_cluster: Cluster) -> None:
    with pytest.raises(ItemFailed, match=r"^The item was not sent: text is empty\.$") as raised:
        empty_cluster.client().predict("  ", model="echo")

    assert raised.value.code == "invalid_input"


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"model": "ecco"}, UnknownModel, "no model named 'ecco'. Known models: echo."),
        ({"model": "echo@9999"}, UnknownModel, "model 'echo' has no version 9999."),
        ({"model": "echo", "parameters": {"lenght": 1}}, InvalidParameters, "'lenght'"),
    ],
)
def test_what_cannot_be_asked_is_refused_as_any_job_is(
    cluster: Cluster, given: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        cluster.client().predict("text", **given)


def test_a_text_that_takes_too_long_is_cancelled_and_leaves_nothing(
    empty_cluster: Cluster,
) -> None:
    empty_cluster.publish_catalog()  # by a worker that is gone
    client = empty_cluster.client()
    before = empty_cluster.keys_of_jobs()

    with pytest.raises(TimeoutError) as raised:
        client.predict("text", model="echo", timeout_s=0.3)

    said = r"Job \w+ was queued after 0\.3 s, and is cancelled and removed\."
    assert re.fullmatch(said, str(raised.value))
    assert empty_cluster.keys_of_jobs() <= before


def test_a_worker_that_is_at_a_late_text_does_not_bring_it_back(cluster: Cluster) -> None:
    client = cluster.client()
    before = cluster.keys_of_jobs()

    with pytest.raises(TimeoutError, match=r"^Job \w+ was running after 0\.3 s"):
        client.predict("text", model="echo", parameters={"delay_ms": 900.0}, timeout_s=0.3)
    client.predict("the worker is free again", model="echo")

    wait_until(lambda: cluster.keys_of_jobs() <= before, "nothing is left of it")


def test_somebody_cancels_the_job_of_a_text(empty_cluster: Cluster) -> None:
    empty_cluster.publish_catalog()
    client = empty_cluster.client()

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.predict, "text", model="echo")
        wait_until(lambda: client.open_jobs() != [], "the job is there")
        client.job(client.open_jobs()[0].job_id).cancel()
        with pytest.raises(JobCancelled, match=r"^Job \w+ was cancelled before it had its turn\."):
            answer.result()


def test_threads_share_a_client(cluster: Cluster) -> None:
    client = cluster.client()
    texts = [f"text {number}" for number in range(100)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda text: client.predict(text, model="echo"), texts))

    assert [answer.label for answer in answers] == texts


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
    direct, client = cluster.client(), cluster.client(redis_url=proxy.url)
    before = cluster.keys_of_jobs()

    with ThreadPoolExecutor(1) as pool:
        asked = {"model": "echo", "parameters": {"delay_ms": 300.0}}
        answer = pool.submit(client.predict, "text", **asked)
        wait_until(lambda: direct.open_jobs() != [], "the job is there")
        proxy.drop_next_replies(1, to=b"EVALSHA")

        assert answer.result().label == "text"
    assert proxy.is_done
    assert cluster.keys_of_jobs() <= before
