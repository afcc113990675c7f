"""Draws places at random, by a seed: a line of an area, and one edit of it."""

import ast
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from mutation.edits import Edit, is_lua, line_of, lines_at
from mutation.lua_edits import LuaSource
from mutation.project import Project
from mutation.python_edits import PythonSource

#: A limit, a pause or a share: one more or less of it is seldom wrong.
_LIMIT = re.compile(
    r"_S\b|_MS\b|_BYTES|_KEPT|_TTL|_LISTED|_EVERY|MARGIN|timeout|_s=|block=|count=|LIMIT|sleep|"
    r"0\.\d|\d{3,}"
)
_TIME = re.compile(r"NOW|_ms\b|_s\b|monotonic|now\(\)")


@dataclass(frozen=True)
class Place:
    """An edit of a file."""

    area: str
    path: str
    source: bytes
    edit: Edit

    @cached_property
    def id(self) -> str:
        """A name that is the same in each run on the same source."""
        text = f"{self.path}:{self.edit.start}:{self.edit.end}:{self.edit.new!r}".encode()
        return hashlib.sha256(text + self.source).hexdigest()[:12]

    @property
    def line(self) -> int:
        """The line at which the edit begins."""
        return line_of(self.source, self.edit.start)

    @property
    def before(self) -> str:
        """The lines of the edit as they are."""
        return lines_at(self.source, self.edit.start, self.edit.end)

    @property
    def first_line(self) -> str:
        """The line at which the edit begins, as it is."""
        return lines_at(self.source, self.edit.start, self.edit.start)

    @property
    def after(self) -> str:
        """The same lines with the edit in them."""
        edit = self.edit
        return lines_at(edit.apply(self.source), edit.start, edit.start + len(edit.new))

    @property
    def doubt(self) -> str:
        """Why nobody may see the difference; empty where somebody should."""
        if self.edit.rule == "constant" and _LIMIT.search(self.before):
            return "a limit off by one"
        if self.edit.rule == "boundary" and _TIME.search(self.before):
            return "a boundary of time"
        return ""


def draw(lines: Sequence[list[Place]], count: int, seed: int) -> list[Place]:
    """Return `count` places, of different lines: the same for one seed.

    More places begin with those of fewer, and a line is drawn whatever becomes of the others.
    """
    shuffled, seen = list[tuple[bytes, Place]](), Counter[str]()
    for line in lines:
        text = f"{seed} {line[0].path} {line[0].first_line}"
        seen[text] += 1
        dice = hashlib.sha256(f"{text} {seen[text]}".encode()).digest()
        shuffled.append((dice, line[int.from_bytes(dice[-4:], "big") % len(line)]))
    shuffled.sort(key=lambda row: row[0])
    return list(islice(filter(_can_run, (place for _, place in shuffled)), count))


def lines_of(project: Project, area: str) -> list[list[Place]]:
    """Return every edit of an area, line by line."""
    found = list[list[Place]]()
    for path in project.sources(area):
        source = (project.root / path).read_bytes()
        edits = (LuaSource if is_lua(path) else PythonSource)(source).edits()
        by_line: dict[int, list[Place]] = {}
        for edit in edits:
            line = line_of(source, edit.start)
            by_line.setdefault(line, []).append(Place(area, path, source, edit))
        found.extend(by_line.values())
    return found


def _can_run(place: Place) -> bool:
    if is_lua(place.path):
        return True  # the server says so at the first call
    try:
        ast.parse(place.edit.apply(place.source))
    except SyntaxError:
        return False
    return True
