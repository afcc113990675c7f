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
