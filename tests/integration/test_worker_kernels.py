"""A worker compiles kernels once, and the next one on its folder of data compiles none."""

from pathlib import Path

import pytest

from seqd.local.kernel_folder import VARIABLE
from worker_fixtures import Cluster

pytestmark = pytest.mark.processes


@pytest.fixture(autouse=True)
def _as_outside_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)


@pytest.mark.slow
def test_the_next_worker_on_a_folder_of_data_compiles_nothing(empty_cluster: Cluster):
    folder = empty_cluster.settings.data_dir / "kernels"
    first = empty_cluster.start_ready(enabled_plugins=("char_lstm",))

    child = Path(f"/proc/{first.child_pid()}/environ").read_bytes().split(b"\0")
    assert f"{VARIABLE}={folder}".encode() in child
    assert folder.stat().st_mode & 0o777 == 0o700
    first.stop()
    before = kept_in(folder)
    following = empty_cluster.start_ready(enabled_plugins=("char_lstm",))
    following.stop()

    assert before
    assert kept_in(folder) == before
    assert "is damaged" not in following.whole_log()


def kept_in(folder: Path) -> dict[Path, int]:
    """Return when each file of compiled code was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.nbc")}
