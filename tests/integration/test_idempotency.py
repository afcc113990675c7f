"""One idempotency key stands for one request with all of its input, whoever sends it, and when.

Two senders at a time, with real workers: what a second one sends, raises or leaves undone touches
nothing of the job; only a difference is told, and to the second one alone. What the steps of the
ledger say to each other stands in `test_ledger_follow.py`.
"""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from builders import a_classify_job, inline
from seqd.admission import Admitted
from seqd.client import Client, JobHandle
from seqd.errors import IdempotencyConflict
from seqd.inputs.items import items_of
from seqd.ledger import Ledger, connect
from seqd.ledger.blobs import PackedChunk, chunks_of
from seqd.ledger.digests import InputDigest
from seqd_schemas import ItemSuccess
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes

#: Seconds without a sign of life after which a client here counts as dead.
SILENCE_S = 5.0
DEADLINE_S = 120.0


class Gate:
    """An input that gives its first entries, and when it may the rest, or raises an error."""

    def __init__(self, entries: list[str], first: int, error: Exception | None = None) -> None:
        self._entries, self._first, self._error = entries, first, error
        self._may_go_on = Event()

    def __iter__(self) -> Iterator[str]:
        yield from self._entries[: self._first]
        assert self._may_go_on.wait(DEADLINE_S)
        if self._error is not None:
            raise self._error
        yield from self._entries[self._first :]

    def open(self) -> None:
        self._may_go_on.set()


def texts(count: int, *, differs_from: int | None = None) -> list[str]:
    limit = count if differs_from is None else differs_from
    return [f"text {n}" if n < limit else f"other {n}" for n in range(count)]


def labels_of(job: JobHandle) -> list[str]:
    """The label of each result: echo gives an item's text back."""
    return [
        result.output.label if isinstance(result, ItemSuccess) else result.error.code.value  # type: ignore[union-attr]
        for result in job.results()
    ]


@pytest.fixture
def first(cluster: Cluster) -> Client:
    return cluster.client(upload_silence_s=SILENCE_S)


@pytest.fixture
def second(cluster: Cluster) -> Client:
    """Another client; a test leaves it by itself, since that may raise."""
    return cluster.client(upload_silence_s=SILENCE_S)


def wait_for_units(job: JobHandle, units: int) -> None:
    wait_until(lambda: job.record().units >= units, f"{units} units are uploaded", DEADLINE_S)


def begin(client: Client, key: str, entries: Gate, units: int) -> JobHandle:
    """Hand a job in, and wait until so many units of it are there."""
    job = client.classify(entries, model="echo", idempotency_key=key)
    wait_for_units(job, units)
    return job


def test_a_second_sender_whose_items_differ_fails_itself_alone(first, second):
    entries, others = Gate(texts(120), first=80), Gate(texts(120, differs_from=70), first=16)
    job = begin(first, "differ", entries, 10)
    wait_until(lambda: job.record().units_done == 10, "its first 80 items are done", DEADLINE_S)
    seen: list[str] = []

    with second:
        attached = second.classify(others, model="echo", idempotency_key="differ")
        with pytest.raises(IdempotencyConflict) as refused:
            for result in attached.results():
                seen.append(result.output.label)
                if len(seen) == 16:
                    others.open()
    assert "which has another input: it differs within the entries 65 to 72." in str(refused.value)

    # Never another's result for an item: none behind what is known to be the same.
    assert seen == texts(len(seen)) and 16 <= len(seen) <= 64
    entries.open()
    assert labels_of(job) == texts(120)


def broken_off() -> Iterator[str]:
    yield from texts(16)
    raise OSError("the disk is gone")


def left_alone(second: Client) -> None:
    with second:
        second.classify(iter(texts(40)), model="echo", idempotency_key="several")
        raise KeyError("a fault of the caller's own")


def told_by_none(second: Client) -> None:
    with second:
        second.classify(iter(texts(40, differs_from=20)), model="echo", idempotency_key="several")


def waited_for(entries: Callable[[], Iterator[str]]) -> Callable[[Client], object]:
    def send(second: Client) -> None:
        with second:
            attached = second.classify(entries(), model="echo", idempotency_key="several")
            attached.wait(DEADLINE_S)

    return send


