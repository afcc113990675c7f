"""Which test enters which block: measured once on a marked copy, a test file at a time.

Kept in `map.jsonl`; a test file is measured again when it, or a source that it enters, has changed.
"""

import hashlib
import json
import re
import shutil
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from mutation import lua_edits, python_edits
from mutation.edits import Block, is_lua, line_of
from mutation.lua_edits import LuaSource
from mutation.project import QUICK, Project, run_tests, side_by_side
from mutation.python_edits import PythonSource

#: For the tests of one file; marks make a test slower.
_FILE_LIMIT_S = 400.0

#: Test files that one pytest runs: its start costs as much as many a file.
_TOGETHER = 8

#: A module that starts itself without a path can import nothing that notes blocks.
_STARTS_ITSELF = re.compile(rb'"-I".*__file__')

_LOGGED = re.compile(r"^\S+ (\d+ \w+ \d+ \d\d:\d\d:\d\d\.\d+) # @(\d+)", re.M)


def blocks_of(path: str, source: bytes) -> list[Block]:
    """Return the blocks of a module or script that can be marked."""
    if is_lua(path):
        return LuaSource(source, is_shared="/shared/" in path).blocks()
    return [] if _STARTS_ITSELF.search(source) else PythonSource(source).blocks()


def name_of(path: str, source: bytes, block: Block) -> str:
    """Return a name of a block: its file, and the line at which it begins."""
    return f"{path}:{line_of(source, block.mark)}"


@dataclass
class Measured:
    """What the tests of one file enter."""

    path: str
    digest: str = ""
    #: Seconds of each test that passed on the source as it is.
    tests: dict[str, float] = field(default_factory=dict)
    #: Tests whose sources run in other processes than pytest's, such as workers and commands.
    apart: list[str] = field(default_factory=list)
    #: Block -> tests, by their numbers in `tests`: with names the file is some ten times larger.
    entered: dict[str, list[int]] = field(default_factory=dict)

    def digest_of(self, digests: dict[str, str]) -> str:
        """Return a digest of the file and of the sources that it enters, by that of each."""
        paths = [self.path, *sorted({block.rpartition(":")[0] for block in self.entered})]
        return hashlib.sha256(
            " ".join(digests.get(path, "") for path in paths).encode()
        ).hexdigest()


class Coverage:
    """The map, in a file."""

    def __init__(self, project: Project, folder: Path) -> None:
        self._project = project
        self._file = folder / "map.jsonl"
        self.files = {row["path"]: Measured(**row) for row in map(json.loads, _lines(self._file))}

    def measure(self, at_once: int = 1) -> Iterator[Measured]:
        """Measure what is not known yet; yields each test file when it is done."""
        digests = self._digests()
        tests = self._project.test_files()
        self.files = {path: row for path, row in self.files.items() if path in digests}
        stale = [path for path in tests
                 if path not in self.files
                 or self.files[path].digest != self.files[path].digest_of(digests)]  # fmt: skip
        if not stale:
            return
        with TemporaryDirectory(prefix="seqd-mutation-") as folder:
            copy = self._project.copy_to(Path(folder) / "marked")
            names = _mark(copy)
            hits = Path(__file__).with_name("mutation_hits.py")
            shutil.copy(hits, copy.root / self._project.import_folder)
            together = [stale[first : first + _TOGETHER]
                        for first in range(0, len(stale), _TOGETHER)]  # fmt: skip
            for rows in side_by_side(lambda some: _measured(copy, some, names), together, at_once):
                for row in rows:
                    row.digest = row.digest_of(digests)
                with self._file.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(asdict(row)) + "\n" for row in rows)
                self.files |= {row.path: row for row in rows}
                yield from rows

    def related(self, blocks: Iterable[str]) -> tuple[dict[str, float], dict[str, float]]:
        """Return the tests that enter one of the blocks, with seconds: quick ones, and others.

        The others start workers or commands.
        """
        here, apart = dict[str, float](), dict[str, float]()
        for row in self.files.values():
            names = list(row.tests)
            for number in {n for block in blocks for n in row.entered.get(block, ())}:
                test = names[number]
                (apart if test in row.apart else here)[test] = row.tests[test]
        return _in_turn(here), _in_turn(apart)

    def naming(self, names: Iterable[str]) -> list[str]:
        """Return the blocks, of all areas, that have one of the names in their text."""
        return sorted(set[str]().union(*(self._words.get(name, ()) for name in names)))

    @cached_property
    def _words(self) -> dict[str, set[str]]:
        """Each word of the sources' blocks, and the blocks that have it."""
        found: dict[str, set[str]] = {}
        for area in self._project.areas:
            for path in self._project.sources(area):
                source = (self._project.root / path).read_bytes()
                for block in blocks_of(path, source):
                    name = name_of(path, source, block)
                    for word in re.findall(r"\w+", source[block.start : block.end].decode()):
                        found.setdefault(word, set()).add(name)
        return found

    def _digests(self) -> dict[str, str]:
        """Return a digest of each test file and source."""
        paths = self._project.test_files()
        for area in self._project.areas:
            paths += self._project.sources(area)
        return {
            path: hashlib.sha256((self._project.root / path).read_bytes()).hexdigest()
            for path in paths
        }


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


def _measured(copy: Project, paths: list[str], names: dict[int, str]) -> list[Measured]:
    """Run some test files of a marked copy; return what each of them enters."""
    with TemporaryDirectory(prefix="seqd-mutation-", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        run_tests(
            copy.root,
            ["-p", "mutation.recorder", "-m", QUICK, "--hypothesis-profile", "quick", *paths],
            _FILE_LIMIT_S * len(paths),
            basetemp=str(scratch / "tests"),
            MUTATION_HITS=str(scratch / "hits"),
            MUTATION_TESTS=str(scratch / "ran"),
            PYTHONPATH=_python_path(),
        )
        ran = [json.loads(line) for line in _lines(scratch / "ran")]
        hits = list(_hits(scratch))
    found = {path: Measured(path) for path in paths}
    for row in ran:
        if row["passed"]:
            found[_file_of(row["test"])].tests[row["test"]] = row["ended_s"] - row["began_s"]
    begins = [row["began_s"] for row in ran]
    numbers = {test: n for row in found.values() for n, test in enumerate(row.tests)}
    entered = set[tuple[str, str]]()
    apart = set[str]()
    for number, at_s, known, is_child in hits:
        n = bisect_right(begins, at_s) - 1
        test = known or (ran[n]["test"] if n >= 0 else "")
        if test in numbers and number in names:
            entered.add((names[number], test))
            if is_child:
                apart.add(test)
    for block, test in sorted(entered):
        found[_file_of(test)].entered.setdefault(block, []).append(numbers[test])
    for test in sorted(apart):
        found[_file_of(test)].apart.append(test)
    return list(found.values())


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
