"""Which task of a model an evaluation measures, and which routes wake its workers."""

import pytest

from seqd.cli.models.task_evaluations import task_to_measure
from seqd.errors import InvalidRequest
from seqd.serving import served_routes
from seqd_schemas import CatalogEntry, TaskSchema

SCHEMA = TaskSchema(parameters={}, unit_items=1)


def a_model(*tasks: str, own: tuple[str, ...] = ()) -> CatalogEntry:
    return CatalogEntry.model_validate(
        {
            "model": "m",
            "made_with": "m",
            "summary": "A model.",
            "plugin": "p",
            "plugin_version": "1",
            "tasks": dict.fromkeys(tasks, SCHEMA),
            "run_tasks": dict.fromkeys(own, SCHEMA),
            "presets": {},
            "versions": (),
            "labels": {},
            "published_at_ms": 1,
        }
    )


@pytest.mark.parametrize(
    ("entry", "task", "due"),
    [
        (a_model("classify", own=("embed",)), None, None),
        (a_model("classify", own=("embed",)), "embed", "embed"),
        (a_model("classify", own=("embed",)), "classify", None),
        (a_model("train", own=("embed",)), None, "embed"),
        (a_model("generate"), None, None),
    ],
)
def test_a_model_that_classifies_is_measured_by_that_and_others_by_their_one_task(
    entry: CatalogEntry, task: str | None, due: str | None
) -> None:
    assert task_to_measure(entry, task) == due


def test_of_several_tasks_one_has_to_be_named() -> None:
    entry = a_model("train", own=("embed", "score"))

    with pytest.raises(InvalidRequest) as refused:
        task_to_measure(entry, None)

    assert str(refused.value) == "m can embed, score; name one of them by --task"


def test_workers_are_woken_by_what_their_model_can_do_but_for_trainings() -> None:
    assert served_routes("p", a_model("classify", "train", own=("embed",))) == (
        "classify.p",
        "embed.p",
    )
    assert served_routes("p", None) == ("classify.p", "generate.p")
