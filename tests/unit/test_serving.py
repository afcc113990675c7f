"""A job that no worker can run says so, and why, by what workers publish."""

import pytest

from builders import a_train_job, a_worker_status
from cli_builders import a_record
from seqd.serving import broken_told, can_run, starting_told, waiting_of, workers_of_model
from seqd_schemas import (
    JobRecord,
    JobState,
    PluginState,
    PluginStatus,
    UnfitCode,
    UnfitVersion,
    UploadSource,
    Waiting,
    WaitingCode,
    WorkerState,
    WorkerStatus,
)

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


def a_queued_job(**changes: object) -> JobRecord:
    return a_record(**{"state": JobState.QUEUED, "version": 0} | changes)


DISABLED = BROKEN.model_copy(update={"state": PluginState.DISABLED, "reason": "Not named."})
DAMAGED = UnfitVersion(
    model="imdb_lstm",
    version=0,
    code=UnfitCode.DAMAGED,
    message="weights.safetensors is damaged.",
    since_ms=1,
)
SICK = DAMAGED.model_copy(
    update={"version": 1, "code": UnfitCode.DEVICE_FAULT, "message": "CUDA error 719."}
)
STARTING = {"state": WorkerState.STARTING, "loading": ("imdb_lstm@2", "topics@1")}
LEFT_OUT = [
    *(a_worker(f"w{number}", tasks=("classify",), left_out=("imdb_lstm",)) for number in range(6)),
    a_worker("w9", tasks=("train",), left_out=("imdb_lstm",)),
]

#: Why a job waits, by the workers that are up.
WHY = [
    ([], WaitingCode.NO_WORKER, "No worker is up: `seqd up` starts them."),
    (
        [a_worker("a", plugins=(BROKEN,), versions={})],
        WaitingCode.NOT_SERVED,
        "No worker that is up has a plugin with the model imdb_lstm. Plugins that are broken on "
        "workers: imdb_lstm on a: No module named 'numba'.",
    ),
    (
        [a_worker("a", plugins=(DISABLED,), versions={})],
        WaitingCode.NOT_SERVED,
        "No worker that is up has a plugin with the model imdb_lstm. Plugins that settings disable "
        "there: imdb_lstm.",
    ),
    (
        [a_worker(name, slot="train@gpu:0=0.5", tasks=("train",)) for name in "ab"],
        WaitingCode.NOT_SERVED,
        "No worker that is up takes jobs that classify imdb_lstm, though its plugin is there: "
        "start one that does, by `seqd worker --slot gpu:0`, or by `seqd up --slots "
        "train@gpu:0=0.5,gpu:0`.",
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
    # A sick device is the reason for every version.
    (
        [a_worker("a", versions={"imdb_lstm": ()}, unfit=(SICK,))],
        WaitingCode.UNFIT,
        "No worker that is up can classify imdb_lstm@0 now. a: device_fault: CUDA error 719.",
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
    (
        LEFT_OUT,
        WaitingCode.NOT_PLACED,
        "No worker that is up serves imdb_lstm. These could classify with it, and a placement or "
        "SEQD_SERVES has them leave it to others: w0, w1, w2, w3, w4 and 1 more. `seqd models "
        "place` lists placements, `seqd models place imdb_lstm --anywhere` ends that of imdb_lstm; "
        "or start a worker that serves it.",
    ),
]


@pytest.mark.parametrize(("workers", "code", "message"), WHY)
def test_a_job_says_why_it_waits_and_does_not_where_another_can_run_it_or_it_has_ended(
    workers: list[WorkerStatus], code: WaitingCode, message: str
) -> None:
    waiting = waiting_of(a_queued_job(), workers)

    assert waiting is not None
    assert (waiting.code, waiting.message if message else "") == (code, message)
    assert waiting_of(a_queued_job(), [*workers, a_worker("w7")]) is None
    for state in (JobState.PAUSED, JobState.COMPLETED, JobState.FAILED):
        assert waiting_of(a_queued_job(state=state), workers) is None


def test_a_version_that_is_new_is_told_as_that() -> None:
    workers = [a_worker("a", versions={"imdb_lstm": ()}), a_worker("b")]

    new = waiting_of(a_queued_job(version=1), workers)

    assert new is not None and new.message == (
        "imdb_lstm@1 is new, and not yet found by a, b. Workers look for new versions at least at "
        "each heartbeat (SEQD_HEARTBEAT_S). One that does not find it has another store than the "
        "worker that made it. b: its newest is imdb_lstm@0."
    )


def test_of_broken_plugins_the_reason_is_told_of_that_which_is_named_like_the_model() -> None:
    other = BROKEN.model_copy(update={"name": "other", "distribution": "x", "reason": "No gcc."})
    worker = a_worker("a", plugins=(BROKEN, other), versions={})

    assert broken_told([worker], "imdb-lst") == (
        " Plugins that are broken on workers: imdb_lstm on a: No module named 'numba'. Others that "
        "are: other."
    )
    assert broken_told([worker], "imdb") == broken_told([worker], "imdb-lst")
    assert broken_told([worker], "topics") == (
        " Plugins that are broken on workers: imdb_lstm, other; `seqd plugins list` shows why."
    )
    assert broken_told([a_worker("a", plugins=(other,))], "topics") == (
        " Plugins that are broken on workers: other on a: No gcc."
    )


def test_a_job_that_only_a_later_release_can_read_says_whom_to_upgrade() -> None:
    job = a_train_job(source=UploadSource(), held_out=UploadSource(), schema_version=2)
    record = a_queued_job(kind="train", version=None, job=job)
    old = a_worker("a", tasks=("train",), seqd_version="0.2.0")

    assert waiting_of(record, [old]) == Waiting(
        code=WaitingCode.UNFIT,
        message="No worker that is up can train imdb_lstm now. a: later_version: it is of seqd "
        "0.2.0, which cannot read what this job asks for: upgrade it.",
    )
    assert waiting_of(record, [old, a_worker("b", tasks=("train",), reads=2)]) is None


def test_who_is_refused_is_told_of_workers_that_have_said_nothing() -> None:
    starting = a_worker("a", state=WorkerState.STARTING, plugins=(), versions={})

    assert starting_told([a_worker("b")]) == ""
    assert starting_told([starting, a_worker("b"), starting]) == (
        " Workers are still starting (a, a): try again in a moment."
    )


def test_a_worker_that_leaves_a_model_out_is_listed_with_that_and_trains_it_all_the_same() -> None:
    worker = a_worker("w1", tasks=("classify", "train"), left_out=("imdb_lstm",))

    assert workers_of_model([worker], "imdb_lstm")[0].unfit == (
        "its items: left to others by placement",
    )
    assert can_run(worker, "train", "imdb_lstm", None)
    assert not can_run(worker, "classify", "imdb_lstm", 0)
