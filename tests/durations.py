"""How long each test takes, from run to run; a plugin that `conftest` loads.

A run keeps the seconds of each test that passed (setup, call and teardown) in `.pytest_cache`, and
ends with its slowest files and with the tests that have become much slower since they last ran.
"""

from collections import defaultdict
from collections.abc import Mapping

import pytest

#: The record, below `.pytest_cache/v`; `--cache-show 'seqd/*'` prints it.
RECORD = "seqd/durations"

#: A test is named that takes so many times as long, and so much longer: less is noise.
TIMES, LONGER_S = 3.0, 5.0

#: A machine that is busy slows hundreds down; the worst are enough.
MOST_NAMED = 20

FILES = 10


class Durations:
    """The seconds of each test of a run."""

    def __init__(self, cache: pytest.Cache) -> None:
        self._cache = cache
        self._seconds = defaultdict[str, float](float)
        self._not_passed = set[str]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] += report.duration
        if not report.passed:
            self._not_passed.add(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        before: dict[str, float] = self._cache.get(RECORD, {})
        now = {
            test: round(seconds, 2)
            for test, seconds in self._seconds.items()
            if test not in self._not_passed
        }
        self._cache.set(RECORD, before | now)
        for title, lines in (
            (f"slowest {FILES} files", slowest_files(self._seconds)),
            ("slower than when they last ran", slower_tests(before, now)),
        ):
            if lines:
                terminalreporter.section(title)
                terminalreporter.write("".join(f"{line}\n" for line in lines))


def slowest_files(seconds: Mapping[str, float]) -> list[str]:
    """Return a line for each of the slowest files; none where there is but one."""
    files = defaultdict[str, float](float)
    for test, taken_s in seconds.items():
        files[test.partition("::")[0]] += taken_s
    if len(files) == 1:
        return []
    slowest = sorted(files, key=lambda file: files[file], reverse=True)
    return [f"{files[file]:.1f} s {file}" for file in slowest[:FILES]]


def slower_tests(before: Mapping[str, float], now: Mapping[str, float]) -> list[str]:
    """Return a line for each test that has become much slower, the worst first."""
    slower = [
        test
        for test in now.keys() & before.keys()
        if now[test] > max(TIMES * before[test], LONGER_S + before[test])
    ]
    slower.sort(key=lambda test: before[test] - now[test])
    lines = [f"{now[test]:.1f} s, and {before[test]:.1f} s before: {test}" for test in slower]
    if len(lines) > MOST_NAMED:
        lines[MOST_NAMED:] = [f"and {len(lines) - MOST_NAMED} more"]
    return lines


def pytest_configure(config: pytest.Config) -> None:
    is_worker = hasattr(config, "workerinput")  # of pytest-xdist, which reports to another process
    cache = getattr(config, "cache", None)  # None by `-p no:cacheprovider`, as `make mutate` runs
    if cache is not None and not is_worker:
        config.pluginmanager.register(Durations(cache))
