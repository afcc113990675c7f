"""Real processes publish into one store at once; readers only ever see whole versions."""

import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from seqd.models.publishing import move_in
from seqd.models.store import ModelStore
from seqd.models.version_files import VersionDraft
from store_builders import a_version_draft

pytestmark = pytest.mark.processes

PROCESSES = 3
VERSIONS_EACH = 4


def a_draft(job_id: str) -> VersionDraft:
    return a_version_draft("lstm", job_id=job_id)


def staged(store: ModelStore, job_id: str) -> Path:
    folder = store.new_folder("lstm", job_id)
    (folder / "a.json").write_text(f'"{job_id}"')
    return folder


def publish_versions(root: Path, writer: int, start: Barrier) -> None:
    store = ModelStore(root, {})
    jobs = [f"job-{writer}-{number}" for number in range(VERSIONS_EACH)]
    folders = [staged(store, job_id) for job_id in jobs]
    start.wait(30)
    for folder, job_id in zip(folders, jobs, strict=True):
        manifest = store.publish(folder, a_draft(job_id))
        store.set_label("lstm", f"writer-{writer}", manifest.version)


def publish_one_job(root: Path, writer: int, start: Barrier) -> None:
    store = ModelStore(root, {})
    folder = staged(store, "one-job")
    start.wait(30)
    store.publish(folder, a_draft("one-job"))


def move_in_without_the_lock(root: Path, writer: int, start: Barrier) -> None:
    store = ModelStore(root, {})
    folders = [staged(store, f"job-{writer}-{number}") for number in range(VERSIONS_EACH)]
    start.wait(30)
    for number, folder in enumerate(folders):
        move_in(root, folder, a_draft(f"job-{writer}-{number}"), 1)


def run_at_once(work, root: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(PROCESSES)
    writers = [context.Process(target=work, args=(root, n, start)) for n in range(PROCESSES)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * PROCESSES


@pytest.mark.slow
def test_processes_that_publish_at_once_get_a_version_each(tmp_path):
    run_at_once(publish_versions, tmp_path)

    store = ModelStore(tmp_path, {})
    total = PROCESSES * VERSIONS_EACH
    assert store.numbers("lstm") == list(range(1, total + 1))
    artifacts = [store.open("lstm", number) for number in range(1, total + 1)]
    assert len({artifact.manifest.job_id for artifact in artifacts}) == total
    for artifact in artifacts:
        content = (artifact.folder / "a.json").read_text()
        assert content == f'"{artifact.manifest.job_id}"'
    # Each writer's label survived the others' writing, and stands where it last set it.
    labels = store.labels("lstm")
    for writer in range(PROCESSES):
        job_id = store.open("lstm", labels[f"writer-{writer}"]).manifest.job_id
        assert job_id == f"job-{writer}-{VERSIONS_EACH - 1}"


@pytest.mark.slow
def test_a_job_that_two_workers_finish_at_once_gets_one_version(tmp_path):
    run_at_once(publish_one_job, tmp_path)

    assert ModelStore(tmp_path, {}).numbers("lstm") == [1]
    assert list((tmp_path / ".staging").iterdir()) == []


def test_even_without_the_lock_no_version_replaces_another(tmp_path):
    (tmp_path / "lstm").mkdir()

    run_at_once(move_in_without_the_lock, tmp_path)

    store = ModelStore(tmp_path, {})
    total = PROCESSES * VERSIONS_EACH
    assert store.numbers("lstm") == list(range(1, total + 1))
    assert len({store.open("lstm", n).manifest.job_id for n in range(1, total + 1)}) == total
