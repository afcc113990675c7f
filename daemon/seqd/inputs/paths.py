"""Decides which file or folder an input is, and whether it may be opened at all.

Looks at names and kinds only and opens nothing but regular files. What is in a file is the
business of `streams` and `records`.
"""

import errno
import os
import stat
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, TypeVar

from seqd.errors import InvalidInput
from seqd.objects import is_place, is_url
from seqd_schemas import FileFormat

F = TypeVar("F", bound=StrEnum)

#: Formats by the end of the name, behind which `.gz` or `.zst` may follow.
KNOWN_SUFFIXES = {".jsonl": FileFormat.JSONL, ".csv": FileFormat.CSV, ".txt": FileFormat.LINES}

_KINDS = (
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
)


#: How a folder on the way to a file is opened: never through a link, and for nothing else.
_FOLDER_FLAGS = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
#: Non-blocking, in case a pipe took the file's place since the look at it.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Compression(StrEnum):
    """How a file is compressed, named as the program that does it."""

    GZIP = "gzip"
    ZSTD = "zstd"

    @property
    def suffix(self) -> str:
        """What such a file's name ends in."""
        return ".gz" if self is Compression.GZIP else ".zst"

    @property
    def magic(self) -> bytes:
        """What such a file begins with."""
        return b"\x1f\x8b" if self is Compression.GZIP else b"\x28\xb5\x2f\xfd"


class Access(NamedTuple):
    """What may be done where."""

    done: str
    does: str
    #: What allows it, and what to do where nothing does.
    setting: str
    instead: str


READ = Access("read", "read", "SEQD_INPUT_ROOTS", "Upload the items")

#: Folders that are open to jobs: paths, and URLs as they are.
Roots = tuple[Path | str, ...]


def check_path(path: str | Path, roots: Roots) -> Path:
    """Return the real path, links resolved, of a file or folder under one of the roots.

    Raises InvalidInput for a relative path, one that leads outside all roots (existing or
    not: what lies outside is not told), a missing one, and what is no file or folder.
    """
    refuse_url(path)
    real = Path(below_roots(path, roots, READ))
    _status(real)
    return real


def below_roots(path: str | Path, roots: Roots, access: Access) -> str:
    """Return the real path, links resolved, of what may be there or not, under one of the roots.

    Or the URL. Raises InvalidInput.
    """
    has_url, asked = is_url(str(path)), Path(path)
    if has_url:
        check_url(str(path))
    elif not asked.is_absolute():
        raise InvalidInput(f"{shown(asked)} is a relative path; allowed: an absolute one")
    what = "URL" if has_url else "folder"
    if not any(isinstance(root, str) is has_url for root in roots):
        raise InvalidInput(
            f"{shown(path)} may not be {access.done}: no {what} is open to jobs here. "
            f"{access.instead}, or set {access.setting} on the workers to the {what}s that jobs "
            f"may {access.does}"
        )
    real = str(path).rstrip("/") if has_url else str(_resolved(asked))
    if not any(_is_below(real, root) for root in roots):
        names = ", ".join(str(root) for root in roots)
        raise InvalidInput(
            f"{shown(path)} is outside the folders that jobs may {access.does}: {names}. Move it "
            f"there, or add its folder to {access.setting} on the workers"
        )
    return real


def check_url(url: str) -> None:
    """Raise InvalidInput for a URL that names nothing in a bucket of S3."""
    if not is_place(url):
        raise InvalidInput(f"{shown(url)} is a URL; allowed: a path, or s3://BUCKET/FOLDER/NAME")


def _is_below(real: str, root: Path | str) -> bool:
    if isinstance(root, Path):
        return not is_url(real) and Path(real).is_relative_to(root.resolve())
    return f"{real}/".startswith(f"{root.rstrip('/')}/")


def require_root(path: str | Path, roots: Roots) -> None:
    """Raise FileNotFoundError where the folder open to jobs that a path is under is not there.

    Or is empty, as a share's is that is not mounted: no mistake of whoever named the path.
    """
    for root in roots:
        if isinstance(root, Path) and Path(path).is_relative_to(root) and _is_away(root):
            raise FileNotFoundError(errno.ENOENT, "a folder open to jobs is away", str(root))


