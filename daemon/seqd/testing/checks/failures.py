"""How a check ends where it does not pass, and which line of the plugin is to blame."""

import inspect
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import FrameType

from seqd.errors import InvalidData, Stopped
from seqd.models import plugin_frames
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


def place_of(code: object, packages: Collection[str]) -> Place | None:
    """Return where a function or class stands; None where that is no file of the plugin's packages.

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
    if file is None or plugin_frames.package_of(file) not in packages:
        return None
    return Place(file=file, line=line, function=getattr(target, "__qualname__", ""))


def place_at(frame: FrameType) -> Place:
    """Return where a call stands now."""
    code = frame.f_code
    return Place(file=code.co_filename, line=frame.f_lineno, function=code.co_qualname)


def place_in(error: BaseException, packages: Collection[str]) -> Place | None:
    """Return the innermost line of the plugin's packages that an error came through."""
    for frame in plugin_frames.frames_to(error):
        if frame.package in packages:
            return Place(file=frame.path, line=frame.line, function=frame.function)
    return None


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
