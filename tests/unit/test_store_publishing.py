"""Real processes publish into one store at once; readers only ever see whole versions."""

import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from seqd.models.store import ModelStore
from store_builders import publish

pytestmark = pytest.mark.processes

PROCESSES = 2
VERSIONS_EACH = 4


def publish_versions(root: Path, writer: int, start: Barrier) -> None:
    store = ModelStore(root, {})
    jobs = [f"job-{writer}-{number}" for number in range(VERSIONS_EACH)]
    start.wait(120)
    for job_id in jobs:
        version = publish(store, "lstm", content=f'"{job_id}"', job_id=job_id)
        store.set_label("lstm", f"writer-{writer}", version)


def test_processes_that_publish_at_once_get_a_version_each(tmp_path):
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(PROCESSES)
    writers = [
        context.Process(target=publish_versions, args=(tmp_path, number, start))
        for number in range(PROCESSES)
    ]

    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert [writer.exitcode for writer in writers] == [0] * PROCESSES
    store = ModelStore(tmp_path, {})
    total = PROCESSES * VERSIONS_EACH
    assert store.numbers("lstm") == list(range(1, total + 1))
    artifacts = [store.open("lstm", number) for number in range(1, total + 1)]
    assert len({artifact.manifest.job_id for artifact in artifacts}) == total
    for artifact in artifacts:
        content = (artifact.folder / "echo.json").read_text()
        assert content == f'"{artifact.manifest.job_id}"'
    # Each writer's label survived the others' writing, and stands where it last set it.
    labels = store.labels("lstm")
    for writer in range(PROCESSES):
        job_id = store.open("lstm", labels[f"writer-{writer}"]).manifest.job_id
        assert job_id == f"job-{writer}-{VERSIONS_EACH - 1}"
