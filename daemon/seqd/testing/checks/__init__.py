"""Checks of plugins: each clause of the contract, and that a plugin leaves its process in order.

    from seqd.testing.checks import check_plugin, source_of

    report = check_plugin(source_of(seqd_hello))
    assert not report.failed, report.lines()

`catalog` has the checks by part of a plugin, `running` runs them in processes of their own, and
`report` is what came out. The command is `seqd plugins check`; in tests, `PluginChecks` of
`seqd.testing` makes a test of each check.
"""

from typing import TYPE_CHECKING

from seqd.deferred import deferred

if TYPE_CHECKING:
    from seqd.testing.checks.examples import PluginExamples
    from seqd.testing.checks.report import CheckResult, CheckState, Report
    from seqd.testing.checks.running import check_plugin
    from seqd.testing.checks.sources import PluginSource, source_of

__all__ = [
    "CheckResult",
    "CheckState",
    "PluginExamples",
    "PluginSource",
    "Report",
    "check_plugin",
    "source_of",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = deferred(
        globals(),
        {
            "CheckResult": ".report",
            "CheckState": ".report",
            "PluginExamples": ".examples",
            "PluginSource": ".sources",
            "Report": ".report",
            "check_plugin": ".running",
            "source_of": ".sources",
        },
    )