def test_whatever_a_second_sender_raises_or_sends_the_job_of_the_first_goes_on(cluster, first):
    entries = Gate(texts(40), first=24)
    job = begin(first, "several", entries, 3)

    for send, error, said in (
        (waited_for(broken_off), OSError, "the disk is gone"),
        (left_alone, KeyError, "a fault of the caller's own"),
        # One that nobody has asked for is raised by the end of the client.
        (told_by_none, IdempotencyConflict, "differs within the entries 17 to 24"),
        (waited_for(lambda: iter(texts(16))), IdempotencyConflict, "more input than the 16 entr"),
    ):
        with pytest.raises(error, match=said):
            send(cluster.client(upload_silence_s=SILENCE_S))
        assert not job.record().state.is_terminal

    entries.open()
    assert labels_of(job) == texts(40)


def test_a_second_sender_of_the_same_items_has_the_results_of_the_first_and_is_told_in_time(
    first, second
):
    sent, compared = Gate(texts(60), first=24), Gate(texts(60), first=24)
    job = begin(first, "late", sent, 3)

    with second:
        attached = second.classify(compared, model="echo", idempotency_key="late")
        sent.open()
        job.wait(DEADLINE_S)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(attached.wait, 0.5)
            try:
                told = waiting.exception(DEADLINE_S / 2)
            finally:
                compared.open()
        assert attached.job_id == job.job_id
        assert attached.wait(DEADLINE_S).counts.total == 60
        assert labels_of(attached) == texts(60)

    assert isinstance(told, TimeoutError)
    assert str(told) == (
        f"Job {job.job_id} has ended, and after 0.5 s it is not known yet whether it had the input "
        "that was handed in here: that goes on."
    )


def test_errors_end_when_the_input_is_known_to_be_that_of_the_job(first, second):
    entries = ["raise", *texts(59)]
    sent, compared = Gate(entries, first=24), Gate([*entries[:40], *texts(20)], first=24)
    job = begin(first, "errors", sent, 3)

    with second:
        attached = second.classify(compared, model="echo", idempotency_key="errors")
        sent.open()
        job.wait(DEADLINE_S)
        errors = attached.errors()
        assert next(errors).custom_id == "row-1"
        compared.open()

        with pytest.raises(IdempotencyConflict):
            next(errors)


#: Sends the items of a key, and after so many waits for a word on its standard input.
SENDER = textwrap.dedent(
    """
    import sys
    from seqd.client import Client

    key, count, first, differs_from = sys.argv[1], *map(int, sys.argv[2:])

    def draw():
        for n in range(count):
            if n == first:
                sys.stdin.readline()
            yield f"text {n}" if n < differs_from else f"other {n}"

    with Client() as client:
        job = client.classify(draw(), model="echo", idempotency_key=key)
        print(job.job_id, flush=True)
        print(job.wait(timeout_s=120).counts.succeeded, flush=True)
    """
)

Sender = Callable[..., "tuple[subprocess.Popen[str], str]"]


@pytest.fixture
def start_sender(cluster: Cluster) -> Iterator[Sender]:
    """Starts a process that has sent 12 units of 25, and waits for a word; ends it afterwards."""
    started: list[subprocess.Popen[str]] = []
    variables = {
        **os.environ,
        "SEQD_REDIS_URL": str(cluster.commands.redis_url),
        "SEQD_PREFIX": cluster.settings.prefix,
        "SEQD_DATA_DIR": str(cluster.settings.data_dir),
        "SEQD_UPLOAD_SILENCE_S": str(SILENCE_S),
    }

    def start(key: str, differs_from: int = 1_000_000) -> "tuple[subprocess.Popen[str], str]":
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        words = [sys.executable, "-c", SENDER, key, "200", "96", str(differs_from)]
        sender = subprocess.Popen(words, env=variables, text=True, **pipes)
        started.append(sender)
        job_id = sender.stdout.readline().strip()
        wait_for_units(cluster.client().job(job_id), 12)
        return sender, job_id

    yield start
    for sender in started:
        sender.kill()
        sender.communicate()


def test_the_next_sender_of_the_same_items_goes_on_where_a_killed_one_was(second, start_sender):
    sender, job_id = start_sender("killed")
    sender.kill()
    sender.wait()

    with second:
        attached = second.classify(iter(texts(200)), model="echo", idempotency_key="killed")
        results = list(attached.results())
        record = attached.wait(DEADLINE_S)

    assert attached.job_id == job_id
    assert [result.custom_id for result in results] == [f"row-{n}" for n in range(1, 201)]
    assert [result.output.label for result in results] == texts(200)
    assert record.counts.succeeded == 200


