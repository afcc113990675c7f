"""Notes which blocks run, in every process of a marked copy; stands on its path by itself.

A line has the block, the test, and the time. The test counts in pytest's own process; elsewhere,
as in a worker that several tests share, only the time tells which test it was.
"""

import fcntl
import os
import time

_seen: set[tuple[int, str, int]] = set()
#: Stands for a test that a child does not know.
_CHILD = "?"
#: A child notes a block again after so long, for the next test.
_CHILD_S = 0.25
# Read once: a test may empty the environment.
_FILE, _PYTEST = os.environ.get("MUTATION_HITS"), os.environ.get("MUTATION_PYTEST")


def _opened() -> int:
    """Open the file once, by a number that nobody else gets: tests look at what is opened."""
    if _FILE is None:
        return -1
    low = os.open(_FILE, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    high = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 900)
    os.close(low)
    return high


_descriptor = _opened()


def hit(block: int) -> None:
    """Note that a block has been entered."""
    is_child = str(os.getpid()) != _PYTEST
    test = _CHILD if is_child else os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    key = (block, test, int(time.time() / _CHILD_S) if is_child else 0)
    if key in _seen or _FILE is None:
        return
    _seen.add(key)
    line = f"{block}\t{time.time()}\t{test}\n".encode("utf-8", "backslashreplace")
    try:
        os.write(_descriptor, line)
    except OSError:  # somebody has closed it
        globals()["_descriptor"] = _opened()
        os.write(_descriptor, line)
