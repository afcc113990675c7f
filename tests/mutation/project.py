"""What is broken, by what it is tested, and copies of it in which tests run."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import NamedTuple, TypeVar

from mutation.keeper import TIME_IS_OVER

_KEEPER = Path(__file__).with_name("keeper.py")

#: Never copied: it is not source, or it is the copies themselves.
_LEFT_OUT = (".git", ".venv*", ".mutation", "__pycache__", ".*_cache", ".hypothesis")

#: Quick tests that hold no duration to a limit.
QUICK = "not slow and (not second_server or smoke)"

_Item = TypeVar("_Item")
_Done = TypeVar("_Done")


class Area(NamedTuple):
    """Modules and scripts, and the test files that can notice their mistakes."""

    #: Patterns from the root; areas may share no source.
    sources: tuple[str, ...]
    #: Patterns of whole paths, or of their ends.
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Project:
    """A folder with sources to break, by area, and tests."""

    root: Path
    areas: Mapping[str, Area]

    def sources(self, area: str) -> list[str]:
        """Return the paths of an area's modules and scripts, from the root."""
        return sorted(
            str(path.relative_to(self.root))
            for pattern in self.areas[area].sources
            for path in self.root.glob(pattern)
        )

    def tests_of(self, area: str, path: str) -> list[str]:
        """Return an area's test files, first those that are named like one of its sources."""
        files = [file.relative_to(self.root) for file in (self.root / "tests").rglob("test_*.py")]
        tests = [file for file in files if any(map(file.match, self.areas[area].tests))]
        words = _words(path)
        return [
            str(test)
            for test in sorted(tests, key=lambda test: (-len(words & _words(test.stem)), test))
        ]

    def copy_to(self, folder: Path) -> "Project":
        """Copy everything but caches into a new folder."""
        shutil.copytree(self.root, folder, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True)
        return Project(folder, self.areas)


def _words(name: str) -> set[str]:
    """Return the words of a path, in the singular."""
    return {word.removesuffix("s") for word in re.findall("[a-z]+", name)}


@dataclass(frozen=True)
class TestRun:
    """How some tests ended: `status` is pytest's, None when their time was over."""

    __test__ = False

    status: int | None
    output: str


#: Set when this process is to end: no tests begin, and those that run are ended.
_stopped = Event()
_running: set[subprocess.Popen[bytes]] = set()


class Stopped(Exception):
    """The tests were ended before they could say anything."""


def side_by_side(
    do: Callable[[_Item], _Done], items: Sequence[_Item], at_once: int
) -> Iterator[_Done]:
    """Yield what `do` returns for each item, some of them at once; ends all tests when it ends."""
    with ThreadPoolExecutor(at_once) as pool:
        doing = [pool.submit(do, item) for item in items]
        try:
            for done in as_completed(doing):
                yield done.result()
        except BaseException:
            _stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for keeper in list(_running):
                keeper.terminate()
            raise


def run_tests(root: Path, arguments: Sequence[str], limit_s: float) -> TestRun:
    """Run pytest in a copy, for at most `limit_s` seconds; end all that it started."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE") and not name.startswith("SEQD_")
    }
    with tempfile.TemporaryDirectory(prefix="mutation-", ignore_cleanup_errors=True) as scratch:
        output = Path(scratch) / "output"
        pytest = [sys.executable, "-P", "-m", "pytest", "-q", "--tb=short"]
        with output.open("wb") as file:
            keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_KEEPER), str(limit_s), *pytest,
                 "-p", "no:cacheprovider", "--basetemp", f"{scratch}/tests", *arguments],
                cwd=root, env=environment, stdin=subprocess.DEVNULL,
                stdout=file, stderr=file,
            )  # fmt: skip
            _running.add(keeper)
            try:
                if _stopped.is_set():
                    keeper.terminate()
                status = keeper.wait()
            finally:  # of a run that is stopped
                keeper.terminate()
                keeper.wait()
                _running.discard(keeper)
        if _stopped.is_set():
            raise Stopped
        text = output.read_text(errors="replace")
        return TestRun(None if status == TIME_IS_OVER else status, text)
