"""How a check ends where it does not pass, and which line of the plugin is to blame."""

import inspect
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType

from seqd.errors import InvalidData, Stopped
from seqd.plugin.calls import text_of
from seqd.testing.checks.report import Place

#: Characters kept of what was seen.
SEEN_CHARS = 400


class CheckFailed(Exception):
    """The plugin does not do what the check is about."""

    def __init__(self, seen: str, cure: str, at: object = None) -> None:
        super().__init__(seen)
        self.seen = seen if len(seen) <= SEEN_CHARS else f"{seen[: SEEN_CHARS - 1]}…"
        self.cure = cure
        #: The function or class of the plugin that is to be changed, or its line.
        self.at = at


class DoesNotApply(Exception):
    """The plugin has nothing that the check is about; the message says what is missing."""


@contextmanager
def stopped(seen: str, cure: str, at: object) -> Iterator[None]:
    """Expect Stopped from a `with` block; where it is not raised, `seen` is what was seen."""
    try:
        yield
    except Stopped:
        return
    raise CheckFailed(seen, cure, at)


def roots_of(modules: Sequence[str]) -> list[Path]:
    """Return the folders of the plugin's packages, and the files of its modules."""
    return [root for name in modules if (root := _root_of(name)) is not None]


def _root_of(name: str) -> Path | None:
    module = sys.modules.get(name.partition(".")[0]) or sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if file is None:
        return None
    path = Path(file).resolve()
    return path.parent if path.name == "__init__.py" else path


def place_of(code: object, roots: Sequence[Path]) -> Place | None:
    """Return where a function or class stands; None where that is no file of the plugin.

    A place is returned as it is.
    """
    if isinstance(code, Place):
        return code
    try:
        target = inspect.unwrap(code) if callable(code) else code
        file = inspect.getsourcefile(target)  # type: ignore[arg-type]
        line = inspect.getsourcelines(target)[1]  # type: ignore[arg-type]
    except (TypeError, OSError):
        return None
    if file is None or not _is_inside(Path(file), roots):
        return None
    return Place(file=file, line=line, function=getattr(target, "__qualname__", ""))


def place_at(frame: FrameType) -> Place:
    """Return where a call stands now."""
    code = frame.f_code
    return Place(file=code.co_filename, line=frame.f_lineno, function=code.co_qualname)


def place_in(trace: TracebackType | None, roots: Sequence[Path]) -> Place | None:
    """Return the innermost line of the plugin in a traceback."""
    frames = [
        Place(file=frame.filename, line=frame.lineno or 0, function=frame.name)
        for frame in traceback.extract_tb(trace)
        if _is_inside(Path(frame.filename), roots)
    ]
    return frames[-1] if frames else None


def _is_inside(path: Path, roots: Sequence[Path]) -> bool:
    resolved = path.resolve()
    return any(resolved == root or resolved.is_relative_to(root) for root in roots)


def failure_of(error: BaseException) -> CheckFailed:
    """Return what a check that raised has found: the error, as the plugin raised it."""
    if isinstance(error, CheckFailed):
        return error
    name = type(error).__name__
    if isinstance(error, NotImplementedError):
        cure = "Write the method, or take the task out of the model's `tasks`."
    elif isinstance(error, InvalidData):
        cure = "Give records that it learns from: checks = {'data': [{'text': ..., 'label': ...}]}."
    elif isinstance(error, SystemExit):
        cure = "Raise an exception that says what is wrong; only the daemon ends its processes."
    else:
        cure = (
            "Correct the line. For an item that cannot be worked on, return an ItemError, or raise "
            "seqd.plugin's BadItem."
        )
    return CheckFailed(f"it raised {name}: {text_of(error)}".rstrip(": "), cure)
