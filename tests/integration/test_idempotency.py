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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from builders import a_classify_job, inline
from seqd.client import Client, JobHandle
from seqd.errors import IdempotencyConflict
from seqd.inputs.items import items_of
from seqd.ledger import Ledger, connect
from seqd.ledger.blobs import PackedChunk, chunks_of
from seqd.ledger.digests import InputDigest
from seqd.settings import Settings
from seqd_schemas import FileSource, ItemSuccess, JobState
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes

#: Seconds without a sign of life after which a client here counts as dead.
SILENCE_S = 1.0
DEADLINE_S = 20.0


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
def first(cluster: Cluster) -> Iterator[Client]:
    with Client(settings=with_silence(cluster)) as client:
        yield client


@pytest.fixture
def second(cluster: Cluster) -> Client:
    """Another client; a test leaves it by itself, since that may raise."""
    return Client(settings=with_silence(cluster))


def with_silence(cluster: Cluster) -> Settings:
    return cluster.settings.model_copy(update={"upload_silence_s": SILENCE_S})


def wait_for_units(job: JobHandle, units: int) -> None:
    wait_until(lambda: job.record().units >= units, f"{units} units are uploaded", DEADLINE_S)


@pytest.mark.parametrize(
    "other", [texts(20, differs_from=8), texts(17), texts(24), texts(8), texts(1)],
    ids=["12 differ", "fewer", "more", "the first unit alone", "one"],
)  # fmt: skip
def test_another_input_is_refused_at_once_when_the_job_has_ended(first, other):
    key = f"ended-{len(other)}-{other[-1]}"
    job = first.classify(iter(texts(20)), model="echo", idempotency_key=key)
    before = job.wait(DEADLINE_S)

    with pytest.raises(IdempotencyConflict) as refused:
        first.classify(iter(other), model="echo", idempotency_key=key)
    again = first.classify(texts(20), model="echo", idempotency_key=key)

    assert str(refused.value).startswith(
        f"The idempotency key {key!r} already stands for job {job.job_id}, which "
    )
    assert again.job_id == job.job_id
    assert again.record() == before
    assert labels_of(again) == texts(20)


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.FAILED])
def test_another_input_is_refused_whatever_the_job_has_come_to(first, second, state):
    key = f"came to {state}"
    error = OSError("the disk is gone") if state is JobState.FAILED else None
    entries = Gate(texts(40), first=24, error=error)
    job = first.classify(entries, model="echo", idempotency_key=key)
    wait_for_units(job, 3)
    if state is JobState.CANCELLED:
        second.job(job.job_id).cancel()
    entries.open()
    wait_until(lambda: job.record().state is state, "it has ended")

    with second:
        for other in (texts(24, differs_from=20), texts(17)):
            with pytest.raises(IdempotencyConflict):
                second.classify(iter(other), model="echo", idempotency_key=key)
        again = second.classify(iter(texts(40)), model="echo", idempotency_key=key)

        assert (again.job_id, again.record().state) == (job.job_id, state)


def test_a_second_sender_whose_items_differ_fails_itself_alone(first, second):
    entries, others = Gate(texts(120), first=80), Gate(texts(120, differs_from=70), first=16)
    job = first.classify(entries, model="echo", idempotency_key="differ")
    wait_until(lambda: job.record().units_done == 10, "its first 80 items are done", DEADLINE_S)
    seen: list[str] = []

    with second:
        attached = second.classify(others, model="echo", idempotency_key="differ")
        with pytest.raises(IdempotencyConflict) as refused:
            for result in attached.results():
                seen.append(result.output.label)
                if len(seen) == 16:
                    others.open()
    assert "which has another input: it differs in the entries 65 to 72." in str(refused.value)

    # Never another's result for an item: none behind what is known to be the same.
    assert seen == texts(len(seen)) and 16 <= len(seen) <= 64
    entries.open()
    assert labels_of(job) == texts(120)


