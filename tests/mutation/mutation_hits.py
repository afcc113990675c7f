"""Notes which blocks run, in every process of a marked copy; stands on its path by itself.

A line has the block, the test, and the time. The test counts in pytest's own process; elsewhere,
as in a worker that several tests share, only the time tells which test it was.
"""

import os
import time

_seen: set[tuple[int, str, int]] = set()
#: Stands for a test that a child does not know.
_CHILD = "?"
#: A child notes a block again after so long, for the next test.
_CHILD_S = 0.25


def hit(block: int) -> None:
    """Note that a block has been entered."""
    is_child = os.environ.get("MUTATION_PYTEST") != str(os.getpid())
    test = _CHILD if is_child else os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    key = (block, test, int(time.time() / _CHILD_S) if is_child else 0)
    if key in _seen or "MUTATION_HITS" not in os.environ:
        return
    _seen.add(key)
    line = f"{block}\t{time.time()}\t{test}\n".encode("utf-8", "backslashreplace")
    descriptor = os.open(os.environ["MUTATION_HITS"], os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, line)
    os.close(descriptor)
