"""Given a job of a plugin's own task, when a client reads it, then tables and arrays hold it."""

import asyncio
import os
import subprocess
import sys

import numpy as np
import pyarrow
import pytest
import seqd_tasks

from async_builders import an_async_client
from checkout import python_path
from readme_blocks import ROOT, blocks_of
from seqd.client.tables import result_schema, table_of
from seqd.errors import InvalidInput, InvalidRequest, ItemFailed, OutputMismatch
from seqd_schemas import Embedding, Score, Text

pytestmark = pytest.mark.processes

TEXTS = ["Anna met Bert in Oslo", "short", "A quick brown fox"]

GUIDE = ROOT / "schemas" / "README.md"

#: Longest that anything here may take.
LIMIT_S = 120.0


def test_vectors_are_one_matrix_in_input_order_with_nan_for_an_error(task_cluster):
    job = task_cluster.client().run(TEXTS, model="vectors", task="embed")

    matrix = job.to_numpy()

    assert (matrix.shape, matrix.dtype) == ((3, seqd_tasks.DIMENSIONS), np.float32)
    assert matrix[0].tolist() == list(seqd_tasks.embed(TEXTS[0]).vector)
    assert np.isnan(matrix[1]).all()
    assert job.ids() == ["row-1", "row-2", "row-3"]
    assert np.array_equal(job.to_numpy(offset=2, limit=5), matrix[2:])


def test_a_table_has_the_fields_of_the_output_and_says_which_task_made_it(task_cluster):
    job = task_cluster.client().run(TEXTS, model="vectors", task="embed")

    table = job.to_arrow().read_all()

    assert table.schema.names == [
        *("custom_id", "vector", "truncated", "version", "error_code", "error_message")
    ]
    assert table.schema.field("vector").type == pyarrow.list_(pyarrow.float32(), 256)
    assert table["vector"][0].as_py() == list(seqd_tasks.embed(TEXTS[0]).vector)
    assert (table["vector"][1].as_py(), table["error_code"][1].as_py()) == (None, "plugin_error")
    facts = table.schema.metadata
    assert facts[b"seqd.task"] == b"embed"
    assert facts[b"seqd.task_schema"].decode() == job.record().task_schema


def test_the_example_of_the_services_guide_runs(task_cluster):
    (block,) = (one for one in blocks_of(GUIDE, "python") if one.file == "embed.py")
    settings = task_cluster.settings
    environment = os.environ | {
        "SEQD_REDIS_URL": str(settings.redis_url),
        "SEQD_PREFIX": settings.prefix,
        "PYTHONPATH": python_path(),
    }

    ended = subprocess.run(
        [sys.executable, "-c", block.text], env=environment, capture_output=True, text=True
    )

    assert ended.stdout.splitlines() == [
        "embed",
        *("row-1 256", "row-2 256", "row-3 256", "row-4 invalid_input"),
        "(4, 256) ['row-4']",
        "row-1",
        "0.6666666666666666",
        "row 2: it has no field 'right'; allowed: the fields left, right, weight.",
    ], ended.stderr


def test_results_whose_schema_is_lost_are_one_column_of_json(task_cluster):
    client = task_cluster.client()
    job = client.run(["aeb"], model="stars", task="score")
    record = job.wait().model_copy(update={"task_schema": "0" * 64})

    schema = client._ledger.transport.run(result_schema(client._ledger, record))

    assert schema is None
    assert list(table_of(record, schema).columns) == [
        *("custom_id", "output", "version", "error_code", "error_message")
    ]


def test_one_item_is_answered_with_the_output_of_the_class_that_is_named(task_cluster):
    client = task_cluster.client()

    assert client.run_one("aeb", model="stars", task="score", output=Score).score == 2 / 3
    assert client.run_one("aeb", model="stars", task="score") == {
        "type": "score",
        "score": 2 / 3,
        "truncated": False,
    }
    pair = {"left": "a b", "right": "b"}
    compared = client.run_one(pair, model="pairs", task="compare", output=seqd_tasks.Comparison)
    assert compared.shared == ("b",)


def test_one_item_that_the_task_does_not_take_is_not_sent(task_cluster):
    with pytest.raises(ItemFailed) as failed:
        task_cluster.client().run_one({"left": "a"}, model="pairs", task="compare")

    assert (failed.value.code, str(failed.value)) == (
        "invalid_input",
        "The item was not sent: it has no field 'right'; allowed: the fields left, right, weight.",
    )


def test_one_item_of_several_is_refused_with_what_takes_several(task_cluster):
    with pytest.raises(InvalidRequest) as refused:
        task_cluster.client().run_one(["a", "b"], model="stars", task="score")

    assert str(refused.value) == (
        "The item is of type list; allowed: a text, or a record with the fields that the task "
        "takes. Of several: `run_each`, or `run`."
    )