def test_a_second_sender_that_leaves_by_an_exception_leaves_the_job_alone(first, second):
    entries, others = Gate(texts(40), first=24), Gate(texts(40), first=16)
    job = first.classify(entries, model="echo", idempotency_key="leaves")
    wait_for_units(job, 3)

    with pytest.raises(KeyError), second:
        second.classify(others, model="echo", idempotency_key="leaves")
        others.open()
        raise KeyError("a fault of the caller's own")

    assert not job.record().state.is_terminal
    entries.open()
    assert labels_of(job) == texts(40)


def test_a_conflict_that_nobody_has_asked_for_is_raised_by_the_end_of_the_client(first, second):
    entries = Gate(texts(40), first=24)
    job = first.classify(entries, model="echo", idempotency_key="untold")
    wait_for_units(job, 3)

    with pytest.raises(IdempotencyConflict), second:
        second.classify(iter(texts(40, differs_from=20)), model="echo", idempotency_key="untold")

    entries.open()
    assert labels_of(job) == texts(40)


def test_a_second_sender_of_the_same_items_has_the_results_of_the_first(first, second):
    entries = Gate(texts(60), first=24)
    job = first.classify(entries, model="echo", idempotency_key="same")
    wait_for_units(job, 3)

    with second:
        attached = second.classify(texts(60), model="echo", idempotency_key="same")
        entries.open()
        assert attached.job_id == job.job_id
        assert labels_of(attached) == texts(60)
        assert attached.wait(DEADLINE_S).counts.total == 60

    assert labels_of(job) == texts(60)


