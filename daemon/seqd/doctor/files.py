"""What killed processes have left in the folder of data, and its removal where that is safe.

Only what has not been touched for a day, so that neither a frozen worker nor a clock that is wrong
by hours costs anything. A folder of a training whose job is open stays, and so does one of which
nobody can tell.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from seqd.doctor.findings import Check, Finding, NotChecked, finding, listed
from seqd.local.endpoint import ENDPOINT_NAME, LOCK_NAME, is_alive, read_endpoint, server_folder
from seqd.local.redis_socket import SOCKET_NAME
from seqd.local.run_files import LEFT_BEHIND_S, RunFolder
from seqd.models.store import ModelStore
from seqd_schemas import job_of_run

if TYPE_CHECKING:
    from seqd.settings import Settings

#: Says whether the job of a training is open; None where nobody can tell.
IsOpen = Callable[[str], bool | None]

_OLD_S: Final = LEFT_BEHIND_S


@dataclass(frozen=True, slots=True)
class StaleFiles:
    """Files and folders that may go, and what they are."""

    what: str
    paths: tuple[Path, ...]

    def remove(self) -> None:
        """Remove them. Raises OSError."""
        for path in self.paths:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def file_checks(settings: "Settings", is_open: IsOpen) -> list[Check]:
    """Return the checks of what is left of killed processes."""
    return [
        Check("stale files", lambda: _check(settings, is_open)),
        Check("staged versions", lambda: _unknown(settings, is_open)),
    ]


def _check(settings: "Settings", is_open: IsOpen) -> Iterator[Finding]:
    for stale in stale_files(settings, is_open):
        yield finding(
            "stale-files",
            f"{settings.data_dir} has {stale.what}: {listed([one.name for one in stale.paths], 3)}",
            "`seqd doctor --fix` removes them",
        )


def _unknown(settings: "Settings", is_open: IsOpen) -> Iterator[Finding]:
    """Raise NotChecked for staged versions of which nobody can tell whether they are stale."""
    now_s = time.time()
    unknown = [
        path.name
        for path, run_id in ModelStore(settings.store_dir, {}).staged()
        if _youngest_is_old(path, now_s) and is_open(_job_of(run_id)) is None
    ]
    if unknown:
        raise NotChecked(f"nobody can be asked whether their jobs are open: {listed(unknown, 3)}")
    yield from ()


def stale_files(settings: "Settings", is_open: IsOpen) -> list[StaleFiles]:
    """Return what killed processes have left more than a day ago, by what it is."""
    now_s = time.time()
    found = [
        StaleFiles("files of workers that are gone", _run_files(settings, now_s)),
        StaleFiles("staged versions of trainings that are over", _staged(settings, is_open, now_s)),
        StaleFiles("drafts of files", _drafts(settings, now_s)),
        StaleFiles("the socket and address of a Redis that is gone", _endpoint(settings, now_s)),
    ]
    return [one for one in found if one.paths]


def _run_files(settings: "Settings", now_s: float) -> tuple[Path, ...]:
    silent = RunFolder(settings.data_dir).left_behind(now_s)
    return tuple(path for files in silent.values() for path in files)


def _staged(settings: "Settings", is_open: IsOpen, now_s: float) -> tuple[Path, ...]:
    return tuple(
        path
        for path, run_id in ModelStore(settings.store_dir, {}).staged()
        if _youngest_is_old(path, now_s) and is_open(_job_of(run_id)) is False
    )


def _job_of(run_id: str) -> str:
    return job_of_run(run_id)[0]


def _drafts(settings: "Settings", now_s: float) -> tuple[Path, ...]:
    drafts = ModelStore(settings.store_dir, {}).drafts()
    return tuple(path for path in drafts if _youngest_is_old(path, now_s))


def _endpoint(settings: "Settings", now_s: float) -> tuple[Path, ...]:
    """Return what an embedded server left that has ended, where no `seqd up` runs on the folder."""
    folder = server_folder(settings)
    paths = [folder / ENDPOINT_NAME, folder / SOCKET_NAME]
    there = tuple(path for path in paths if path.exists() and _youngest_is_old(path, now_s))
    if not there or _is_used(folder):
        return ()
    return there


def _is_used(folder: Path) -> bool:
    text = b""
    with suppress(OSError):
        text = (folder / LOCK_NAME).read_bytes()
    if text.isdigit() and is_alive(int(text)):
        return True
    endpoint = read_endpoint(folder / ENDPOINT_NAME)
    return endpoint is not None and is_alive(endpoint.pid)


def _youngest_is_old(path: Path, now_s: float) -> bool:
    """Return whether nothing of a file or folder was written within a day."""
    try:
        inside = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
        youngest_s = max(one.lstat().st_mtime for one in (path, *inside))
    except FileNotFoundError:  # a worker was faster
        return False
    return bool(now_s - youngest_s > _OLD_S)