def test_jobs_of_one_item_each_end_with_typed_results(task_cluster):
    client = task_cluster.client()

    jobs = client.run_each(["aeb", "nan", {"text": "b"}], model="stars", task="score", output=Score)
    found = {
        ended.job_id: list(ended.results())
        for ended in client.as_completed(jobs, timeout_s=LIMIT_S)
    }

    (first,), (bad,), (last,) = (found[job.job_id] for job in jobs)
    assert (first.unwrap(), last.unwrap().score) == (Score(score=2 / 3), 0)
    assert bad.error.code == "plugin_error"
    assert [result.unwrap() for result in jobs[0].results()] == [Score(score=2 / 3)]


def test_the_last_delta_of_a_text_has_the_output_of_its_item(task_cluster):
    client = task_cluster.client()
    job = client.run(["abcdef", "bad"], model="mirror", task="mirror", output=Text, stream=True)

    *parts, last = [delta for delta in job.stream() if delta.custom_id == "row-1"]

    assert "".join(part.text for part in parts) + last.text == "fedcba"
    assert (last.output, last.finished) == (Text(text="fedcba"), None)
    assert [delta.error.code for delta in job.stream() if delta.error] == ["plugin_error"]


def test_a_new_record_that_the_task_does_not_take_is_refused(task_cluster):
    client = task_cluster.client()
    job = client.run([{"left": "a"}], model="pairs", task="compare")
    job.wait()

    with pytest.raises(InvalidInput) as refused:
        client.retry(job, items={"row-1": "a text"})

    assert str(refused.value) == (
        "the new record of item 'row-1': it is a text; allowed: a record with the fields left, "
        "right, weight. Nothing was sent."
    )


@pytest.mark.parametrize("output", [dict, "Embedding", 7])
def test_an_output_that_is_no_model_is_refused(task_cluster, output):
    client, message = (
        task_cluster.client(),
        (
            f"output is {output!r}; allowed: a pydantic model, such as seqd_schemas.Embedding, or "
            "nothing, for dictionaries."
        ),
    )

    for ask in (
        lambda: client.run(["a"], model="stars", task="score", output=output),
        lambda: client.run_one("a", model="stars", task="score", output=output),
        lambda: client.run_each(["a"], model="stars", task="score", output=output),
        lambda: client.job("j1", output=output),
    ):
        with pytest.raises(InvalidRequest) as refused:
            ask()
        assert str(refused.value) == message


def test_an_output_of_another_class_names_the_item_and_the_field(task_cluster):
    job = task_cluster.client().run(["a"], model="stars", task="score", output=Embedding)

    with pytest.raises(OutputMismatch) as mismatch:
        list(job.results())

    assert str(mismatch.value) == (
        "The output of item 'row-1' is no Embedding: type is 'score': Input should be 'embedding'. "
        "Read the job without `output`, or with the class that the task states."
    )


def test_a_job_that_was_sent_without_stream_has_no_deltas(task_cluster):
    job = task_cluster.client().run(["a"], model="mirror", task="mirror")

    with pytest.raises(InvalidRequest) as refused:
        next(job.stream())

    assert str(refused.value) == (
        f"Job {job.job_id} does mirror and was sent without `stream`. Read `results()`, or hand it "
        "in with stream=True where the task's output has a text."
    )


def test_many_tasks_ask_for_one_item_each_at_a_time(task_cluster):
    async def use() -> None:
        async with asyncio.timeout(LIMIT_S), an_async_client(task_cluster) as client:
            texts = [f"text {number}" for number in range(50)]
            asked = (
                client.run_one(text, model="vectors", task="embed", output=Embedding)
                for text in texts
            )
            answers = await asyncio.gather(*asked)
            assert [answer.vector for answer in answers] == [
                seqd_tasks.embed(text).vector for text in texts
            ]

    asyncio.run(use())


def test_a_task_of_asyncio_hands_each_item_in_as_a_job(task_cluster):
    async def use() -> None:
        async with asyncio.timeout(LIMIT_S), an_async_client(task_cluster) as client:
            pairs = [{"left": "a", "right": "a"}, {"left": "a", "right": "b"}]
            jobs = await client.run_each(pairs, model="pairs", task="compare")
            found = {}
            async for ended in client.as_completed(jobs):
                found[ended.job_id] = [result.unwrap() async for result in ended.results()]
            assert [found[job.job_id][0]["overlap"] for job in jobs] == [1.0, 0.0]
            with pytest.raises(InvalidRequest):
                await client.run_each(pairs, model="pairs", task="score")

    asyncio.run(use())
