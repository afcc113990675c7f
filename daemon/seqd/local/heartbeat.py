"""A heartbeat of a worker's child, and how its file is read: by the node, and by probes."""

import os
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time
from typing import Final, Self

#: Bytes of the file, which are written in place: that takes no space on a disk that is full.
FILE_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One heartbeat. Two are equal only if they are the same one."""

    #: 0 where the disk had no room to say which process.
    pid: int
    #: On the monotonic clock, which all processes of a machine share, and no other machine does.
    at_s: float

    @classmethod
    def now(cls) -> Self:
        """Return a heartbeat of this process."""
        return cls(os.getpid(), monotonic())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what `str` wrote."""
        pid, at_s = text.split()
        return cls(int(pid), float(at_s))

    def __str__(self) -> str:
        return f"{self.pid} {self.at_s}"


def read_heartbeat(path: Path) -> Heartbeat | None:
    """Return the last heartbeat in a file; None before the first one and after the worker's end."""
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES).decode("ascii", errors="replace")
            written_s = os.fstat(file.fileno()).st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return Heartbeat.parse(text)
    except ValueError:  # the disk had no room for it
        return Heartbeat(0, monotonic() - (time() - written_s))
