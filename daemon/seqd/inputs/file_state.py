"""The state of a file or folder, by which a reading sees that it was written to meanwhile."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from seqd.errors import InvalidData, InvalidInput
from seqd.inputs.paths import shown

#: What is different where nothing but times tells it.
REWRITTEN = "it was written to, or its owner or mode was changed"


class FileState(NamedTuple):
    """What changes with a file's content; of a folder, with that of any `LABEL/*` in it.

    A file system notes the time of a change as exactly as its clock ticks, mostly 4 ms.
    """

    device: int
    inode: int
    size_bytes: int
    modified_ns: int
    #: Its change time, which no program can set back. A rename or unlink sets it too.
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the state of what is at a path now; all 0 where nothing is there any more."""
        try:
            status = path.stat()
            if not stat.S_ISDIR(status.st_mode):
                return cls._of(status)
            with os.scandir(path) as names:
                inner = [one for name in names if name.is_dir() for one in _within(name)]
        except OSError:
            return cls(0, 0, 0, 0, 0)
        # Not the folder's own times: an output beside the labels is none of the input.
        size_bytes = sum(one.st_size for one in inner)
        modified_ns = max((one.st_mtime_ns for one in inner), default=0)
        changed_ns = max((one.st_ctime_ns for one in inner), default=0)
        return cls(status.st_dev, status.st_ino, size_bytes, modified_ns, changed_ns)

    @classmethod
    def of_open(cls, descriptor: int) -> Self:
        """Return the state of an open file, whatever has taken its place at its path."""
        return cls._of(os.fstat(descriptor))

    @classmethod
    def _of(cls, status: os.stat_result) -> Self:
        size_bytes, modified_ns = status.st_size, status.st_mtime_ns
        return cls(status.st_dev, status.st_ino, size_bytes, modified_ns, status.st_ctime_ns)

    def is_of_another(self, now: "FileState") -> bool:
        """Return True where `now` is of another file than this, or of none."""
        return (self.device, self.inode) != (now.device, now.inode)

    def check(self, path: Path, now: "FileState") -> None:
        """Raise InvalidInput, with what is different, where `now` is another state than this.

        An open file that was moved or removed is as it was, unless its size or time tells more.
        """
        if now == self:
            return
        if not now.inode:
            raise changed(path, "it is not there any more")
        if self.is_of_another(now):
            raise changed(path, "it is another file now")
        if self.size_bytes != now.size_bytes:
            raise changed(path, f"it had {self.size_bytes:,} bytes and has {now.size_bytes:,}")
        if self.modified_ns != now.modified_ns:
            raise changed(path, "it was written to")
        if not self.is_of_another(FileState.of(path)):
            raise changed(path, REWRITTEN)


@contextmanager
def telling_changes(path: Path, state: FileState | None) -> Iterator[None]:
    """Raise InvalidInput for a change, if there was one, in the place of an error met within.

    What seems damaged, or is not there, may be so since then. `state` is None of what is no file.
    """
    try:
        yield
    except (InvalidInput, InvalidData):
        if state is not None:
            state.check(path, FileState.of(path))
        raise


def refuse_written(path: Path, state: FileState | None) -> None:
    """Raise InvalidInput where a file was written to since it was in a state.

    One that another file has taken the place of is read to its end as it was.
    """
    if state is not None and not state.is_of_another(now := FileState.of(path)):
        state.check(path, now)


def changed(path: str | Path, what: str) -> InvalidInput:
    """Return the error for an input of which what was read is no one state."""
    return InvalidInput(
        f"{shown(path)} was changed while it was read: {what}. What follows would not fit what was "
        "read before. Hand it in again once nobody writes to it any more"
    )


def _within(folder: os.DirEntry[str]) -> list[os.stat_result]:
    """Return what is known of a folder and of each file in it, which may be tens of thousands."""
    with os.scandir(folder) as files:
        return [folder.stat(), *(file.stat(follow_symlinks=False) for file in files)]