def locate(path: str | Path) -> Path:
    """Return the real path of an existing file or folder; raise InvalidInput if there is none."""
    refuse_url(path)
    real = _resolved(Path(path))
    _status(real)
    return real


def format_of(path: Path, declared: FileFormat) -> FileFormat:
    """Return the declared format of workers' files, or for AUTO the one that the name tells.

    Raises InvalidInput where the name tells nothing, or where a folder meets a file's format.
    """
    allowed = "each also with .gz or .zst. Rename it, or name its format: jsonl, csv or lines"
    return format_among(KNOWN_SUFFIXES, path, declared, allowed)


def format_among(suffixes: Mapping[str, F], path: Path, declared: F, allowed: str) -> F:
    """Return the format of a file or folder, as `format_of` does, among those of some suffixes.

    `allowed` ends the message where the name tells nothing.
    """
    if path.is_dir():
        if declared in ("auto", "folder"):
            return type(declared)("folder")
        raise InvalidInput(f"{shown(path)} is a folder; a {declared} input is one file")
    if declared == "folder":
        raise InvalidInput(f"{shown(path)} is a file; a folder input holds LABEL/*.txt")
    if declared != "auto":
        return declared
    plain = path if compression_of(path) is None else path.with_suffix("")
    known = suffixes.get(plain.suffix.lower())
    if known is None:
        raise InvalidInput(
            f"the format of {shown(path)} is unknown; known names end in {', '.join(suffixes)}, "
            f"{allowed}"
        )
    return known


def compression_of(path: Path) -> Compression | None:
    """Tell how the name says that the file is compressed; None if it says nothing."""
    suffix = path.suffix.lower()
    return next((known for known in Compression if known.suffix == suffix), None)


def open_regular(path: Path) -> int:
    """Open a regular file for reading and give its descriptor, which the caller closes.

    Never opens a device or waits on a pipe, and follows no link anywhere on the path: pass the
    real path. So a folder that somebody swaps for a link after the path was checked leads
    nowhere. Raises InvalidInput.
    """
    kind = _status(path)
    if stat.S_ISDIR(kind):
        raise InvalidInput(f"{shown(path)} is a folder; a file is due here")
    try:
        descriptor = open_below(path.absolute())
    except OSError as error:
        raise InvalidInput(f"{shown(path)} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidInput(f"{shown(path)} is not a regular file any more")
    return descriptor


def shown(path: str | Path) -> str:
    """Return a path as a message shows it: control characters and surrogates escaped.

    Of a URL without its credentials.
    """
    text = str(path)
    if isinstance(path, Path) and text.startswith("s3:/"):
        text = text.replace("/", "//", 1)  # a URL has lost one as a path
    if is_url(text) and not is_place(text):  # an object's name may hold what parts them
        before, has_credentials, behind = text.rpartition("@")
        text = f"{before.partition('://')[0]}://***@{behind}" if has_credentials else text
    return text if text.isprintable() else ascii(text)


def _is_away(root: Path) -> bool:
    try:
        with os.scandir(root) as entries:
            return next(entries, None) is None
    except (FileNotFoundError, NotADirectoryError):
        return True


def open_below(path: Path, flags: int = _FILE_FLAGS) -> int:
    """Open an absolute path folder by folder, each within the one before; raises OSError."""
    folder = os.open(path.anchor, _FOLDER_FLAGS)
    try:
        for name in path.parts[1:-1]:
            inner = os.open(name, _FOLDER_FLAGS, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(path.name, flags, dir_fd=folder)
    finally:
        os.close(folder)


def refuse_url(path: str | Path) -> None:
    """Raise InvalidInput for a URL."""
    if is_url(str(path)):
        raise InvalidInput(
            f"{shown(path)} is a URL; allowed: the path of a file or folder. Download it first, or "
            "have workers read it (s3://): as a job's FileSource, or with --output-folder"
        )


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL in the name
        raise InvalidInput(f"{shown(path)} is not a usable path: {error}") from error


def _status(path: Path) -> int:
    """Return the mode of a file or folder; raise InvalidInput for anything else."""
    try:
        mode = path.stat(follow_symlinks=False).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidInput(f"{shown(path)} does not exist. Check the path") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidInput(f"{shown(path)} cannot be read: {reason}") from error
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return mode
    kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "no regular file")
    raise InvalidInput(f"{shown(path)} is {kind}; allowed: a regular file or a folder")
