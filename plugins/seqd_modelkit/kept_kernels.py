"""Keeps compiled kernels on disk, for the next process that needs them.

Numba's own cache knows that a kernel's file has changed, but not that one has which it calls, so
kernels of each state of the sources lie in a folder of their own. The folders are in that of
NUMBA_CACHE_DIR, which the daemon sets for its workers; without it nothing is kept.
"""

import fcntl
import hashlib
import logging
import re
import shutil
import sys
import time
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import numba
import numpy as np
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    UserProvidedCacheLocator,
)
from numba.core.registry import cpu_target

log = logging.getLogger(__name__)

#: Folders of one package that are kept: those of the last states of its sources, on any processor.
KEPT_FOLDERS = 8

#: Seconds that a process waits for the one that compiles, before it compiles for itself.
WAIT_S = 60.0
_LOOK_S = 0.05


def keep(kernel: Any) -> None:
    """Have a kernel's compiled code kept, where there is a folder for it that can be written."""
    if _root() and hasattr(kernel, "enable_caching"):  # else a plain function
        try:
            kernel._cache = _Cache(kernel.py_func)
        except (OSError, RuntimeError) as error:
            _say_once(repr(error))


def _root() -> str:
    return str(getattr(numba.config, "CACHE_DIR", ""))


@cache
def folder_of(package: str) -> Path:
    """Return the folder of a package's kernels as its sources are now, and make it.

    Raises OSError where it cannot be made.
    """
    digest = hashlib.sha256()
    for name in sorted({package, __name__.partition(".")[0]}):
        for path in _sources(name):
            digest.update(path.read_bytes())
    processor = cpu_target.target_context.codegen().magic_tuple()
    # NumPy for the layout of its arrays.
    versions = (sys.version, numba.__version__, version("llvmlite"), np.__version__)
    digest.update(repr((processor, versions)).encode())
    root = Path(_root())
    folder = root / f"{package}-{digest.hexdigest()[:16]}"
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_old(root, package)
    return folder


def _sources(package: str) -> list[Path]:
    module = sys.modules[package]
    if not hasattr(module, "__path__"):
        return [Path(str(module.__file__))]
    return sorted(path for folder in module.__path__ for path in Path(folder).rglob("*.py"))


def _remove_old(root: Path, package: str) -> None:
    """Remove what is more than is kept. Who still needs it compiles again at its next start."""
    ours = re.compile(re.escape(package) + "-[0-9a-f]{16}")
    folders = [path for path in root.iterdir() if ours.fullmatch(path.name)]
    for path in sorted(folders, key=lambda path: path.stat().st_mtime)[:-KEPT_FOLDERS]:
        shutil.rmtree(path, ignore_errors=True)


@cache
def _say_once(why: str) -> None:
    log.warning("compiled kernels are not kept, so each start compiles them: %s", why)


class _Locator(UserProvidedCacheLocator):
    def __init__(self, function: Callable[..., object], file: str) -> None:
        super().__init__(function, file)
        self._cache_path = str(folder_of(function.__module__.partition(".")[0]))


class _Files(CompileResultCacheImpl):
    # No other: Numba would write beside the sources.
    _locator_classes = [_Locator]  # noqa: RUF012 (as Numba declares it)


class _Cache(FunctionCache):
    """Numba's own; one process at a time compiles, and what cannot be read is compiled again."""

    _impl_class = _Files

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__(function)
        self._lock: IO[bytes] | None = None

    def load_overload(self, sig: object, target_context: object) -> object:
        """Return the code for a signature; None where this process is to compile it."""
        found = self._read(sig, target_context)
        if found is None:
            self._unlock()
            self._lock = _locked(Path(self.cache_path))
            found = self._read(sig, target_context)
            if found is not None:
                self._unlock()
        return found

    def save_overload(self, sig: object, data: object) -> None:
        """Keep what was compiled, if it can be."""
        try:
            super().save_overload(sig, data)
        except Exception as error:  # noqa: BLE001  a full disk, or whatever a pickle raises
            _say_once(repr(error))
        finally:
            self._unlock()

    def _read(self, sig: object, target_context: object) -> object:
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # noqa: BLE001  cut short by a power failure: anything
            log.warning("kept kernel is damaged, and compiled again: %s", error)
            try:
                self.flush()
            except OSError as full:
                _say_once(repr(full))
            return None

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _locked(folder: Path) -> IO[bytes] | None:
    """Return the lock of a folder, held until it is closed; None where it cannot be had in time."""
    deadline = time.monotonic() + WAIT_S
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # somebody may have removed it
        lock = (folder / "lock").open("ab")
        while time.monotonic() < deadline:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_LOOK_S)
            else:
                return lock
        lock.close()
    except OSError as error:  # such as a file system without locks
        _say_once(repr(error))
    return None
