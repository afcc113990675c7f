"""Where in a plugin an error arose, or a call stands: file, line and function of its own code."""

import linecache
import os
import re
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType

from seqd.errors import wire_text
from seqd.plugin.calls import said_of

#: Packages between a plugin and the start of its process; a stack has them outside of the plugin's.
_HOST_PACKAGES = frozenset({"seqd", "billiard", "celery", "kombu", "pluggy", "pydantic"})
#: Libraries that call plugins for the daemon: a frame of theirs is named where no other is there.
_KITS = frozenset({"seqd_modelkit", "seqd_schemas"})
_STANDARD_LIBRARY = sysconfig.get_path("stdlib")

#: Frames of a traceback that are looked at, its outermost: an endless recursion has thousands.
_MAX_FRAMES = 2_000

#: Characters that an item's error has of what was raised; the place in the plugin follows.
MAX_RAISED_CHARS = 3_500

#: Errors of a chain of causes that a traceback tells of, calls of each, and characters of a line of
#: source.
_MAX_CAUSES = 4
_MAX_TRACEBACK_CALLS = 30
_MAX_SOURCE_CHARS = 200

#: Longest name of a file and of a function in a message.
_MAX_NAME_CHARS = 120

#: A call in the stacks that `faulthandler` writes.
_DUMPED = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Frame:
    """A call in a stack."""

    #: The file, from the folder of its package on: `seqd_light.py`, `seqd_markov/chain.py`.
    file: str
    line: int
    function: str
    #: False of what stands between the start of the process and the plugin.
    is_foreign: bool
    #: The file as this machine has it.
    path: str = ""

    @property
    def package(self) -> str:
        """The package or module that the file is of: `seqd_light`, `seqd_markov`."""
        return self.file.partition("/")[0].removesuffix(".py")

    def __str__(self) -> str:
        file, function = self.file[-_MAX_NAME_CHARS:], self.function[:_MAX_NAME_CHARS]
        return f"{file}, line {self.line}, in {function}"


def frame_of(file: str, line: int, function: str) -> Frame:
    """Return a frame as it is told of, without the path of this machine."""
    name = _name_of(file)
    in_library = file.startswith(f"{_STANDARD_LIBRARY}{os.sep}") and "-packages" not in file
    is_host = file.startswith("<") or in_library or name.partition("/")[0] in _HOST_PACKAGES
    return Frame(name, line, function, not is_host, file)


def package_of(file: str) -> str:
    """Return the package or module that a file is of."""
    return frame_of(file, 0, "").package


def packages_of(*modules: str) -> frozenset[str]:
    """Return which packages or modules the files of some modules may be of.

    A namespace package is none that a file is of: what follows it is.
    """
    return frozenset(part for module in modules for part in module.split("."))


def dumped_frames(stacks: str) -> list[Frame]:
    """Return the calls of stacks that `faulthandler` has written, the innermost first."""
    return [frame_of(file, int(line), name) for file, line, name in _DUMPED.findall(stacks)]


def place_among(frames: Sequence[Frame], package: str = "") -> Frame | None:
    """Return the innermost frame of the plugin, or None; `frames` has the innermost first.

    The plugin is `package` where a frame is of it. Else it is what the host has called: the
    outermost package that is neither the daemon nor, where there is another, a kit of it.
    """
    foreign = [frame for frame in frames if frame.is_foreign]
    packages = [frame.package for frame in foreign]
    if package not in packages:
        outermost = list(dict.fromkeys(reversed(packages)))
        called = [one for one in outermost if one not in _KITS] or outermost
        package = called[0] if called else ""
    return next((frame for frame in foreign if frame.package == package), None)


def place_of(error: BaseException, package: str = "") -> Frame | None:
    """Return where in the plugin an error was raised; None where none of its calls led there."""
    return place_among(frames_to(error), package)


def frames_to(error: BaseException) -> list[Frame]:
    """Return the calls that led to an error, the innermost first."""
    return [frame_of(*call) for call in _calls(error.__traceback__)][::-1]


def with_place(text: str, error: BaseException, package: str = "") -> str:
    """Return what is said of an error, with its place in the plugin where that is known."""
    place = place_of(error, package)
    return text if place is None else f"{text} ({place})"


def raised_by_plugin(error: BaseException) -> str:
    """Return what the caller of an item is told: what its plugin raised, and where."""
    said = said_of(error, MAX_RAISED_CHARS)
    return wire_text(with_place(f"The model plugin raised {said}", error))


def plugin_traceback(error: BaseException) -> str:
    """Return the plugin's part of a traceback, the innermost call last; '' where there is none.

    Also of the errors that caused it, in front. Files are named as `frame_of` names them.
    """
    parts, one = list[str](), error
    for _ in range(_MAX_CAUSES):
        parts.append(_traceback_of(one))
        cause = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        if cause is None:
            break
        one = cause
    return "\n".join(part for part in reversed(parts) if part)


def _traceback_of(error: BaseException) -> str:
    lines = list[str]()
    for file, line, function in list(_calls(error.__traceback__))[-_MAX_TRACEBACK_CALLS:]:
        frame = frame_of(file, line, function)
        if frame.is_foreign:
            source = linecache.getline(file, line).strip()[:_MAX_SOURCE_CHARS]
            lines += [f"  {frame}", f"    {source}"] if source else [f"  {frame}"]
    if not lines:
        return ""
    return wire_text("\n".join([*lines, said_of(error, MAX_RAISED_CHARS)]))


def _calls(traceback: TracebackType | None) -> Iterator[tuple[str, int, str]]:
    for _ in range(_MAX_FRAMES):
        if traceback is None:
            return
        code = traceback.tb_frame.f_code
        yield code.co_filename, traceback.tb_lineno, code.co_name
        traceback = traceback.tb_next


@cache
def _name_of(file: str) -> str:
    """Return a file's path from the folder on that its outermost package is in."""
    path = Path(file)
    folder = path.parent
    while (folder / "__init__.py").exists():
        folder = folder.parent
    return path.relative_to(folder).as_posix()
