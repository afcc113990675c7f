"""What may be skipped in CI; a plugin that `conftest` loads.

With SEQD_CI=1 a test, or a file, that is skipped fails, unless `allowed_skips.toml` lists it. At a
desk a skip stays a skip.
"""

import os
import tomllib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

VARIABLE = "SEQD_CI"
ALLOWED = Path(__file__).parent / "allowed_skips.toml"


@dataclass(frozen=True)
class AllowedSkip:
    """Tests whose ids begin with a text may be skipped for a reason that begins with another."""

    tests: str
    reason: str
    why: str


class SkipGate:
    """Makes a failure of each skip that is not allowed."""

    def __init__(self, allowed: list[AllowedSkip]) -> None:
        self._allowed = allowed

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        if call.excinfo is not None and isinstance(call.excinfo.value, pytest.skip.Exception):
            reason = str(call.excinfo.value)
            if not self._is_allowed(item.nodeid, reason):
                call.excinfo = _failure(_refusal(item.nodeid, reason))
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self,
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        if report.skipped and isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
            if not self._is_allowed(report.nodeid, reason):
                report.outcome, report.longrepr = "failed", _refusal(report.nodeid, reason)
        return report

    def _is_allowed(self, test: str, reason: str) -> bool:
        return any(
            test.startswith(one.tests) and reason.startswith(one.reason) for one in self._allowed
        )


def read_allowed(path: Path) -> list[AllowedSkip]:
    """Return the skips that a file allows."""
    return [AllowedSkip(**entry) for entry in tomllib.loads(path.read_text("utf-8"))["allowed"]]


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get(VARIABLE) == "1":
        config.pluginmanager.register(SkipGate(read_allowed(ALLOWED)))


def pytest_collection_finish() -> None:
    """Hide the variable from what tests start: to seqd it is a setting that there is not."""
    os.environ.pop(VARIABLE, None)


def _refusal(test: str, reason: str) -> str:
    return (
        f"{test} was skipped, which {VARIABLE}=1 does not allow: {reason}\n"
        f"Install what is missing, in .ci/run too, or list the skip in tests/{ALLOWED.name}."
    )


def _failure(text: str) -> pytest.ExceptionInfo[BaseException]:
    try:
        pytest.fail(text, pytrace=False)
    except pytest.fail.Exception as error:
        return pytest.ExceptionInfo.from_exception(error)
