"""Given a plugin with tasks of its own, when a client runs them, then outputs come as declared."""

import numpy as np
import pytest
import seqd_tasks

from seqd_schemas import Embedding, Labels, Score, Spans, Text

pytestmark = pytest.mark.processes

TEXTS = ["Anna met Bert in Oslo", "nothing here", "A quick brown fox"]


OUTPUTS = {"embed": seqd_tasks.Embedding256, "score": Score, "tag": Labels, "find": Spans}


@pytest.mark.parametrize(("model", "task"), seqd_tasks.FIVE)
def test_a_task_gives_its_own_outputs_in_the_order_of_the_items(task_cluster, model, task):
    output = OUTPUTS.get(task, Text)

    job = task_cluster.client().run(TEXTS, model=model, task=task, output=output)

    results = list(job.results())
    assert [result.custom_id for result in results] == ["row-1", "row-2", "row-3"]
    assert [result.unwrap() for result in results] == [seqd_tasks.due(task, text) for text in TEXTS]


def test_a_vector_is_an_array_to_numpy_and_is_the_same_to_a_shared_class(task_cluster):
    job = task_cluster.client().run(TEXTS, model="vectors", task="embed", output=Embedding)

    (first, *_) = job.results()

    array = np.asarray(first.unwrap().vector)
    assert array.dtype == np.float32
    assert array.tolist() == list(seqd_tasks.embed(TEXTS[0]).vector)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            {"left": "a"},
            "row 2: it has no field 'right'; allowed: the fields left, right, weight.",
        ),
        (
            {"left": "a", "right": "b", "wieght": 1},
            "row 2: it has a field 'wieght' that the task does not take; allowed: the fields left, "
            "right, weight. Did you mean 'weight'?",
        ),
        ("a text", "row 2: it is a text; allowed: a record with the fields left, right, weight."),
        (
            {"left": "a", "right": "b", "weight": 1000},
            "The record does not fit: field 'weight' is 1000: Input should be less than or equal "
            "to 100. Its fields: left, right, weight.",
        ),
    ],
)
def test_a_record_that_does_not_fit_is_an_error_of_its_item_alone(task_cluster, record, message):
    good = {"left": "a", "right": "a"}

    job = task_cluster.client().run([good, record, good], model="pairs", task="compare")

    first, bad, last = job.results()
    assert first.ok and last.ok
    assert bad.error.code == "invalid_input"
    assert bad.error.message == message
