"""Tracebacks as an author needs them: the calls of the plugin, without those of the daemon."""

import traceback
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

#: Packages that lead to the plugin, or that it calls: nothing its author is to mend.
_NOT_THEIRS = ("seqd", "importlib", "pluggy", "pydantic")


def plugin_traceback(error: BaseException) -> str:
    """Return an error with the calls of the plugin that led to it, file and line of each.

    What is left out are the daemon's own calls and those of the import system.
    """
    shown = traceback.TracebackException.from_exception(error, compact=True)
    for one in _chain(shown):
        one.stack = traceback.StackSummary.from_list(
            [frame for frame in one.stack if _is_theirs(frame.filename)]
        )
    return "".join(shown.format()).rstrip("\n")


def _chain(
    shown: "traceback.TracebackException | None",
) -> "Iterator[traceback.TracebackException]":
    while shown is not None:
        yield shown
        shown = shown.__cause__ or shown.__context__


def _is_theirs(filename: str) -> bool:
    return not filename.startswith((*_folders(), "<frozen ", "<string>"))


@cache
def _folders() -> tuple[str, ...]:
    specs = filter(None, map(find_spec, _NOT_THEIRS))
    return tuple(f"{Path(spec.origin).parent}/" for spec in specs if spec.origin)
