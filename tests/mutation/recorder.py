"""A plugin of pytest that notes each test, when it ran, and whether it passed.

What one run of pytest keeps for all its tests, such as a worker, it ends at the end of each file:
what runs on would be noted for the tests of the next file.
"""

import json
import os
import time
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

os.environ["MUTATION_PYTEST"] = str(os.getpid())

_began_s: dict[str, float] = {}
_failed: set[str] = set()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    if nextitem is None or nextitem.path == item.path:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    runtestprotocol(item, nextitem=None)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_runtest_logstart(nodeid: str) -> None:
    _began_s[nodeid] = time.time()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if not report.passed:  # skipped is no more use than failed
        _failed.add(report.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_runtest_logfinish(nodeid: str) -> None:
    row = {
        "test": nodeid,
        "began_s": _began_s[nodeid],
        "ended_s": time.time(),
        "passed": nodeid not in _failed,
    }
    with Path(os.environ["MUTATION_TESTS"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