@pytest.mark.parametrize(
    "differs_from",
    [
        pytest.param(1_000_000, id="the same rest"),
        pytest.param(150, id="another rest", marks=pytest.mark.slow),
    ],
)
def test_a_sender_that_was_frozen_compares_when_another_has_gone_on(
    second, start_sender, differs_from
):
    key = f"frozen {differs_from}"
    frozen, _ = start_sender(key, differs_from)
    frozen.send_signal(signal.SIGSTOP)

    with second:
        attached = second.classify(iter(texts(200)), model="echo", idempotency_key=key)
        assert labels_of(attached) == texts(200)
        frozen.send_signal(signal.SIGCONT)
        said, trouble = frozen.communicate("go on\n", timeout=DEADLINE_S)

        if differs_from > 200:
            assert (said, frozen.returncode) == ("200\n", 0)
        else:
            assert frozen.returncode == 1
            assert "IdempotencyConflict: The idempotency key" in trouble
        assert attached.record().counts.succeeded == 200


@pytest.mark.slow
def test_a_job_that_was_cut_otherwise_is_gone_on_with_as_it_was_begun(cluster, second):
    """Its worker, and so the size of a unit, was of another release."""
    request = a_classify_job(model="echo", idempotency_key="other cut")
    entries = list(items_of(texts(60), id_field="custom_id", text_field="text"))
    chunks, digest = list(chunks_of(entries, 5)), InputDigest(request)
    with connect(str(cluster.settings.redis_url)) as redis:
        submissions = Ledger(redis, cluster.settings).submissions
        submissions.submit(request, Admitted(1, 5), job_id="cut", chunk=chunks[0], owner="gone")
        for unit, chunk in enumerate(chunks[:6]):
            digest.add(PackedChunk(chunk))
            submissions.append(request, "cut", unit, chunk, owner="gone", digest=digest.hex())

    with second:
        attached = second.classify(texts(60), model="echo", idempotency_key="other cut")

        assert (attached.job_id, labels_of(attached)) == ("cut", texts(60))
        assert attached.record().units == 12


def test_an_inbox_entry_is_one_job_with_an_upload_of_its_items_and_attaches_to_none_under_way(
    cluster, first
):
    entries = Gate(texts(40), first=24)
    under_way = begin(first, "under way", entries, 3)
    with connect(str(cluster.settings.redis_url)) as producer:
        for job_id, items, key in (
            ("from-inbox", ("a", "b"), "from-both"),
            ("late-inbox", texts(24), "under way"),
        ):
            request = a_classify_job(model="echo", source=inline(*items), idempotency_key=key)
            fields = {"id": job_id, "job": request.model_dump_json()}
            producer.xadd(cluster.settings.keys.inbox(), fields)
    late = first.job("late-inbox")
    wait_until(lambda: late.rejection() is not None, "both are answered")
    records = [{"custom_id": f"item-{n}", "text": text} for n, text in enumerate("ab")]

    job = first.classify(iter(records), model="echo", idempotency_key="from-both")

    assert (job.job_id, labels_of(job)) == ("from-inbox", ["a", "b"])
    with pytest.raises(IdempotencyConflict):
        first.classify(records[::-1], model="echo", idempotency_key="from-both")
    assert late.rejection().failure.code == "idempotency_conflict"
    entries.open()
    assert labels_of(under_way) == texts(40)


def test_a_training_set_is_compared_while_it_is_uploaded_and_afterwards(first, second):
    records = [{"text": f"text {n}", "label": "like"} for n in range(5_000)]
    others = [*records[:4_500], {"text": "another", "label": "like"}, *records[4_501:]]
    entries = Gate(records, first=4_200)  # type: ignore[arg-type]

    job = first.train(entries, model="echo", idempotency_key="a set")
    wait_for_units(job, 2)
    with second:
        shorter = second.train(records[:3_000], model="echo", idempotency_key="a set")
        with pytest.raises(IdempotencyConflict):
            shorter.wait(DEADLINE_S)
        entries.open()
        assert job.wait(DEADLINE_S).training is not None

        with pytest.raises(IdempotencyConflict):
            second.train(others, model="echo", idempotency_key="a set")
        again = second.train(iter(records), model="echo", idempotency_key="a set")

        assert again.wait(DEADLINE_S).training == job.record().training
