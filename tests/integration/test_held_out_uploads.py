"""Training data that travels by upload, to workers that share no disk with the client."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from socket import gethostname

import pytest

from async_builders import an_async_client
from builders import a_train_job
from cli_builders import here, use_ledger
from ledger_fixtures import Environment
from seqd.client import Client, JobHandle
from seqd.errors import IdempotencyConflict, InvalidData, InvalidRequest
from seqd.worker.training.run import open_data
from seqd_schemas import FileSource, Log, TextChunk, TrainJob, UploadSource
from worker_fixtures import Cluster

pytestmark = pytest.mark.processes

LEARNT = [{"text": "fine", "label": "pos"}, {"text": "dull", "label": "neg"}]
HELD_OUT = [{"text": "good", "label": "pos"}]
VALIDATED = "validated on ['good'] of the held-out upload"


@pytest.fixture
def client(cluster: Cluster) -> Client:
    return cluster.client()


def lines_of(job: JobHandle) -> list[str]:
    """Wait for a training; return what its plugin says of its data."""
    job.wait(timeout_s=120)
    return [event.message for event in job.events() if isinstance(event, Log)]


def test_a_training_validates_on_what_was_uploaded_behind_its_data(
    cluster: Cluster, client: Client
) -> None:
    file = Path(str(cluster.settings.data_dir)) / "data.jsonl"
    file.write_text('{"text": "fine", "label": "pos"}\n' * 3)
    many = ({"text": f"text {number}", "label": "a"} for number in range(5_000))
    numbers = [str(number) for number in range(2_100)]

    jobs = [
        client.train(LEARNT, held_out=iter(HELD_OUT), model="echo"),
        client.train(FileSource(path=str(file)), held_out=["good"], model="echo"),
        client.train(many, held_out=iter(numbers), model="echo"),
    ]

    small, of_file, large = map(lines_of, jobs)
    assert small == ["learnt 2 records", VALIDATED]
    assert of_file == ["learnt 3 records", VALIDATED]
    assert large[0] == "learnt 5000 records"
    assert f"validated on {numbers} of the held-out upload".startswith(large[1])


@pytest.mark.parametrize(
    ("machine", "option", "travels_as"),
    [
        (gethostname(), (), "file"),
        (gethostname(), ("--upload",), "upload"),
        ("elsewhere", (), "upload"),
        ("elsewhere", ("--no-upload",), "file"),
    ],
)
def test_files_of_a_command_on_another_machine_than_the_workers_are_sent(
    cluster: Cluster,
    client: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    machine: str,
    option: tuple[str, ...],
    travels_as: str,
) -> None:
    use_ledger(monkeypatch, cluster.commands)
    monkeypatch.setattr("seqd.cli.train.gethostname", lambda: machine)
    folder = cluster.settings.input_roots[0] / tmp_path.name
    folder.mkdir()
    data, held_out = folder / "data.jsonl", folder / "held.jsonl"
    data.write_text('{"text": "fine", "label": "pos"}\n' * 3)
    held_out.write_text('{"text": "good", "label": "pos"}\n')
    files = ("--data", str(data), "--held-out", str(held_out))

    ended = here(capsys, "train", "echo", *files, *option, "--detach")

    assert ended.status == 0, ended.err
    job = client.job(ended.out.strip()).record().job
    assert isinstance(job, TrainJob)
    assert job.held_out is not None
    assert (job.source.type, job.held_out.type) == (travels_as, travels_as)


@pytest.mark.parametrize(
    ("data", "held_out", "kind", "message"),
    [
        (
            LEARNT,
            ["good", 7],
            InvalidData,
            "held-out row 2: it is of type int; allowed: a string, or a record with a text field. "
            "Mend it or take it out.",
        ),
        (
            LEARNT,
            [],
            InvalidRequest,
            "The held-out data has no records; at least one is due.",
        ),
        (
            LEARNT,
            "good",
            InvalidRequest,
            "The items are one str; allowed: an iterable of texts or records. Put it into a list.",
        ),
        ([], HELD_OUT, InvalidRequest, "There are no items; at least one is due."),
    ],
    ids=["a number", "nothing", "one text", "no data"],
)
def test_data_that_is_none_is_refused_before_anything_is_sent(
    client: Client, data: object, held_out: object, kind: type[Exception], message: str
) -> None:
    before = len(client.jobs())

    with pytest.raises(kind) as raised:
        client.train(data, held_out=held_out, model="echo")  # type: ignore[arg-type]

    assert str(raised.value) == message
    assert len(client.jobs()) == before


def test_a_key_stands_for_the_data_and_for_where_the_held_out_part_begins(client: Client) -> None:
    train: Callable[..., JobHandle] = client.train
    options = {"model": "echo", "idempotency_key": "both"}
    first = train(LEARNT, held_out=HELD_OUT, **options)
    first.wait(timeout_s=120)

    again = train(LEARNT, held_out=HELD_OUT, **options)

    assert again.job_id == first.job_id
    moved = LEARNT + HELD_OUT
    with pytest.raises(IdempotencyConflict, match="has another input"):
        train(moved[:1], held_out=moved[1:], **options)
    with pytest.raises(IdempotencyConflict, match="asks for something else"):
        train(moved, **options)


def test_a_held_out_part_counts_towards_what_may_wait_in_redis(cluster: Cluster) -> None:
    small = cluster.client(max_pending_bytes=1_000)
    large = [f"{number:0200}" for number in range(20_000)]

    with (
        small,
        pytest.raises(InvalidData, match=r"does not fit into the ledger \(SEQD_MAX_PENDING"),
    ):
        small.train(LEARNT, held_out=large, model="echo").wait(timeout_s=120)


def test_a_worker_holds_one_chunk_of_an_upload_at_a_time(environment: Environment) -> None:
    job, ledger = a_train_job(source=UploadSource()), environment.ledger
    job_id = environment.submit(job, version=None, unit_items=1)
    for number, text in enumerate(["first", "second"]):
        chunk = TextChunk.model_validate({"texts": [{"text": text}]})
        ledger.submissions.append(job, job_id, number, chunk)
    records = open_data(job, job_id, ledger.jobs, environment.settings).training.records()

    first = next(records)
    environment.redis.hdel(environment.keys.input(job_id), "1")

    assert first.text == "first"
    with pytest.raises(InvalidData, match="chunk 1 of the upload is gone; send the job again"):
        next(records)


def test_a_client_of_asyncio_uploads_held_out_data_too(cluster: Cluster) -> None:
    async def validating() -> AsyncIterator[str]:
        yield "good"
        yield "bad"

    async def use() -> list[str]:
        async with asyncio.timeout(120), an_async_client(cluster) as client:
            job = await client.train(LEARNT, held_out=validating(), model="echo")
            return [event.message async for event in job.events() if isinstance(event, Log)]

    assert asyncio.run(use())[1] == "validated on ['good', 'bad'] of the held-out upload"
