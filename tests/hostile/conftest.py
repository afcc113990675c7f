"""Says at the end of a run how many hostile cases it made."""

import pytest

from hostile_cases import Count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if Count.cases:
        terminalreporter.write_line(f"hostile cases run: {Count.cases:,}")
