"""A job that no worker can run says so, and why, by what workers publish."""

import pytest

from builders import a_catalog_entry, a_train_job, a_worker_status
from cli_builders import a_record
from seqd.scaling import QueueWork, Rate, work_left
from seqd.serving import (
    broken_told,
    can_run,
    lacking,
    served_routes,
    waiting_of,
    workers_of_model,
)
from seqd.views.models import workers_told
from seqd_schemas import (
    Cordon,
    JobRecord,
    JobState,
    PluginState,
    PluginStatus,
    ServiceChange,
    UnfitCode,
    UnfitVersion,
    Waiting,
    WaitingCode,
    WorkerState,
    WorkerStatus,
)

NOW_MS = 1_000_000

READY = PluginStatus(
    name="imdb_lstm",
    distribution="seqd",
    version="1.0",
    state=PluginState.READY,
    models=("imdb_lstm",),
)
BROKEN = READY.model_copy(
    update={"state": PluginState.BROKEN, "models": (), "reason": "No module named 'numba'."}
)


def a_worker(name: str = "cpu:0@here-1", **changes: object) -> WorkerStatus:
    """A worker that has version 0 of `imdb_lstm`."""
    return a_worker_status(
        **{"worker": name, "plugins": (READY,), "versions": {"imdb_lstm": (0,)}} | changes
    )


def held_worker(name: str, target: str, **changes: object) -> WorkerStatus:
    """A worker that was drained by the rule of a target."""
    cordon = Cordon(phase="drained", target=target, since_ms=1)
    return a_worker(name, host="here", state=WorkerState.DRAINING, cordon=cordon, **changes)


def a_queued_job(**changes: object) -> JobRecord:
    return a_record(**{"state": JobState.QUEUED, "version": 0} | changes)


DAMAGED = UnfitVersion(
    model="imdb_lstm",
    version=0,
    code=UnfitCode.DAMAGED,
    message="weights.safetensors is damaged.",
    since_ms=1,
)
STARTING = {"state": WorkerState.STARTING, "loading": ("imdb_lstm@2", "topics@1")}
LEFT_OUT = [
    *(a_worker(f"w{number}", tasks=("classify",), left_out=("imdb_lstm",)) for number in range(6)),
    a_worker("w9", tasks=("train",), left_out=("imdb_lstm",)),
]

#: Why a job waits, by the workers that are up.
WHY = [
    (
        [a_worker("a", plugins=(BROKEN,), versions={})],
        WaitingCode.NOT_SERVED,
        "No worker that is up has a plugin with the model imdb_lstm. Plugins that are broken on "
        "workers: imdb_lstm on a: No module named 'numba'.",
    ),
    (
        [a_worker(name, slot="train@gpu:0=0.5", tasks=("train",)) for name in "ab"],
        WaitingCode.NOT_SERVED,
        "No worker that is up takes jobs that classify imdb_lstm, though its plugin is there: "
        "start one that does, by `seqd worker --slot gpu:0`, or by `seqd up --slots "
        "train@gpu:0=0.5,gpu:0`.",
    ),
    (
        [a_worker("a", slot="train@cpu", tasks=("train",), supervised=True)],
        WaitingCode.NOT_SERVED,
        "No worker that is up takes jobs that classify imdb_lstm, though its plugin is there: "
        "start one that does, by `seqd worker --slot cpu:0`.",
    ),
    (
        [a_worker(state=WorkerState.DRAINING)],
        WaitingCode.NOT_SERVED,
        "All workers that classify imdb_lstm are stopping: it goes on when another is up.",
    ),
    (
        [
            a_worker("a", versions={"imdb_lstm": ()}, unfit=(DAMAGED,)),
            a_worker("b", versions={"imdb_lstm": (3,)}),
        ],
        WaitingCode.UNFIT,
        "No worker that is up can classify imdb_lstm@0 now. a: damaged: weights.safetensors is "
        "damaged. b: missing: its store has no such version (it can run 3).",
    ),
    (
        [a_worker("a", **STARTING), a_worker("b", **STARTING), a_worker("c", versions={})],
        WaitingCode.STARTING,
        "Workers are still starting (a, b). Before jobs are taken, plugins are imported and models "
        "loaded: imdb_lstm@2, topics@1.",
    ),
    # One that has not said what it has may bring the model; one that trains alone may not.
    *(
        (
            [a_worker("a", state=WorkerState.STARTING, **said)],
            WaitingCode.STARTING,
            "A worker is still starting (a). Before jobs are taken, plugins are imported and "
            "models loaded.",
        )
        for said in (
            {"plugins": (), "versions": {}},
            {"versions": {}},
            {"versions": {"imdb_lstm": ()}},
        )
    ),
    ([a_worker(state=WorkerState.STARTING, tasks=("train",))], WaitingCode.NOT_SERVED, ""),
    # A placement would be of no use to change where a rule keeps those from it that it means.
    (
        [*LEFT_OUT, held_worker("w8", "worker:w8"), held_worker("h9", "label:pool=a")],
        WaitingCode.NOT_SERVED,
        "All workers that classify imdb_lstm are cordoned or drained by an operator: w8, h9. `seqd "
        "workers list` shows the rules, `seqd workers uncordon w8 --label pool=a` ends them.",
    ),
    (
        [held_worker("w8", "host:*", slot="train@cpu", tasks=("train",))],
        WaitingCode.NOT_SERVED,
        "No worker that is up takes jobs that classify imdb_lstm, though its plugin is there: "
        "start one that does, after `seqd workers uncordon --all`.",
    ),
    (
        [held_worker("w8", "slot:train@cpu@here", slot="train@cpu", tasks=("train",))],
        WaitingCode.NOT_SERVED,
        "No worker that is up takes jobs that classify imdb_lstm, though its plugin is there: "
        "start one that does, by `seqd worker --slot cpu:0`, or by `seqd up --slots "
        "train@cpu,cpu:0`.",
    ),
]


