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


def test_a_job_that_a_worker_can_run_does_not_wait_for_one() -> None:
    workers = [a_worker("a", plugins=(BROKEN,), versions={}), a_worker("b")]

    assert waiting_of(a_queued_job(), workers) is None


def test_a_job_waits_where_no_worker_is_up() -> None:
    assert waiting_of(a_queued_job(), []) == Waiting(
        code=WaitingCode.NO_WORKER, message="No worker is up: `seqd up` starts them."
    )


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.COMPLETED, JobState.FAILED])
def test_a_job_that_is_paused_or_has_ended_waits_for_nobody(state: JobState) -> None:
    assert waiting_of(a_queued_job(state=state), []) is None


def test_a_job_whose_plugin_is_broken_says_where_and_why() -> None:
    assert waiting_of(a_queued_job(), [a_worker("a", plugins=(BROKEN,), versions={})]) == Waiting(
        code=WaitingCode.NOT_SERVED,
        message="No worker that is up has a plugin with the model imdb_lstm. Plugins that are "
        "broken on workers: imdb_lstm on a: No module named 'numba'.",
    )


def test_a_job_whose_plugin_may_be_disabled_names_those_that_are() -> None:
    disabled = BROKEN.model_copy(update={"state": PluginState.DISABLED, "reason": "Not named."})

    waiting = waiting_of(a_queued_job(), [a_worker("a", plugins=(disabled,), versions={})])

    assert waiting is not None and waiting.message == (
        "No worker that is up has a plugin with the model imdb_lstm. Plugins that settings disable "
        "there: imdb_lstm."
    )


def test_a_job_for_which_no_slot_is_says_that() -> None:
    trains = a_worker("a", slot="train@gpu:0=0.5", tasks=("train",))

    waiting = waiting_of(a_queued_job(), [trains, trains.model_copy(update={"worker": "b"})])

    assert waiting == Waiting(
        code=WaitingCode.NOT_SERVED,
        message="No worker that is up takes jobs that classify imdb_lstm, though its plugin is "
        "there: start one that does, by `seqd worker --slot gpu:0`, or by `seqd up --slots "
        "train@gpu:0=0.5,gpu:0`.",
    )


def test_a_job_whose_workers_all_stop_goes_on_with_the_next_one() -> None:
    waiting = waiting_of(a_queued_job(), [a_worker(state=WorkerState.DRAINING)])

    assert waiting is not None and waiting.message == (
        "All workers that classify imdb_lstm are stopping: it goes on when another is up."
    )


def test_a_version_that_some_worker_may_have_lost_is_not_told_as_new() -> None:
    workers = [a_worker("a", versions={"imdb_lstm": ()}), a_worker("b")]

    new = waiting_of(a_queued_job(version=1), workers)
    lost = waiting_of(a_queued_job(), [a_worker("a", versions={"imdb_lstm": (3,)})])

    assert new is not None and new.message == (
        "imdb_lstm@1 is new, and not yet found by a, b. Workers look for new versions at least at "
        "each heartbeat (SEQD_HEARTBEAT_S). One that does not find it has another store than the "
        "worker that made it. b: its newest is imdb_lstm@0."
    )
    assert lost is not None and "its store has no such version (it can run 3)." in lost.message


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


def test_a_job_whose_version_no_worker_can_run_has_each_workers_reason() -> None:
    damaged = UnfitVersion(
        model="imdb_lstm",
        version=0,
        code=UnfitCode.DAMAGED,
        message="weights.safetensors is damaged.",
        since_ms=1,
    )
    workers = [
        a_worker("a", versions={"imdb_lstm": ()}, unfit=(damaged,)),
        a_worker("b", versions={"imdb_lstm": (3,)}),
    ]

    assert waiting_of(a_queued_job(), workers) == Waiting(
        code=WaitingCode.UNFIT,
        message="No worker that is up can classify imdb_lstm@0 now. a: damaged: "
        "weights.safetensors is damaged. b: missing: its store has no such version (it can run 3).",
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


def test_a_job_waits_for_workers_that_start_by_what_they_load() -> None:
    starting = a_worker("a", state=WorkerState.STARTING, loading=("imdb_lstm@2", "topics@1"))
    other = starting.model_copy(update={"worker": "b", "loading": ("imdb_lstm@2",)})

    assert waiting_of(a_queued_job(), [starting, other, a_worker("c", versions={})]) == Waiting(
        code=WaitingCode.STARTING,
        message="Workers are still starting (a, b). Before jobs are taken, plugins are imported "
        "and models loaded: imdb_lstm@2, topics@1.",
    )
    assert waiting_of(a_queued_job(), [starting, a_worker("c")]) is None


@pytest.mark.parametrize(
    "said",
    [{"plugins": (), "versions": {}}, {"versions": {}}, {"versions": {"imdb_lstm": ()}}],
    ids=["nothing", "its plugins", "none of the versions"],
)
def test_one_that_has_not_said_what_it_has_may_bring_the_model(said: dict[str, object]) -> None:
    starting = a_worker("a", state=WorkerState.STARTING, **said)
    trains = starting.model_copy(update={"tasks": ("train",)})

    waiting = waiting_of(a_queued_job(), [starting])
    of_another_slot = waiting_of(a_queued_job(), [trains])

    assert waiting == Waiting(
        code=WaitingCode.STARTING,
        message="A worker is still starting (a). Before jobs are taken, plugins are imported and "
        "models loaded.",
    )
    assert of_another_slot is not None and of_another_slot.code is WaitingCode.NOT_SERVED


def test_who_is_refused_is_told_of_workers_that_have_said_nothing() -> None:
    starting = a_worker("a", state=WorkerState.STARTING, plugins=(), versions={})

    assert starting_told([a_worker("b")]) == ""
    assert starting_told([starting, a_worker("b"), starting]) == (
        " Workers are still starting (a, a): try again in a moment."
    )


def test_a_job_waits_that_placement_leaves_to_workers_that_are_not_there() -> None:
    workers = [
        a_worker(f"w{number}", tasks=("classify",), left_out=("imdb_lstm",)) for number in range(6)
    ]
    other = a_worker("w9", tasks=("train",), left_out=("imdb_lstm",))

    waiting = waiting_of(a_queued_job(), [*workers, other])

    assert waiting == Waiting(
        code=WaitingCode.NOT_PLACED,
        message="No worker that is up serves imdb_lstm. These could classify with it, and a "
        "placement or SEQD_SERVES has them leave it to others: w0, w1, w2, w3, w4 and 1 more. "
        "`seqd models place` lists placements, `seqd models place imdb_lstm --anywhere` ends that "
        "of imdb_lstm; or start a worker that serves it.",
    )
    assert waiting_of(a_queued_job(), [*workers, a_worker("w7")]) is None


def test_a_worker_that_leaves_a_model_out_is_listed_with_that_and_trains_it_all_the_same() -> None:
    worker = a_worker("w1", tasks=("classify", "train"), left_out=("imdb_lstm",))

    assert workers_of_model([worker], "imdb_lstm")[0].unfit == (
        "its items: left to others by placement",
    )
    assert can_run(worker, "train", "imdb_lstm", None)
    assert not can_run(worker, "classify", "imdb_lstm", 0)
