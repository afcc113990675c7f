"""Standard output, kept for what a command itself prints.

A plugin may print: while it is imported or called, from a thread of its own, past Python, or at the
process's end. Once a command is about to load plugins, all of that goes to standard error, so that
programs can read the rest.
"""

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO, cast

from seqd.escaping import printable_json
from seqd.standard_output import opened


@dataclass(slots=True)
class _Kept:
    """The stream that nobody else has; None while no plugin is loaded."""

    stream: TextIO | None = None


_kept = _Kept()

_STDOUT, _STDERR = 1, 2


def stdout() -> TextIO:
    """Return the stream for what the command prints."""
    return sys.stdout if _kept.stream is None else _kept.stream


class _Stdout:
    """`stdout()` as it is at each use, for whoever keeps a stream."""

    def __getattr__(self, name: str) -> object:
        return getattr(stdout(), name)


STDOUT = cast(TextIO, _Stdout())


def print_json(value: object) -> None:
    """Print a wire record, or lists and mappings of them, as JSON."""
    print_line_of_json(json.dumps(value, default=_plain, indent=2, ensure_ascii=False))


def print_line_of_json(written: str) -> None:
    """Print JSON as it is written, control characters escaped."""
    print(printable_json(written), file=stdout(), flush=True)


def keep_stdout_from_plugins() -> None:
    """Have everything else that writes to standard output write to standard error from now on.

    For the rest of the process: a plugin's threads and its functions at exit go on. Where something
    stands in the place of `sys.stdout`, it is left there.
    """
    own = sys.__stdout__
    if own is None or sys.stdout is not own:
        return
    own.flush()
    _kept.stream = opened(os.dup(_STDOUT), own, by_line=True)  # Python flushes `sys.stdout` alone
    _close_to_others()
    sys.stdout = sys.stderr


def _close_to_others() -> None:
    """Have the number of standard output stand for standard error, or for nothing without one."""
    with suppress(OSError):
        os.dup2(_STDERR, _STDOUT)
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDOUT)
    os.close(nowhere)


def _plain(value: object) -> object:
    from pydantic import BaseModel

    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is no record of the wire")
