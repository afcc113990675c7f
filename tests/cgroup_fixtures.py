"""Control groups of a test's own, for processes that are to run out of memory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from worker_fixtures import wait_until

#: More than a worker of the light plugin has, and less than its trick `memory` takes.
LIMIT_BYTES = 512 * 1024 * 1024

#: Where control groups can be made, with the file of the limit: of version 1, and of version 2.
PLACES = (
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
    (Path("/sys/fs/cgroup"), "memory.max"),
)


class NoGroup(Exception):
    """No control group with a limit can be made here."""


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group with little memory; skips where none can be made."""
    try:
        with a_small_group() as folder:
            yield folder
    except NoGroup as error:
        pytest.skip(str(error))


@contextmanager
def a_small_group() -> Iterator[Path]:
    """Yield the folder of a control group with little memory. Raises NoGroup."""
    for top, limit in PLACES:
        folder = top / f"seqd-test-{os.getpid()}"
        with suppress(OSError):
            folder.mkdir()
            try:
                (folder / limit).write_text(f"{LIMIT_BYTES}\n")
                yield folder
            finally:
                wait_until(partial(_is_removed, folder), "the group has no process left")
            return
    raise NoGroup("no control group with a limit can be made here: that needs root")


def _is_removed(folder: Path) -> bool:
    with suppress(OSError):
        folder.rmdir()
    return not folder.exists()


@contextmanager
def within(group: Path) -> Iterator[None]:
    """Have what is started in the block be in a group."""
    before = _own_group(group)
    (group / "cgroup.procs").write_text(f"{os.getpid()}\n")
    try:
        yield
    finally:
        (before / "cgroup.procs").write_text(f"{os.getpid()}\n")


def _own_group(group: Path) -> Path:
    """The folder of this process's own group, of the same kind as another."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    wanted = "memory" if group.parent.name == "memory" else ""
    path = next(path for _, names, path in lines if wanted in names.split(","))
    return group.parent / path.lstrip("/")
