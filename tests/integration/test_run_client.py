"""Given a job of a plugin's own task, when a client reads it, then tables and arrays hold it."""

import asyncio
import re

import numpy as np
import pytest
import seqd_tasks

from seqd.client import AsyncClient
from seqd.errors import InvalidRequest

pandas = pytest.importorskip("pandas", reason="pandas is not installed: pip install seqd[frames]")
pyarrow = pytest.importorskip(
    "pyarrow", reason="pyarrow is not installed: pip install seqd[frames]"
)

pytestmark = pytest.mark.processes

TEXTS = ["Anna met Bert in Oslo", "short", "A quick brown fox"]

#: Longest that anything here may take.
LIMIT_S = 30.0


def test_vectors_are_one_matrix_in_input_order_with_nan_for_an_error(task_cluster):
    job = task_cluster.client().run(TEXTS, model="vectors", task="embed")

    matrix = job.to_numpy()

    assert (matrix.shape, matrix.dtype) == ((3, seqd_tasks.DIMENSIONS), np.float32)
    assert matrix[0].tolist() == list(seqd_tasks.embed(TEXTS[0]).vector)
    assert np.isnan(matrix[1]).all()
    assert job.ids() == ["row-1", "row-2", "row-3"]
    assert np.array_equal(job.to_numpy(offset=2, limit=5), matrix[2:])


@pytest.mark.parametrize(
    ("model", "task", "field", "message"),
    [
        (
            "vectors",
            "embed",
            "vectr",
            "there is no field 'vectr'; vectors of its output: vector. Did you mean 'vector'?",
        ),
        (
            "vectors",
            "embed",
            "truncated",
            "the field 'truncated' is no vector, it is true or false; vectors of its output: "
            "vector.",
        ),
        (
            "stars",
            "score",
            "vector",
            "there is no field 'vector'; its output has no vector; it has: score, truncated.",
        ),
    ],
)
def test_a_field_that_is_no_vector_is_refused_with_those_that_are(
    task_cluster, model, task, field, message
):
    job = task_cluster.client().run(["a"], model=model, task=task)

    with pytest.raises(InvalidRequest) as refused:
        job.to_numpy(field)

    assert str(refused.value) == f"Job {job.job_id}: {message}"


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


def test_a_frame_has_nested_fields_as_json(task_cluster):
    job = task_cluster.client().run(["big bang"], model="topics", task="tag")

    frame = job.to_pandas()

    assert frame.labels.tolist() == [
        '[{"label":"bang","score":0.2},{"label":"big","score":0.15}]',
    ]
    assert frame.truncated.tolist() == [False]


def test_a_task_reads_a_matrix_ids_and_batches(task_cluster):
    async def use() -> None:
        async with asyncio.timeout(LIMIT_S), AsyncClient(settings=task_cluster.settings) as client:
            job = await client.run(TEXTS, model="vectors", task="embed")
            assert (await job.to_numpy(limit=1)).shape == (1, 256)
            assert await job.ids(limit=1) == ["row-1"]
            batches = [batch async for batch in job.to_arrow()]
            assert [batch.num_rows for batch in batches] == [3]

    asyncio.run(use())


def test_a_job_of_another_kind_has_no_vectors(cluster):
    job = cluster.client().classify(["fine"], model="echo")

    with pytest.raises(InvalidRequest, match=re.escape("whose outputs have no vectors")):
        job.to_numpy()
