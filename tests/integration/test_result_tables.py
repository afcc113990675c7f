"""Results as tables of pandas and Arrow: their columns, and what is held of them."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from threading import Event

import pyarrow
import pytest

from async_builders import an_async_client
from checkout import python_path
from seqd.client import Client, tables
from seqd.errors import InvalidRequest, JobFailed
from worker_fixtures import Cluster

pytestmark = pytest.mark.processes

#: Longest that anything here may take.
LIMIT_S = 120.0


@pytest.fixture
def client(cluster: Cluster) -> Client:
    return cluster.client()


def test_a_frame_has_a_row_for_each_text_with_its_label_or_its_error(client: Client) -> None:
    job = client.classify(["fine", "bad"], model="echo")

    frame, page = job.to_pandas(), job.to_pandas(offset=5, limit=5)

    assert list(frame.columns) == [
        *("custom_id", "label", "score", "truncated", "unknown_share", "uncertain"),
        *("probabilities", "version", "error_code", "error_message"),
    ]
    assert frame.custom_id.tolist() == ["row-1", "row-2"]
    assert (frame.label[0], frame.score[0], frame.truncated[0]) == ("fine", 1.0, False)
    assert frame.label.isna().tolist() == frame.score.isna().tolist() == [False, True]
    assert frame.error_code[1] == "invalid_input"
    # One without results has columns.
    assert (len(page), page.score.dtype.name) == (0, "float64")


def test_a_frame_of_a_generation_has_a_row_for_each_sample(client: Client) -> None:
    job = client.generate(["ab"], model="echo", parameters={"samples": 2, "length": 6})

    frame = job.to_pandas()

    rows = frame[["custom_id", "sample", "prompt"]].values.tolist()
    assert rows == [["row-1", 0, "ab"], ["row-1", 1, "ab"]]
    assert frame.text.str.len().tolist() == [6, 6]


def test_a_job_of_another_kind_has_no_vectors_and_a_training_no_table(client: Client) -> None:
    job = client.classify(["fine"], model="echo")
    training = client.train(["a text"], model="echo")

    with pytest.raises(InvalidRequest) as refused:
        job.to_numpy()
    with pytest.raises(InvalidRequest, match="is a training: it has no items"):
        training.to_arrow()

    assert str(refused.value) == (
        f"Job {job.job_id} is a job of kind classify, whose outputs have no vectors. Call "
        "`to_pandas()`."
    )


def test_arrow_reads_batch_after_batch_while_the_job_runs(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "BATCH_ROWS", 8)
    may_end = Event()

    def texts() -> Iterator[str]:
        yield from map(str, range(16))
        assert may_end.wait(LIMIT_S)
        yield from map(str, range(16, 24))

    job = client.classify(texts(), model="echo")

    reader = job.to_arrow()
    first = reader.read_next_batch()
    done = job.record().counts.done
    may_end.set()

    assert first.num_rows == 8
    assert done < 24
    assert [batch.num_rows for batch in reader] == [8, 8]
    probabilities = pyarrow.map_(pyarrow.string(), pyarrow.float64())
    assert reader.schema.field("probabilities").type == probabilities


def test_a_job_that_fails_while_arrow_reads_it_says_why(client: Client) -> None:
    def texts() -> Iterator[str]:
        yield from map(str, range(20))
        raise LookupError("the source is gone")

    job = client.classify(texts(), model="echo")

    with pytest.raises((LookupError, JobFailed), match="the source is gone"):
        job.to_arrow().read_all()


WITHOUT = """
import sys
sys.modules["pandas"] = sys.modules["pyarrow"] = None
from seqd.client import Client, LibraryMissing
job = Client("redis://127.0.0.1:1").job("j1")
for table in (job.to_pandas, job.to_arrow):
    try:
        table()
    except LibraryMissing as error:
        print(error.code, error)
"""


@pytest.mark.slow
def test_without_the_libraries_it_is_said_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": python_path()},
    )

    assert done.stdout.splitlines() == [
        f"no_library Results as a table need {name}, which cannot be imported here: import of "
        f"{name} halted; None in sys.modules. Install it: pip install 'seqd[frames]'"
        for name in ("pandas", "pyarrow")
    ], done.stderr


def test_a_task_reads_batches_and_frames(cluster: Cluster) -> None:
    async def use() -> None:
        async with asyncio.timeout(LIMIT_S), an_async_client(cluster) as client:
            job = await client.classify(["a", "b", "bad"], model="echo")
            batches = [batch async for batch in job.to_arrow()]
            assert pyarrow.Table.from_batches(batches)["label"].to_pylist() == ["a", "b", None]
            assert (await job.to_pandas(limit=2)).label.tolist() == ["a", "b"]

    asyncio.run(use())