def test_who_waits_for_an_ended_job_is_told_in_time_that_its_input_is_not_compared_yet(
    first, second
):
    sent, compared = Gate(texts(60), first=24), Gate(texts(60), first=24)
    job = first.classify(sent, model="echo", idempotency_key="late")
    wait_for_units(job, 3)

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
        attached.wait(DEADLINE_S)

    assert isinstance(told, TimeoutError)
    assert str(told) == (
        f"Job {job.job_id} has ended, and after 0.5 s it is not known yet whether it had the input "
        "that was handed in here: that goes on."
    )


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
        print(job.wait(timeout_s=30).counts.succeeded, flush=True)
    """
)


def start_sender(
    cluster: Cluster, key: str, count: int, first: int, differs_from: int = 1_000_000
) -> "subprocess.Popen[str]":
    variables = {
        **os.environ,
        "SEQD_REDIS_URL": str(cluster.settings.redis_url),
        "SEQD_PREFIX": cluster.settings.prefix,
        "SEQD_DATA_DIR": str(cluster.settings.data_dir),
        "SEQD_UPLOAD_SILENCE_S": str(SILENCE_S),
    }
    numbers = (str(count), str(first), str(differs_from))
    return subprocess.Popen(
        [sys.executable, "-c", SENDER, key, *numbers],
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def senders() -> "Iterator[list[subprocess.Popen[str]]]":
    started: list[subprocess.Popen[str]] = []
    yield started
    for sender in started:
        sender.kill()
        sender.communicate()


def test_the_next_sender_of_the_same_items_goes_on_where_a_killed_one_was(cluster, second, senders):
    senders.append(start_sender(cluster, "killed", count=200, first=96))
    job_id = senders[0].stdout.readline().strip()
    wait_for_units(second.job(job_id), 12)
    senders[0].kill()
    senders[0].wait()

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
    cluster, second, senders, differs_from
):
    key = f"frozen {differs_from}"
    frozen = start_sender(cluster, key, count=200, first=96, differs_from=differs_from)
    senders.append(frozen)
    job_id = frozen.stdout.readline().strip()
    wait_for_units(second.job(job_id), 12)
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
    chunks = list(chunks_of(entries, 5))
    digest = InputDigest(request)
    with connect(str(cluster.settings.redis_url)) as redis:
        submissions = Ledger(redis, cluster.settings, lambda route: None).submissions
        submissions.submit(
            request, job_id="cut", version=1, unit_items=5, chunk=chunks[0], owner="gone"
        )
        digest.add(PackedChunk(chunks[0]))
        for unit in range(1, 6):
            digest.add(PackedChunk(chunks[unit]))
            submissions.append(
                request, "cut", unit, chunks[unit], owner="gone", digest=digest.hex()
            )

    with second:
        attached = second.classify(texts(60), model="echo", idempotency_key="other cut")
        labels = labels_of(attached)

        assert (attached.job_id, labels) == ("cut", texts(60))
        assert attached.record().units == 12


def test_an_upload_and_an_inbox_entry_with_the_same_items_are_one_job(cluster, first):
    request = a_classify_job(model="echo", source=inline("a", "b"), idempotency_key="from-both")
    records = [{"custom_id": f"item-{n}", "text": text} for n, text in enumerate("ab")]
    with connect(str(cluster.settings.redis_url)) as producer:
        fields = {"id": "from-inbox", "job": request.model_dump_json()}
        producer.xadd(cluster.settings.keys.inbox(), fields)
    wait_until(lambda: [r for r in first.jobs() if r.job_id == "from-inbox"], "it is taken over")

    job = first.classify(iter(records), model="echo", idempotency_key="from-both")

    assert job.job_id == "from-inbox"
    assert labels_of(job) == ["a", "b"]
    with pytest.raises(IdempotencyConflict):
        first.classify(records[::-1], model="echo", idempotency_key="from-both")


def test_an_inbox_entry_does_not_attach_to_an_upload_under_way(cluster, first):
    entries = Gate(texts(40), first=24)
    job = first.classify(entries, model="echo", idempotency_key="under way")
    wait_for_units(job, 3)
    request = a_classify_job(model="echo", source=inline(*texts(24)), idempotency_key="under way")
    with connect(str(cluster.settings.redis_url)) as producer:
        fields = {"id": "late-inbox", "job": request.model_dump_json()}
        producer.xadd(cluster.settings.keys.inbox(), fields)

    late = first.job("late-inbox")
    wait_until(lambda: late.rejection() is not None, "it is answered")

    assert late.rejection().failure.code == "idempotency_conflict"
    entries.open()
    assert labels_of(job) == texts(40)


def test_a_request_for_a_file_stands_for_its_path(cluster, first):
    folder = Path(cluster.settings.input_roots[0])
    for name in ("one.txt", "two.txt"):
        (folder / name).write_text("\n".join(texts(20)))
    source = FileSource(path=str(folder / "one.txt"))
    job = first.classify(source, model="echo", idempotency_key="a file")

    again = first.classify(source, model="echo", idempotency_key="a file")
    with pytest.raises(IdempotencyConflict):
        first.classify(
            FileSource(path=str(folder / "two.txt")), model="echo", idempotency_key="a file"
        )

    assert again.job_id == job.job_id
    assert labels_of(again) == texts(20)


def test_a_training_set_is_compared_while_it_is_uploaded_and_afterwards(first, second):
    records = [{"text": f"text {n}", "label": "like"} for n in range(5_000)]
    others = [*records[:4_500], {"text": "another", "label": "like"}, *records[4_501:]]
    may_go_on = Event()

    def draw() -> Iterator[dict[str, str]]:
        yield from records[:4_200]
        assert may_go_on.wait(DEADLINE_S)
        yield from records[4_200:]

    job = first.train(draw(), model="echo", idempotency_key="a set")
    wait_for_units(job, 2)
    with second:
        shorter = second.train(records[:3_000], model="echo", idempotency_key="a set")
        with pytest.raises(IdempotencyConflict):
            shorter.wait(DEADLINE_S)
        may_go_on.set()
        assert job.wait(DEADLINE_S).training is not None

        with pytest.raises(IdempotencyConflict):
            second.train(others, model="echo", idempotency_key="a set")
        again = second.train(iter(records), model="echo", idempotency_key="a set")

        assert again.wait(DEADLINE_S).training == job.record().training
