"""The folder `run/` of a folder of data: small files by which the processes of a worker signal.

A worker removes its own when it ends. What a killed one leaves, its supervisor removes, or, for
names that never come back, any worker on that folder a day later.
"""

import re
from contextlib import suppress
from pathlib import Path

#: What the names of a worker's files end with.
HEARTBEAT = "heartbeat"
DRAINING = "draining"
CORDONED = "cordoned"
TRACE = "trace"
DEATHS = "deaths"
READINESS = "readiness"

_FILE = re.compile(
    rf"(.+)\.(?:{HEARTBEAT}|{DRAINING}|{CORDONED}|{TRACE}|{DEATHS}|{READINESS}(?:\.new)?)"
)

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

    def remove_files_of(self, worker: str) -> None:
        """Remove all files of a worker that has ended and whose name is not used again."""
        kinds = (HEARTBEAT, DRAINING, CORDONED, TRACE, DEATHS, READINESS)
        for kind in (*kinds, f"{READINESS}.new"):
            with suppress(OSError):  # what is left goes a day later
                self.file(worker, kind).unlink(missing_ok=True)

    def remove_left_behind(self, now_s: float) -> list[str]:
        """Remove the files of workers that have long been silent; return whose.

        `now_s` is the time on the clock of the file system, such as that of a file just written.
        """
        silent = self.left_behind(now_s)
        for files in silent.values():
            for path in files:
                path.unlink(missing_ok=True)
        return list(silent)

    def left_behind(self, now_s: float) -> dict[str, list[Path]]:
        """Return the files of workers that have long been silent, by worker, sorted.

        A worker is judged by the youngest of its files: while it drains, it has a heartbeat, too.
        """
        files: dict[str, list[Path]] = {}
        youngest_s: dict[str, float] = {}
        for path in self.path.iterdir() if self.path.is_dir() else ():
            match = _FILE.fullmatch(path.name)
            if match is None:
                continue
            with suppress(FileNotFoundError):  # it ended just now
                written_s = path.stat().st_mtime
                files.setdefault(match[1], []).append(path)
                youngest_s[match[1]] = max(written_s, youngest_s.get(match[1], written_s))
        silent = sorted(one for one, at_s in youngest_s.items() if now_s - at_s > LEFT_BEHIND_S)
        return {worker: files[worker] for worker in silent}