@pytest.mark.parametrize(("workers", "code", "message"), WHY)
def test_a_job_says_why_it_waits_and_does_not_where_another_can_run_it_or_it_has_ended(
    workers, code, message
):
    waiting = waiting_of(a_queued_job(), workers)

    assert waiting is not None
    assert (waiting.code, waiting.message if message else "") == (code, message)
    assert waiting_of(a_queued_job(), [*workers, a_worker("w7")]) is None
    for state in (JobState.PAUSED, JobState.COMPLETED, JobState.FAILED):
        assert waiting_of(a_queued_job(state=state), workers) is None


def test_a_version_that_is_new_is_told_as_that():
    workers = [a_worker("a", versions={"imdb_lstm": ()}), a_worker("b")]

    new = waiting_of(a_queued_job(version=1), workers)

    assert new is not None and new.message == (
        "imdb_lstm@1 is new, and not yet found by a, b. Workers look for new versions at least at "
        "each heartbeat (SEQD_HEARTBEAT_S). One that does not find it has another store than the "
        "worker that made it. b: its newest is imdb_lstm@0."
    )


def test_of_broken_plugins_the_reasons_are_told():
    other = BROKEN.model_copy(update={"name": "other", "distribution": "x", "reason": "No gcc."})

    assert broken_told([a_worker("a", plugins=(BROKEN, other), versions={})]) == (
        " Plugins that are broken on workers: imdb_lstm on a: No module named 'numba'. other on a: "
        "No gcc."
    )
    assert broken_told([a_worker("b")]) == ""


def test_a_worker_that_leaves_a_model_out_is_listed_with_that_and_trains_it_all_the_same():
    worker = a_worker("w1", tasks=("classify", "train"), left_out=("imdb_lstm",))

    serving = workers_of_model([worker, a_worker("w2")], "imdb_lstm")
    assert serving[0].unfit == ("its items: left to others by placement",)
    assert workers_told(a_catalog_entry(), serving, None) == "1 of 2 workers"
    assert can_run(worker, "train", "imdb_lstm", None)
    assert not can_run(worker, "classify", "imdb_lstm", 0)


#: Versions of the plugin's own model alone.
OWN = {"imdb_lstm": (0,)}


def with_topics(name: str = "w1", **changes: object) -> WorkerStatus:
    """A worker that has `topics@1` and `topics@2` too, made with `imdb_lstm`."""
    versions = {**OWN, "topics": (1, 2)}
    fields = {"tasks": ("classify", "train"), "versions": versions}
    return a_worker(name, **fields | changes)


def a_training(model: str = "moods", least_format: int = 1) -> JobRecord:
    job = a_train_job(model=model, plugin="imdb_lstm").model_copy(update={"format": least_format})
    return a_queued_job(kind="train", model=model, plugin="imdb_lstm", version=None, job=job)


def a_job(version: int) -> JobRecord:
    return a_queued_job(model="topics", plugin="imdb_lstm", version=version)


NOTHING_FITS = "No worker that is up can train imdb_lstm now. w1: "
UNWRITABLE = UnfitVersion(
    model="imdb_lstm",
    version=None,
    code=UnfitCode.UNWRITABLE,
    message="The disk is full.",
    since_ms=1,
)


