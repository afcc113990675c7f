"""Who serves a named model, what its jobs wait for, and what is left of its work."""

import pytest

from builders import a_catalog_entry, a_train_job, a_worker_status
from cli_builders import a_record
from seqd.scaling import QueueWork, Rate, work_left
from seqd.serving import lacking, waiting_of
from seqd_schemas import (
    Cordon,
    JobRecord,
    JobState,
    PluginState,
    PluginStatus,
    UnfitCode,
    UnfitVersion,
    Waiting,
    WaitingCode,
    WorkerState,
    WorkerStatus,
)

LIGHT = PluginStatus(
    name="light",
    distribution="seqd-light",
    version="1.0",
    state=PluginState.READY,
    models=("echo",),
)


def a_worker(name: str = "w1", **changes: object) -> WorkerStatus:
    """A worker of this release with the plugin's own model and `topics`."""
    fields: dict[str, object] = {
        "worker": name,
        "tasks": ("classify", "train"),
        "plugins": (LIGHT,),
        "versions": {"echo": (1,), "topics": (1, 2)},
        "reads": 2,
    }
    return a_worker_status(**(fields | changes))


def a_training(model: str = "moods", schema_version: int = 2, **changes: object) -> JobRecord:
    plugin = "echo" if schema_version > 1 else None
    job = a_train_job(model=model, plugin=plugin, schema_version=schema_version)
    fields = {"kind": "train", "model": model, "plugin": "echo", "version": None, "job": job}
    return a_record(**({"state": JobState.QUEUED} | fields | changes))


def a_job(version: int, **changes: object) -> JobRecord:
    fields = {"model": "topics", "plugin": "echo", "version": version, "state": JobState.QUEUED}
    return a_record(**(fields | changes))


NOTHING_FITS = "No worker that is up can train echo now. w1: "
UNWRITABLE = UnfitVersion(
    model="echo",
    version=None,
    code=UnfitCode.UNWRITABLE,
    message="The disk is full.",
    since_ms=1,
)


@pytest.mark.parametrize(
    ("record", "changes", "code", "message"),
    [
        *(
            (
                a_training(model, schema_version),
                {"reads": 1, "seqd_version": "0.2.0", "versions": {"echo": (1,)}},
                WaitingCode.UNFIT,
                f"{NOTHING_FITS}later_version: it is of seqd 0.2.0, which cannot read what this "
                "job asks for: upgrade it.",
            )
            for model, schema_version in (("moods", 2), ("topics", 1))
        ),
        (
            a_training(),
            {"unfit": (UNWRITABLE,)},
            WaitingCode.UNFIT,
            f"{NOTHING_FITS}unwritable: The disk is full.",
        ),
        (
            a_job(3),
            {"host": "h2", "versions": {"echo": (1,)}},
            WaitingCode.NOT_SERVED,
            "No worker that is up and does classify has topics@3 in its store: w1 (host h2). Have "
            "them share one store (SEQD_DATA_DIR), or bring the version there: `seqd models "
            "export`, `seqd models import`.",
        ),
    ],
)
def test_what_no_worker_can_do_says_what_it_waits_for(
    record: JobRecord, changes: dict[str, object], code: WaitingCode, message: str
):
    assert waiting_of(record, [a_worker(**changes)]) == Waiting(code=code, message=message)


@pytest.mark.parametrize("record", [a_training(), a_training("topics", 1), a_job(2)])
def test_what_a_worker_can_do_waits_for_nobody(record: JobRecord):
    assert waiting_of(record, [a_worker("old", reads=1, versions={}), a_worker()]) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"cordon": Cordon(phase="cordoned", since_ms=1), "state": WorkerState.DRAINING},
            "All workers that classify topics are cordoned or drained by an operator: w1. ",
        ),
        ({"state": WorkerState.DRAINING}, "All workers that classify topics are stopping: "),
        ({"tasks": ("train",)}, "No worker that is up and does classify has topics@2 in its "),
    ],
    ids=["cordoned", "draining", "another_task"],
)
def test_a_version_that_a_worker_has_which_claims_nothing_is_not_said_to_be_missing(
    changes: dict[str, object], said: str
):
    has, lacks = a_worker(**changes), a_worker("w2", host="h2", versions={"echo": (1,)})
    train_only = a_worker("w3", tasks=("train",), slot="train@cpu", versions={"echo": (1,)})

    waiting = waiting_of(a_job(2), [has, lacks, train_only])

    assert waiting is not None and waiting.message.startswith(said)
    assert "w3" not in waiting.message


def test_the_versions_in_service_that_workers_with_their_plugin_lack_are_found():
    entry = a_catalog_entry(model="topics", plugin="light", labels={"production": 2})
    lacks = a_worker("w2", versions={"echo": (1,)})
    others = [
        a_worker("w3", versions={}, plugins=()),
        a_worker("w4", versions={}, left_out=("topics",)),
        a_worker("w5", versions={}, tasks=("train",)),
        a_worker("w6", versions={}, state=WorkerState.STARTING),
    ]

    assert lacking([a_worker(), lacks, *others], {"topics": entry}) == {"topics@2": [lacks]}
    starter = entry.model_copy(update={"labels": {"production": 0}})
    assert lacking([lacks], {"topics": starter}) == {}


def test_what_is_left_of_named_models_is_told_by_model_and_of_trainings_by_plugin():
    queues = [
        QueueWork(queue=queue, items=10)
        for queue in (
            "classify.echo:topics@2",
            "classify.echo:topics@7",
            "classify.echo@1",
            "train.echo",
            "train.echo:echo",
        )
    ]
    rates = {"classify.echo:topics@1": Rate(items=5, seconds=10.0, at_ms=1)}

    left = {(one.task, one.model): one for one in work_left(queues, rates, [a_worker()])}

    assert {key: one.items for key, one in left.items()} == {
        ("classify", "echo"): 10,
        ("classify", "topics"): 20,
        ("train", "echo"): 20,
    }
    topics = left["classify", "topics"]
    assert (topics.seconds, topics.unserved_s, topics.is_measured) == (40.0, 20.0, True)
    assert left["train", "echo"].unserved_s == 0
