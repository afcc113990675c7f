"""What this machine is looked at for: disks, limits of the process, memory, variables, plugins."""

import os
import resource
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from seqd.doctor.findings import Check, Finding, NotChecked, Severity, finding
from seqd.local.cgroups import memory_bytes
from seqd.local.gpus import in_gib
from seqd.variables import unknown_variables

if TYPE_CHECKING:
    from seqd.settings import Settings

_MIB: Final = 2**20
_GIB: Final = 2**30

#: Bytes left from which on a disk is told of, alone and with the part of the disk that they are.
_LEAST_BYTES: Final = 256 * _MIB
_FEW_BYTES: Final = 1 * _GIB
_SOME_BYTES, _SOME_PART = 20 * _GIB, 0.05

#: Part of the inodes that is free.
_LEAST_INODES, _FEW_INODES = 0.02, 0.1

#: Open files that a worker with a few models needs, and that are comfortable.
_LEAST_FILES, _FEW_FILES = 256, 1_024
#: Files that a Redis keeps back of those that it may have: it takes so many fewer connections.
_REDIS_FILES: Final = 32
#: Connections of a worker.
_WORKER_CONNECTIONS: Final = 7
#: Threads and processes of a user that `seqd up` with one worker needs (23 once it is ready), and
#: that one with TensorFlow comes near to.
_LEAST_PROCESSES, _FEW_PROCESSES = 64, 512

#: Seconds that all plugins together may take to load.
LOAD_S: Final = 30.0

#: Part of the memory that is left.
_LOW_MEMORY: Final = 0.05


def machine_checks(settings: "Settings") -> list[Check]:
    """Return the checks of this machine."""
    folders = {"data": settings.data_dir, "temporary files": Path(tempfile.gettempdir())}
    return [
        *(Check(f"disk of {what}", partial(_disk, folder)) for what, folder in folders.items()),
        *(Check(f"inodes of {what}", partial(_inodes, folder)) for what, folder in folders.items()),
        *limit_checks(),
        Check("memory", partial(_memory, settings)),
        Check("variables", _variables),
    ]


