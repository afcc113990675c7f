"""No module of the working folder runs inside the daemon, wherever it is started."""

import subprocess
import sys
from pathlib import Path

import pytest

from cli_builders import clean_environment
from seqd.client import Client
from up_builders import MODULE, running_up
from worker_fixtures import only_worker

pytestmark = pytest.mark.processes

SCRIPT = (str(Path(sys.executable).with_name("seqd")),)

#: Each writes its name down and fails.
SHADOW = """
from pathlib import Path
folder = Path(__file__).parent
with (folder / "imported").open("a") as file:
    file.write(__name__ + "\\n")
raise ImportError(f"{__name__} of the working folder was imported")
"""

SHADOWED = ("celery", "kombu", "billiard", "redis", "pydantic", "numpy", "seqd_schemas", "typer")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a clone of seqd in `seqd/`, and modules named as the daemon's libraries."""
    folder = tmp_path / "project"
    (folder / "seqd" / "daemon" / "seqd").mkdir(parents=True)
    (folder / "seqd" / "README.md").write_text("a clone")
    for name in SHADOWED:
        (folder / f"{name}.py").write_text(SHADOW)
    return folder


def imported(project: Path) -> list[str]:
    path = project / "imported"
    return path.read_text().split() if path.exists() else []


@pytest.mark.slow
def test_up_started_beside_a_clone_and_a_celery_module_does_its_work(
    project: Path, tmp_path: Path
) -> None:
    with (
        running_up(tmp_path, working_folder=project) as up,
        Client(settings=up.settings) as client,
    ):
        record = client.classify(["a", "b"], model="echo").wait(timeout_s=120)
        worker = only_worker(client)
        variables = Path(f"/proc/{worker.pid}/environ").read_bytes().split(b"\0")

    assert record.counts.succeeded == 2
    assert b"PYTHONSAFEPATH=1" in variables
    assert imported(project) == []


def test_a_folder_seqd_with_a_module_of_its_own_does_not_stand_for_the_package(
    tmp_path: Path,
) -> None:
    (tmp_path / "seqd").mkdir()
    (tmp_path / "seqd" / "__init__.py").write_text("")

    ended = subprocess.run(
        [*SCRIPT, "models", "list", "--help"],
        env=clean_environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 0, ended.stderr
    assert "Usage: seqd models list" in ended.stdout


def test_a_working_folder_that_is_gone_does_not_matter(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    ended = subprocess.run(
        ["sh", "-c", f'cd "{folder}" && rmdir "{folder}" && exec "{MODULE[0]}" -m seqd --version'],
        env=clean_environment(),
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("seqd ")
