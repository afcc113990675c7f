"""Which test enters which block: measured once on a marked copy, a test file at a time.

Kept in `map.json`; a test file is measured again when it, or any source, has changed.
"""

import hashlib
import json
import re
import shutil
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from mutation import lua_edits, python_edits
from mutation.edits import Block, is_lua, line_of
from mutation.lua_edits import LuaSource
from mutation.project import QUICK, Project, run_tests
from mutation.python_edits import PythonSource

#: For the tests of one file; marks make a test slower.
_FILE_LIMIT_S = 200.0

#: Test files that one pytest runs: its start costs as much as many a file.
_TOGETHER = 8

_LOGGED = re.compile(r"^\S+ (\d+ \w+ \d+ \d\d:\d\d:\d\d\.\d+) # @(\d+)", re.M)


def blocks_of(path: str, source: bytes) -> list[Block]:
    """Return the blocks of a module or script."""
    if is_lua(path):
        return LuaSource(source, is_shared="/shared/" in path).blocks()
    return PythonSource(source).blocks()


def name_of(path: str, source: bytes, block: Block) -> str:
    """Return a name of a block: its file, and the line at which it begins."""
    return f"{path}:{line_of(source, block.mark)}"


@dataclass
class Measured:
    """What the tests of one file enter."""

    digest: str
    #: Seconds of each test that passed on the source as it is.
    tests: dict[str, float] = field(default_factory=dict)
    #: True where sources run in other processes than pytest's, such as workers.
    starts_workers: bool = False
    #: Block -> tests.
    entered: dict[str, list[str]] = field(default_factory=dict)


class Coverage:
    """The map, in a file."""

    def __init__(self, project: Project, folder: Path) -> None:
        self._project = project
        self._file = folder / "map.json"
        self.files: dict[str, Measured] = {}
        if self._file.exists():
            rows = json.loads(self._file.read_text(encoding="utf-8"))
            self.files = {name: Measured(**row) for name, row in rows.items()}

    def stale(self) -> list[str]:
        """Return the test files that are to be measured."""
        sources = hashlib.sha256()
        for area in self._project.areas:
            for path in self._project.sources(area):
                sources.update((self._project.root / path).read_bytes())
        self._digests = {
            path: hashlib.sha256(
                sources.digest() + (self._project.root / path).read_bytes()
            ).hexdigest()
            for path in self._project.test_files()
        }
        kept = {name: row for name, row in self.files.items() if name in self._digests}
        self.files = kept
        return [
            path
            for path, digest in self._digests.items()
            if path not in kept or kept[path].digest != digest
        ]

    def measure(self) -> Iterator[str]:
        """Measure what is stale; yields each test file when it is done."""
        if not (stale := self.stale()):
            return
        with TemporaryDirectory(prefix="seqd-mutation-") as folder:
            yield from self._measure(stale, self._project.copy_to(Path(folder) / "marked"))

    def _measure(self, stale: list[str], copy: Project) -> Iterator[str]:
        names = _mark(copy)
        shutil.copy(
            Path(__file__).with_name("mutation_hits.py"), copy.root / self._project.import_folder
        )
        for first in range(0, len(stale), _TOGETHER):
            paths = stale[first : first + _TOGETHER]
            self.files |= _measured(copy, {path: self._digests[path] for path in paths}, names)
            self._file.write_text(
                json.dumps({name: asdict(row) for name, row in self.files.items()}),
                encoding="utf-8",
            )
            yield from paths

    def related(self, blocks: list[str]) -> tuple[dict[str, float], dict[str, float]]:
        """Return the tests that enter one of the blocks, with seconds: quick ones, and others.

        The others stand in files that start workers or commands.
        """
        here, apart = dict[str, float](), dict[str, float]()
        for row in self.files.values():
            for block in blocks:
                for test in row.entered.get(block, ()):
                    (apart if row.starts_workers else here)[test] = row.tests[test]
        return _in_turn(here), _in_turn(apart)


def _in_turn(tests: dict[str, float]) -> dict[str, float]:
    """Return the tests in this order: the quickest of each file, the second of each, and so on.

    A rule of a block often has a file of its own, whose tests need not be the quickest.
    """
    turns = Counter[str]()
    order = list[tuple[int, float, str]]()
    for test, seconds in sorted(tests.items(), key=lambda row: (row[1], row[0])):
        order.append((turns[_file_of(test)], seconds, test))
        turns[_file_of(test)] += 1
    return {test: seconds for _, seconds, test in sorted(order)}


def _mark(copy: Project) -> dict[int, str]:
    """Mark all sources of a copy; returns the names of the blocks by their numbers."""
    names: dict[int, str] = {}
    for area in copy.areas:
        for path in copy.sources(area):
            source = (copy.root / path).read_bytes()
            numbers = {
                block: len(names) + n for n, block in enumerate(set(blocks_of(path, source)))
            }
            names |= {number: name_of(path, source, block) for block, number in numbers.items()}
            marked = (lua_edits if is_lua(path) else python_edits).marked(source, numbers)
            (copy.root / path).write_bytes(marked)
    return names


def _measured(copy: Project, digests: dict[str, str], names: dict[int, str]) -> dict[str, Measured]:
    """Run some test files of a marked copy; return what each of them enters."""
    scratch = copy.root / ".measured"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    run_tests(
        copy.root,
        ["-p", "mutation.recorder", "-m", QUICK, "--hypothesis-profile", "quick", *digests],
        _FILE_LIMIT_S * len(digests),
        basetemp=str(scratch / "tests"),
        MUTATION_HITS=str(scratch / "hits"),
        MUTATION_TESTS=str(scratch / "ran"),
        PYTHONPATH=_python_path(),
    )
    rows = [json.loads(line) for line in _lines(scratch / "ran")]
    begins = [row["began_s"] for row in rows]
    found = {path: Measured(digest) for path, digest in digests.items()}
    for row in rows:
        if row["passed"]:
            found[_file_of(row["test"])].tests[row["test"]] = row["ended_s"] - row["began_s"]
    for number, at_s, test, is_child in _hits(scratch):
        n = bisect_right(begins, at_s) - 1
        name = test or (rows[n]["test"] if n >= 0 else "")
        file = found.get(_file_of(name))
        if file is not None and name in file.tests and number in names:
            file.starts_workers |= is_child
            entering = file.entered.setdefault(names[number], [])
            if name not in entering:
                entering.append(name)
    return found


def _file_of(test: str) -> str:
    return test.partition("::")[0]


def _python_path() -> str:
    """Return where the plugin is that records tests; the copy puts its own code in front."""
    return str(Path(__file__).parent.parent)


def _hits(scratch: Path) -> Iterator[tuple[int, float, str, bool]]:
    """Yield what has been noted: block, time, test where it is known, whether by a child."""
    for line in _lines(scratch / "hits"):
        number, at_s, test = line.split("\t", 2)
        yield int(number), float(at_s), test.strip("?"), test == "?"
    for log in scratch.rglob("redis.log"):
        for at, number in set(_LOGGED.findall(log.read_text(errors="replace"))):
            yield int(number), datetime.strptime(at, "%d %b %Y %H:%M:%S.%f").timestamp(), "", False


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
