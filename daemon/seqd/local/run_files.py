"""The folder `run/` of a folder of data: small files in which the processes of a worker say things.

A worker removes its own when it ends. What a killed one leaves, its supervisor removes, or, for
names that never come back, the next worker that starts there, a day later.
"""

import json
import os
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from time import monotonic, time
from typing import Final, Self

#: What the names of a worker's files end with.
HEARTBEAT = "heartbeat"
DRAINING = "draining"
TRACE = "trace"
DEATHS = "deaths"
READINESS = "readiness"

#: Those of one worker. The file of deaths is of its place, and stays for the next one there.
_OF_WORKER = (HEARTBEAT, DRAINING, TRACE, READINESS, f"{READINESS}.new")
_FILE = re.compile(rf"(.+)\.(?:{'|'.join(map(re.escape, (*_OF_WORKER, DEATHS)))})")

#: Seconds without a heartbeat, after which a worker's files count as left behind. Its host, its
#: processes and its clock may be others than ours, for the folder may be shared: so it is a day, on
#: the clock of the file system, where a heartbeat comes each 20 minutes at least.
LEFT_BEHIND_S = 24 * 3_600.0


class RunFolder:
    """The folder; it need not exist."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "run"

    def file(self, worker: str, kind: str) -> Path:
        """Return the path of a file of a worker."""
        return self.path / f"{worker.replace('/', '_')}.{kind}"

    def workers(self) -> list[str]:
        """Return the workers that have a heartbeat here, of all hosts that share the folder."""
        ending = f".{HEARTBEAT}"
        return sorted(path.name.removesuffix(ending) for path in self.path.glob(f"*{ending}"))

    def remove_files_of(self, worker: str, but: Collection[str] = ()) -> None:
        """Remove the files of a worker that has ended, but some kinds that its next one reads."""
        for kind in {*_OF_WORKER}.difference(but):
            with suppress(OSError):  # what is left goes a day later
                self.file(worker, kind).unlink(missing_ok=True)

    def remove_left_behind(self, now_s: float) -> None:
        """Remove the files of workers that have long been silent.

        A worker is judged by the youngest of its files: while it drains, it has a heartbeat, too.
        """
        youngest_s: dict[str, float] = {}
        for path in self.path.iterdir() if self.path.is_dir() else ():
            match = _FILE.fullmatch(path.name)
            if match is None:
                continue
            with suppress(FileNotFoundError):  # it ended just now
                written_s = path.stat().st_mtime
                youngest_s[match[1]] = max(written_s, youngest_s.get(match[1], written_s))
        for worker, at_s in youngest_s.items():
            if now_s - at_s > LEFT_BEHIND_S:
                self.remove_files_of(worker)
                with suppress(OSError):
                    self.file(worker, DEATHS).unlink(missing_ok=True)


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


#: Bytes that are read at most: 64 versions that are unfit, with a sentence each, take less.
_MOST_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Readiness:
    """What a worker can run, as its child last wrote it down, for probes, which ask no Redis.

    The child replaces the file as a whole when something has changed, and its node removes it when
    the child has ended.
    """

    #: Seconds by which its heartbeat may be old.
    lease_s: float
    #: Why it is ready for no model, such as `is starting`; '' where it takes work.
    why_not: str
    #: Models without which it is not ready, as its settings name them.
    required: tuple[str, ...]
    #: Those that are warm, loaded and run once, as `imdb_lstm@3` or `imdb_lstm (trains)`.
    warm: Mapping[str, str]
    #: The others that the slot can run, each with why it is not.
    cold: Mapping[str, str]


def write_readiness(path: Path, readiness: Readiness, *, is_ready: bool) -> None:
    """Replace the file. Where that fails, none is left, and the OSError is raised.

    `is_ready` and `lease_s` come first, for `docker/seqd-probe.sh`, which reads no more than that.
    """
    first = {"is_ready": is_ready, "lease_s": readiness.lease_s}
    draft = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(first | asdict(readiness)), encoding="utf-8")
        draft.replace(path)
    except OSError:
        # What an old one says may not hold any more.
        for left in (path, draft):
            with suppress(OSError):
                left.unlink(missing_ok=True)
        raise


def read_readiness(path: Path) -> Readiness | None:
    """Return what the file says; None where it is missing or makes no sense."""
    try:
        with path.open("rb") as file:
            said = json.loads(file.read(_MOST_BYTES))
        # What a later release says beside these fields is left out.
        made = Readiness(**{field.name: said[field.name] for field in fields(Readiness)})
        return replace(made, warm=dict(made.warm), cold=dict(made.cold))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError):
        return None
