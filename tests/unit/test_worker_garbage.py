"""What killed trainings leave on the disk goes when nobody will go on from it, and not before."""

import os
import time

import pytest

from seqd.models.checkpoints import CheckpointFolder, encode
from seqd.models.store import ModelStore
from seqd.models.version_files import VersionDraft
from seqd.worker.training.publish import ENDED_S, FORGOTTEN_S, collect_garbage
from seqd_schemas import DataFingerprint, JobState

NOW_S = time.time()


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "models", {})


def checkpoints_of(data_dir, job_id, *, untouched_s=0.0):
    CheckpointFolder(data_dir, job_id).write("1", encode({}, {}))
    folder = data_dir / "checkpoints" / job_id
    os.utime(folder, (NOW_S - untouched_s, NOW_S - untouched_s))
    return folder


def staged_version(store, job_id, *, untouched_s):
    folder = store.new_folder("lstm", job_id)
    os.utime(folder, (NOW_S - untouched_s, NOW_S - untouched_s))
    return folder


def publish(store, job_id):
    folder = store.new_folder("lstm", job_id)
    (folder / "a.json").write_text("{}")
    data = DataFingerprint(description="d", records=1, sha256="0" * 64)
    draft = VersionDraft(
        model="lstm", plugin_version="1", parameters={}, metrics={}, data=data, created_at_ms=0,
        job_id=job_id,
    )  # fmt: skip
    store.begin_publish("lstm", job_id, "attempt-1")
    return store.publish(folder, draft).version


@pytest.mark.parametrize(
    ("state", "untouched_s", "checkpoints_stay", "version_stays"),
    [
        (JobState.RUNNING, FORGOTTEN_S * 9, True, True),
        (JobState.PAUSED, FORGOTTEN_S * 9, True, True),
        (JobState.CANCELLED, ENDED_S - 60, True, True),
        (JobState.CANCELLED, ENDED_S + 60, True, False),
        (JobState.FAILED, FORGOTTEN_S * 9, True, False),
        (JobState.EXPIRED, FORGOTTEN_S * 9, True, False),
        (JobState.COMPLETED, ENDED_S + 60, False, False),
        (None, FORGOTTEN_S - 60, True, True),
        (None, FORGOTTEN_S + 60, False, False),
    ],
)
def test_checkpoints_stay_while_a_job_may_go_on_from_them_and_half_a_version_until_it_has_ended(
    tmp_path, store, state, untouched_s, checkpoints_stay, version_stays
):
    checkpoints = checkpoints_of(tmp_path, "job", untouched_s=untouched_s)
    version = staged_version(store, "job", untouched_s=untouched_s)

    collect_garbage(tmp_path, store, {"job": state}.get, NOW_S)

    assert (checkpoints.exists(), version.exists()) == (checkpoints_stay, version_stays)


@pytest.mark.parametrize(
    ("state", "rolled_back", "announced"),
    [
        (JobState.CANCELLED, ["lstm@1"], []),
        (JobState.FAILED, ["lstm@1"], []),
        (JobState.COMPLETED, [], []),
        (JobState.RUNNING, [], [("lstm", "job")]),
        (None, [], [("lstm", "job")]),
    ],
)
def test_a_published_version_is_finalized_by_how_its_job_ended(
    tmp_path, store, state, rolled_back, announced
):
    publish(store, "job")

    assert collect_garbage(tmp_path, store, {"job": state}.get, NOW_S) == rolled_back
    assert store.numbers("lstm") == ([] if rolled_back else [1])
    assert store.begun() == announced


def test_a_draft_that_a_killed_process_left_goes_an_hour_later(tmp_path, store):
    publish(store, "j1")
    folder = store.folder_of("lstm")
    (folder / "evaluations").mkdir()
    left = [
        folder / ".labels.json.ab12cd_8",
        folder / "..publishing-j2.json.ab12cd_8",
        folder / "evaluations" / ".1.json.ab12cd_8",
    ]
    kept = [folder / ".labels.json.zz12cd_8", folder / ".publishing-j1.json"]
    for path in [*left, kept[0]]:
        path.touch()
    for path, age_s in [*((one, ENDED_S + 60) for one in left), (kept[0], ENDED_S - 60)]:
        os.utime(path, (NOW_S - age_s, NOW_S - age_s))

    collect_garbage(tmp_path, store, lambda job_id: JobState.RUNNING, NOW_S)

    assert [path.exists() for path in (*left, *kept)] == [False] * 3 + [True, True]


def test_what_a_training_of_a_sweep_left_goes_by_its_own_end_and_not_the_sweeps(tmp_path, store):
    done, undone = (checkpoints_of(tmp_path, f"j.{unit}") for unit in range(2))
    half = staged_version(store, "j.1", untouched_s=ENDED_S + 1)
    states = {"j.0": JobState.COMPLETED, "j.1": JobState.CANCELLED}

    collect_garbage(tmp_path, store, states.get, NOW_S)

    # A retry of what was cancelled may go on from its checkpoint.
    assert (done.exists(), undone.exists(), half.exists()) == (False, True, False)
