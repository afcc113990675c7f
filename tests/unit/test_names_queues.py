"""Queues of named models, `classify.imdb_lstm:topics@3`, on the route of their plugin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_classify_job, a_generate_job, a_sweep_job, a_train_job
from seqd.ledger.submissions import BatchTemplate
from seqd_schemas import Job, QueueName, Task, queues_of_model, route_of

NAMES = st.sampled_from(["a", "imdb_lstm", "topics", "x" * 40, "a0_"])
TASKS: st.SearchStrategy[Task] = st.sampled_from(["classify", "generate", "train"])
VERSIONS = st.one_of(st.none(), st.integers(0, 10**9))


@given(TASKS, NAMES, NAMES, VERSIONS)
def test_the_parts_of_a_queue_are_read_back(
    task: Task, plugin: str, model: str, version: int | None
):
    (queue,) = queues_of_model(route_of(task, plugin), model, [version])

    assert QueueName.parse(queue) == (task, model, version)


def field_of(name: str, job: Job, version: int | None, plugin: str | None) -> object:
    fields = BatchTemplate(job, version, 1, "client", plugin).fields
    pairs = dict(zip(fields[::2], fields[1::2], strict=True))
    return pairs.get(name)


@pytest.mark.parametrize(
    ("job", "version", "plugin", "queue", "kept"),
    [
        (a_classify_job(), 3, None, "classify.imdb_lstm@3", None),
        (a_classify_job(), 3, "imdb_lstm", "classify.imdb_lstm@3", None),
        (a_classify_job(model="topics"), 3, "imdb_lstm", "classify.imdb_lstm:topics@3", True),
        (a_generate_job(model="bard@2"), 2, "markov", "generate.markov:bard@2", True),
        (a_train_job(), None, "imdb_lstm", "train.imdb_lstm", None),
        (a_train_job(model="topics"), None, "imdb_lstm", "train.imdb_lstm:imdb_lstm", True),
        (
            a_train_job(model="topics", plugin="imdb_lstm", schema_version=2),
            None,
            "imdb_lstm",
            "train.imdb_lstm:imdb_lstm",
            True,
        ),
        (a_train_job(schema_version=2), None, None, "train.imdb_lstm:imdb_lstm", None),
        (a_sweep_job(), None, "imdb_lstm", "train.imdb_lstm", None),
        (a_sweep_job(model="topics"), None, "imdb_lstm", "train.imdb_lstm:imdb_lstm", True),
    ],
)
def test_where_a_job_waits_and_what_is_kept_of_its_plugin(
    job: Job, version: int | None, plugin: str | None, queue: str, kept: bool | None
):
    template = BatchTemplate(job, version, 1, "client", plugin)

    assert field_of("queue", job, version, plugin) == queue
    assert field_of("plugin", job, version, plugin) == (plugin if kept else None)
    assert template.route == queue.partition("@")[0].partition(":")[0]