def limit_checks() -> list[Check]:
    """Return the checks of what this process, and those that it starts, may have of the system."""
    return [Check("limit of open files", _open_files), Check("limit of processes", _processes)]


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest above it that is there."""
    folder = folder.absolute()
    return next((one for one in (folder, *folder.parents) if one.exists()), folder)


def _disk(folder: Path) -> Iterator[Finding]:
    path = _existing(folder)
    told = os.statvfs(path)
    free, whole = told.f_bavail * told.f_frsize, told.f_blocks * told.f_frsize
    if not whole:
        raise NotChecked("its file system does not say how large it is")
    # A small disk of its own may be small on purpose: it is full when little of it is left.
    is_full = free < min(_LEAST_BYTES, whole * _SOME_PART)
    is_low = free < min(_FEW_BYTES, whole * _SOME_PART) or (
        free < _SOME_BYTES and free < whole * _SOME_PART
    )
    if is_full or is_low:
        yield finding(
            "disk-full",
            f"The disk of {path} has {_size(free)} left of {_size(whole)}",
            f"Make room: `du -xh --max-depth=2 {path} | sort -h | tail`; old logs and checkpoints "
            "first (docker/files.md), then `seqd models gc`",
            severity=Severity.ERROR if is_full else Severity.WARNING,
        )


def _inodes(folder: Path) -> Iterator[Finding]:
    path = _existing(folder)
    told = os.statvfs(path)
    if not told.f_files:
        raise NotChecked("its file system has no fixed number of them")
    part = told.f_favail / told.f_files
    if part < _FEW_INODES:
        yield finding(
            "inodes",
            f"The disk of {path} has {told.f_favail:,} inodes left of {told.f_files:,}",
            f"Remove small files: `du -x --inodes --max-depth=2 {path} | sort -n | tail` says "
            "where most are",
            severity=Severity.ERROR if part < _LEAST_INODES else Severity.WARNING,
        )


def _open_files() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _FEW_FILES:
        connections = hard - _REDIS_FILES  # it raises its own limit as far as it may
        redis = (
            f". A Redis that is started here takes {connections:,} connections, of which each "
            f"worker has {_WORKER_CONNECTIONS}"
        )
        yield finding(
            "open-files-limit",
            f"A process may have {soft:,} files open here (at most {hard:,} after a raise), and a "
            f"worker needs {_LEAST_FILES}{redis if 0 <= connections < _FEW_FILES else ''}",
            "`ulimit -n 65536` before the start, LimitNOFILE= in systemd, `ulimits` in Compose",
            severity=Severity.ERROR if soft < _LEAST_FILES else Severity.WARNING,
        )


def _processes() -> Iterator[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if soft != resource.RLIM_INFINITY and soft < _FEW_PROCESSES:
        yield finding(
            "processes-limit",
            f"This user may have {soft:,} processes and threads, and `seqd up` with one worker "
            f"needs {_LEAST_PROCESSES}, with TensorFlow some hundreds",
            "`ulimit -u 4096` before the start, TasksMax= in systemd, `pids_limit` in Compose",
            severity=Severity.ERROR if soft < _LEAST_PROCESSES else Severity.WARNING,
        )


def _memory(settings: "Settings") -> Iterator[Finding]:
    whole = memory_bytes()
    cache = settings.model_cache_bytes
    if cache > whole:
        yield finding(
            "memory-low",
            f"A worker may keep {in_gib(cache)} of models (SEQD_MODEL_CACHE_BYTES), and this "
            f"machine or its control group has {in_gib(whole)}",
            "Set SEQD_MODEL_CACHE_BYTES to what docker/sizing.md says, or give it more memory",
        )
    free = _available_bytes()
    if free < _LOW_MEMORY * whole:
        yield finding(
            "memory-low",
            f"{in_gib(free)} of memory are left here of {in_gib(whole)}",
            "`ps -eo rss,pid,args --sort -rss | head` says who has it; run fewer slots, or lower "
            "SEQD_MODEL_CACHE_BYTES",
        )


def _available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    raise NotChecked("/proc/meminfo does not say what is available")


def _variables() -> Iterator[Finding]:
    for variable in unknown_variables():
        yield finding(
            "settings-unknown",
            variable.sentence,
            "Correct the name, or remove the variable; `seqd settings` lists those that there are",
        )


def _size(count: int) -> str:
    return in_gib(count) if count >= _GIB else f"{count / _MIB:.0f} MiB"


def plugin_checks(settings: "Settings", load_s: float = LOAD_S) -> list[Check]:
    """Return the check of the plugins here: each is loaded, in a process of its own.

    One that ends its process at its import, or hangs there, costs the examination nothing else.
    """
    return [Check("plugins here", lambda: _plugins(settings, load_s))]


def _plugins(settings: "Settings", load_s: float) -> Iterator[Finding]:
    from seqd.models.apart import Ended, plugins_here

    here = plugins_here(settings, load_s)
    if isinstance(here, Ended):
        what = (
            f"A plugin here ended the process that loads plugins, with {here.how}: {here.last_line}"
        )
        cure = "`seqd plugins list` shows the same; leave it out: SEQD_DISABLED_PLUGINS"
        if here.is_late:
            what = f"The plugins here were not loaded within {load_s:g} s{here.stood}"
            cure = "Mend what hangs at its import, or leave it out: SEQD_DISABLED_PLUGINS"
        yield finding("plugin-broken", what, cure, severity=Severity.ERROR)
        return
    for name, reason in here.broken:
        yield finding(
            "plugin-broken",
            f"The plugin {name} is broken here: {reason}",
            f"Mend it (`seqd plugins check {name}`), or leave it out: SEQD_DISABLED_PLUGINS",
        )
    if here.required:
        yield finding(
            "plugin-missing",
            here.required,
            "Install what is missing, or correct the setting",
            severity=Severity.ERROR,
        )
