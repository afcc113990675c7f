"""A plugin's task changes its schemas: a job keeps to those that it was accepted with."""

import shutil
from pathlib import Path

import pytest
import seqd_tasks

from builders import a_catalog_entry
from ledger_fixtures import Environment, publish_entries
from seqd.hookspecs import TaskSpec, WorkItem
from seqd.models.task_schemas import task_schema
from seqd.worker.accepted_schemas import AcceptedSchemas
from seqd_schemas import Score
from task_fixtures import PLUGIN

pytestmark = pytest.mark.processes

#: What a later version of the plugin allows: more than a job of version 1.0 was accepted with.
WIDER = (
    ("weight: float = Field(default=1.0, ge=0, le=100", "weight: float = Field(default=1.0, ge=0"),
    ('ge=0, description="What the score', 'ge=0, le=1_000, description="What the score'),
    ("overlap: float = Field(ge=0, le=100", "overlap: float = Field(ge=0, le=1_000"),
)


def another_plugin(folder: Path, *changes: tuple[str, str], version: str = "1.1") -> Path:
    """Write a plugin `tasks` whose source differs from that of version 1.0."""
    made = folder / f"plugin-{version}"
    shutil.copytree(PLUGIN, made, ignore=shutil.ignore_patterns("__pycache__"))
    source = made / "seqd_tasks.py"
    text = source.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    source.write_text(text)
    (info,) = made.glob("*.dist-info")
    metadata = info / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.0", f"Version: {version}"))
    info.rename(made / f"seqd_tasks-{version}.dist-info")
    return made


class WiderComparison(seqd_tasks.Comparison):
    """Two texts, with one more field."""

    note: str | None = None


SPEC = TaskSpec(seqd_tasks.Parameters, 64, seqd_tasks.Comparison, input=seqd_tasks.Pair)
WIDER_SPEC = TaskSpec(seqd_tasks.Parameters, 64, WiderComparison, input=seqd_tasks.Pair)


def test_an_output_that_the_accepted_schema_has_no_place_for_is_an_error_that_names_both(
    environment: Environment,
):
    entry = task_schema(SPEC)
    publish_entries(
        environment.ledger.fleet, [a_catalog_entry(model="pairs", run_tasks={"compare": entry})]
    )
    schemas = AcceptedSchemas(environment.ledger)
    outcomes = [
        WiderComparison(overlap=1.0, shared=("a",)),
        seqd_tasks.Comparison.model_construct(),
    ]
    accepted = schemas.outputs(entry.digest, WIDER_SPEC, "tasks 1.1")
    assert accepted is not None

    call = accepted.checking(lambda items: outcomes, WiderComparison)
    more, unlike = call([WorkItem(index=0, text="{}"), WorkItem(index=1, text="{}")])

    assert more.message == (
        f"The output does not fit the schema that the job was accepted with ({entry.digest[:12]}): "
        "Additional properties are not allowed ('note' was unexpected). tasks 1.1, the plugin of "
        f"this worker, states another schema ({task_schema(WIDER_SPEC).digest[:12]}). Hand the "
        "item in again: a new job is accepted with that."
    )
    assert unlike.message.startswith("The model plugin gave Comparison as an outcome")
    assert schemas.outputs(entry.digest, SPEC, "tasks 1.0") is None


def test_a_schema_that_redis_has_lost_costs_no_item(environment: Environment):
    schemas = AcceptedSchemas(environment.ledger)

    assert schemas.outputs("0" * 64, SPEC, "tasks 1.0") is None


def test_a_task_of_one_name_has_a_schema_of_its_own_in_each_model(environment: Environment):
    scores = TaskSpec(seqd_tasks.Parameters, 64, Score)
    entries = [
        a_catalog_entry(model="stars", run_tasks={"score": task_schema(scores)}),
        a_catalog_entry(model="pairs", run_tasks={"score": task_schema(SPEC)}),
    ]

    publish_entries(environment.ledger.fleet, entries)

    for spec in (scores, SPEC):
        stated = task_schema(spec)
        found = environment.ledger.fleet.schemas_of_task(stated.digest)
        assert found == {"input": stated.input, "result": stated.result}


@pytest.mark.slow
def test_a_job_keeps_to_its_schema_on_a_worker_whose_plugin_has_another(own_task_cluster, tmp_path):
    cluster = own_task_cluster
    cluster.start_ready("old").stop()
    records = [
        {"custom_id": "fits", "left": "a", "right": "a", "weight": 50},
        {"custom_id": "wider", "left": "a", "right": "a", "weight": 500},
    ]
    job = cluster.client().run(records, model="pairs", task="compare")
    accepted = job.record().task_schema

    cluster.plugins = another_plugin(tmp_path, *WIDER)
    cluster.start_ready("new")

    fits, wider = job.results()
    assert fits.unwrap()["overlap"] == 50.0
    assert wider.error.code == "plugin_error"
    assert wider.error.message.startswith(
        "The output does not fit the schema that the job was accepted with "
        f"({accepted[:12]}): overlap is 500.0; allowed: 0 to 100. tasks 1.1, the plugin of this "
        "worker, states another schema ("
    )
    anew = cluster.client().run(records, model="pairs", task="compare")
    assert [result.unwrap()["overlap"] for result in anew.results()] == [50.0, 500.0]
    assert accepted == job.record().task_schema != anew.record().task_schema