@pytest.mark.parametrize(
    ("record", "changes", "code", "message"),
    [
        (
            a_training(least_format=2),
            {"seqd_version": "1.0.0"},
            WaitingCode.UNFIT,
            f"{NOTHING_FITS}later_version: it is of seqd 1.0.0, which cannot read what this "
            "job asks for: upgrade it.",
        ),
        (
            a_training(),
            {"unfit": (UNWRITABLE,)},
            WaitingCode.UNFIT,
            f"{NOTHING_FITS}unwritable: The disk is full.",
        ),
        (
            a_job(3),
            {"host": "h2", "versions": OWN},
            WaitingCode.NOT_SERVED,
            "No worker that is up and does classify has found topics@3 yet: w1 (host h2). Workers "
            "look for new versions at least at each heartbeat (SEQD_HEARTBEAT_S). One that does "
            "not find it has another store: have them share one (SEQD_DATA_DIR).",
        ),
    ],
)
def test_what_no_worker_can_do_says_what_it_waits_for(record, changes, code, message):
    assert waiting_of(record, [with_topics(**changes)]) == Waiting(code=code, message=message)


@pytest.mark.parametrize("record", [a_training(), a_training("topics", 2), a_job(2)])
def test_what_a_worker_can_do_waits_for_nobody(record):
    assert waiting_of(record, [with_topics("old", versions={}), with_topics(reads=2)]) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"cordon": Cordon(phase="cordoned", since_ms=1), "state": WorkerState.DRAINING},
            "All workers that classify topics are cordoned or drained by an operator: w1. ",
        ),
        (
            {"cordon": Cordon(phase="cordoned", since_ms=1), "state": WorkerState.STARTING},
            "All workers that classify topics are cordoned or drained by an operator: w1. ",
        ),
        ({"state": WorkerState.DRAINING}, "All workers that classify topics are stopping: "),
        ({"tasks": ("train",)}, "No worker that is up and does classify has found topics@2 "),
    ],
    ids=["cordoned", "cordoned_and_starting", "draining", "another_task"],
)
def test_a_version_that_a_worker_has_which_claims_nothing_is_not_said_to_be_missing(changes, said):
    has, lacks = (
        with_topics(**changes),
        with_topics("w2", host="h2", versions=OWN),
    )
    train_only = with_topics("w3", tasks=("train",), slot="train@cpu", versions=OWN)

    waiting = waiting_of(a_job(2), [has, lacks, train_only])

    assert waiting is not None and waiting.message.startswith(said)
    assert "w3" not in waiting.message


def test_the_versions_in_service_that_workers_with_their_plugin_lack_are_found():
    entry = a_catalog_entry(model="topics", plugin="imdb_lstm", labels={"production": 2})
    lacks = with_topics("w2", versions=OWN)
    others = [
        with_topics("w3", versions={}, plugins=()),
        with_topics("w4", versions={}, left_out=("topics",)),
        with_topics("w5", versions={}, tasks=("train",)),
        with_topics("w6", versions={}, state=WorkerState.STARTING),
    ]

    found = lacking([with_topics(), lacks, *others], {"topics": entry}, NOW_MS)
    assert found == {"topics@2": [lacks]}
    starter = entry.model_copy(update={"labels": {"production": 0}})
    assert lacking([lacks], {"topics": starter}, NOW_MS) == {}


@pytest.mark.parametrize(
    ("ago_s", "is_lacking"), [(20, False), (40, True), (-5, False), (-3_600, True)]
)
def test_a_version_is_lacking_where_workers_have_had_the_time_to_find_it(ago_s, is_lacking):
    change = ServiceChange(at_ms=NOW_MS - 1_000 * ago_s, to_version=2)
    labels = {"production": 2}
    entry = a_catalog_entry(model="topics", plugin="imdb_lstm", labels=labels, history=(change,))

    found = lacking([with_topics("w2", versions=OWN)], {"topics": entry}, NOW_MS)

    assert bool(found) is is_lacking


def test_what_is_left_of_named_models_is_told_by_model_and_of_trainings_by_plugin():
    queues = [
        QueueWork(queue=queue, items=10)
        for queue in (
            "classify.imdb_lstm:topics@2",
            "classify.imdb_lstm:topics@7",
            "classify.imdb_lstm@0",
            "train.imdb_lstm",
        )
    ]
    rates = {"classify.imdb_lstm:topics@1": Rate(items=5, seconds=10.0, at_ms=1)}

    left = {(one.task, one.model): one for one in work_left(queues, rates, [with_topics()])}

    assert {key: one.items for key, one in left.items()} == {
        ("classify", "imdb_lstm"): 10,
        ("classify", "topics"): 20,
        ("train", "imdb_lstm"): 10,
    }
    topics = left["classify", "topics"]
    assert (topics.seconds, topics.unserved_s, topics.is_measured) == (40.0, 20.0, True)
    assert left["train", "imdb_lstm"].unserved_s == 0


def test_workers_are_woken_by_what_their_model_can_do_but_for_trainings():
    entry = a_catalog_entry()
    own = entry.model_copy(update={"run_tasks": {"embed": entry.tasks["classify"]}})

    assert served_routes("p", own) == ("classify.p", "embed.p")
    assert served_routes("p", None) == ("classify.p", "generate.p")
