"""Given a plugin with tasks of its own, when a client runs them, then outputs come as declared."""

import pytest
import seqd_tasks

from seqd_schemas import Labels, Score, Spans, Text

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
