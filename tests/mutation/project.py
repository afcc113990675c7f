"""What is broken, by what it is tested, and copies of it in which tests run."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mutation.keeper import TIME_IS_OVER

_KEEPER = Path(__file__).with_name("keeper.py")

#: Never copied: it is not source, or it is the copies themselves.
_LEFT_OUT = (".git", ".venv*", ".mutation", "__pycache__", ".*_cache", ".hypothesis")

#: Quick tests that start no Keras and hold no duration to a limit.
QUICK = "not slow and not serial and not network and (not second_server or smoke)"


@dataclass(frozen=True)
class Project:
    """A folder with sources to break, by area, and tests."""

    root: Path
    #: Area -> folder of its sources.
    areas: Mapping[str, str]
    #: Where imports look for the sources, for the module that notes blocks.
    import_folder: str
    #: Test files, as patterns from the root.
    tests: tuple[str, ...]

    def sources(self, area: str) -> list[str]:
        """Return the paths of an area's modules and scripts, from the root."""
        folder = self.root / self.areas[area]
        found = [*folder.rglob("*.py"), *folder.rglob("*.lua")]
        return sorted(str(path.relative_to(self.root)) for path in found)

    def test_files(self) -> list[str]:
        """Return the paths of the test files, from the root, in the order of their patterns."""
        found = [path for pattern in self.tests for path in sorted(self.root.glob(pattern))]
        return list(dict.fromkeys(str(path.relative_to(self.root)) for path in found))

    def copy_to(self, folder: Path) -> "Project":
        """Copy everything but caches into a new folder."""
        shutil.copytree(self.root, folder, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True)
        return Project(folder, self.areas, self.import_folder, self.tests)


@dataclass(frozen=True)
class TestRun:
    """How some tests ended: `status` is pytest's, None when their time was over."""

    __test__ = False

    status: int | None
    output: str


def run_tests(root: Path, arguments: Sequence[str], limit_s: float, **variables: str) -> TestRun:
    """Run pytest in a copy, for at most `limit_s` seconds; end all that it started."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE") and not name.startswith("SEQD_")
    }
    with tempfile.TemporaryDirectory(prefix="mutation-", ignore_cleanup_errors=True) as scratch:
        output = Path(scratch) / "output"
        pytest = [sys.executable, "-P", "-m", "pytest", "-q", "--tb=short"]
        basetemp = variables.pop("basetemp", f"{scratch}/tests")
        with output.open("wb") as file:
            keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_KEEPER), str(limit_s), *pytest,
                 "-p", "no:cacheprovider", "--basetemp", basetemp, *arguments],
                cwd=root, env=environment | variables, stdin=subprocess.DEVNULL,
                stdout=file, stderr=file,
            )  # fmt: skip
            try:
                status = keeper.wait()
            finally:  # of a run that is stopped
                keeper.terminate()
                keeper.wait()
        text = output.read_text(errors="replace")
        return TestRun(None if status == TIME_IS_OVER else status, text)
