"""A model store that is mounted for reading alone, as a host has it that only serves."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_builders import clean_environment, here
from worker_fixtures import Cluster

pytestmark = [pytest.mark.processes, pytest.mark.slow]


@pytest.fixture
def read_only_store(empty_cluster: Cluster) -> Iterator[Path]:
    """The store of a cluster, mounted for reading; its folder of data is not."""
    store = str(empty_cluster.settings.store_dir)
    if subprocess.run(["mount", "--bind", store, store], check=False).returncode:
        pytest.skip("only root may mount a folder for reading")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", store], check=True)
        yield Path(store)
    finally:
        subprocess.run(["umount", "--lazy", store], check=True)


def test_a_worker_serves_from_a_store_that_is_mounted_for_reading(
    empty_cluster: Cluster,
    read_only_store: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    worker = empty_cluster.start_ready(required_models=("echo",))

    job = empty_cluster.client().classify(["a"], model="echo")

    assert job.wait(timeout_s=120).counts.succeeded == 1
    assert "ERROR" not in worker.whole_log()
    for name, value in clean_environment(
        SEQD_REDIS_URL=str(empty_cluster.settings.redis_url),
        SEQD_PREFIX=empty_cluster.settings.prefix,
        SEQD_DATA_DIR=str(empty_cluster.settings.data_dir),
    ).items():
        monkeypatch.setenv(name, value)
    findings = here(capsys, "doctor", "--deep", "--json").json()["findings"]
    (found,) = [one for one in findings if one["id"].startswith("store")]
    assert found["id"] == "store-unwritable"
    assert "serving alone does not need it" in found["do"]
