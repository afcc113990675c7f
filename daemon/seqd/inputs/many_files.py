"""Files whose names fit a pattern, read one behind the other as if they were one file."""

import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Collection, Iterator
from fnmatch import filter as fitting
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from seqd.errors import InvalidInput
from seqd.inputs.buckets import is_object, objects_below, state_of
from seqd.inputs.file_state import FileState
from seqd.inputs.items import ItemRules
from seqd.inputs.parquet_rows import opened_file
from seqd.inputs.paths import READ, Roots, below_roots, check_path, compression_of, shown
from seqd.inputs.reading import InputFile
from seqd.inputs.records import Entries, Entry
from seqd.inputs.streams import START, FilePosition
from seqd.objects import is_url
from seqd_schemas import FileSource

#: More are refused: whoever reads any of them looks at all.
MAX_FILES = 10_000

#: Files that are open at once.
_MAX_OPEN = 4

_MARK = re.compile(r"[*?[]")

#: Of a file's name, in the identifier of an entry that has none of its own.
_NAME_CHARS = 96


def is_pattern(path: str) -> bool:
    """Return True where a path names the files of a folder by a pattern, and is no file itself."""
    if _MARK.search(Path(path).name) is None:
        return False
    return not (is_object(path) if is_url(path) else Path(path).exists())


def _names_that_fit(path: str, seen: Collection[str]) -> list[str]:
    names = sorted(fitting([one for one in seen if not one.startswith(".")], Path(path).name))
    if not 0 < len(names) <= MAX_FILES:
        raise InvalidInput(f"{shown(path)} fits {len(names):,} files; allowed: 1 to {MAX_FILES:,}")
    return names


def _files(path: str, roots: Roots) -> list[tuple[str, FileState]]:
    """Return the files of a folder that fit, each with the state in which it is."""
    folder = check_path(Path(path).parent, roots)
    try:
        seen = [one.name for one in folder.iterdir()]
    except OSError as error:
        raise InvalidInput(f"{shown(folder)} cannot be listed: {error.strerror}") from error
    paths = [folder / name for name in _names_that_fit(path, seen)]
    return [(str(one), FileState.of(check_path(one, roots))) for one in paths]


def _objects(url: str, roots: Roots) -> list[tuple[str, FileState]]:
    """Return the objects of a folder that fit, as `_files` does."""
    folder, _, name = below_roots(url, roots, READ).rpartition("/")
    seen = objects_below(folder, _MARK.split(name)[0])
    return [(f"{folder}/{one}", state_of(seen[one])) for one in _names_that_fit(url, seen)]


class InputFiles(InputFile):
    """Such files, in the order of their names. An entry without an identifier is named by both."""

    def __init__(self, source: FileSource, *, roots: Roots, rules: ItemRules) -> None:
        """Raise InvalidInput where no name fits, too many do, or one of the files will not do.

        Of a URL, StoreUnreachable, too.
        """
        self._content = None
        self._source, self._rules = source, rules
        self._roots, self._path = roots, Path(source.path)
        found = (_objects if is_url(source.path) else _files)(source.path, roots)
        #: Those with anything in them, and the state in which each is read.
        self._files = [(path, state) for path, state in found if state.size_bytes]
        #: Where each begins, and where the last one ends.
        self._begins = [0, *accumulate(state.size_bytes for _, state in self._files)]
        self._opened = OrderedDict[int, InputFile]()
        modified_ns = sum(state.modified_ns for _, state in self._files) % 2**62
        self.state = FileState(0, 0, self._begins[-1], modified_ns, 0)
        self.is_compressed = self.has_unique_ids = self.has_line_entries = False
        self.has_cheap_places = all(
            compression_of(Path(path)) is None and not Path(path).is_dir()
            for path, _ in self._files
        )

    def _opened_file(self, number: int) -> InputFile:
        """Open one of the files, in the state in which it was found."""
        file = self._opened.pop(number, None)
        if file is None:
            path, state = self._files[number]
            own = self._source.model_copy(update={"path": path})
            file = opened_file(own, roots=self._roots, rules=self._rules)
            state.check(Path(path), file.state)
        self._opened[number] = file
        if len(self._opened) > _MAX_OPEN:
            self._opened.popitem(last=False)  # closed once nobody reads it
        return file

    def reader(self, start: FilePosition = START) -> Entries:
        """Return a reader of all records, from a position on at which another has been."""
        return _Entries(start, self._readers(start))

    def _readers(self, start: FilePosition) -> "Iterator[_Part]":
        first = self._at(start.offset)
        for number in range(first, len(self._files)):
            begins, at = self._begins[number], START
            # Where one file ends another begins, whose lines are counted anew.
            if number == first and start.offset > begins:
                at = FilePosition(start.offset - begins, start.line)
            name = shown(Path(self._files[number][0]).name)
            yield _Part(begins, name, self._opened_file(number).reader(at))

    def _at(self, offset: int) -> int:
        """Return which file a byte is in."""
        return bisect_right(self._begins, offset) - 1

    def checksum(self, begin: int, end: int, so_far: int = 0) -> int:
        """Return the CRC-32 of the bytes between two places."""
        for number in range(self._at(begin), len(self._files)):
            first, behind = self._begins[number], self._begins[number + 1]
            if first >= end:
                break
            part = max(begin, first) - first, min(end, behind) - first
            so_far = self._opened_file(number).checksum(*part, so_far)
        return so_far

    def refuse_changed(self) -> None:
        """Raise InvalidInput where one of the files that are open was written to."""
        for file in self._opened.values():
            file.refuse_changed()

    def close(self) -> None:
        """Close the files; nothing more is read."""
        while self._opened:
            self._opened.popitem()[1].close()


class _Part(NamedTuple):
    """One file, as it is read."""

    begins: int
    name: str
    reader: Entries


class _Entries:
    """Reads the records of files one behind the other."""

    has_unique_ids = False

    def __init__(self, start: FilePosition, parts: Iterator[_Part]) -> None:
        self.start = start
        self._parts = parts
        self._part: _Part | None = None

    @property
    def position(self) -> FilePosition:
        """Where the entry behind the last one begins."""
        if self._part is None:
            return self.start
        offset, line = self._part.reader.position
        return FilePosition(self._part.begins + offset, line)

    def raws(self) -> Iterator[tuple[int, object]]:
        """Split the files, and no more."""
        for part in self._in_turn():
            yield from part.reader.raws()

    def entries(self) -> Iterator[Entry]:
        """Yield all entries, each found by its file, too."""
        for _, name, reader in self._in_turn():
            for position, where, value in reader.entries():
                yield Entry(f"{name[-_NAME_CHARS:]}:{position}", f"{name}, {where}", value)

    def _in_turn(self) -> Iterator[_Part]:
        for part in self._parts:
            self._part = part
            yield part
