"""Checks of plugins: each clause of the contract, and that a plugin leaves its process in order.

    from seqd.models.source_folders import source_of
    from seqd.testing.checks.running import check_plugin

    report = check_plugin(source_of(seqd_hello))
    assert not report.failed, report.lines()

`catalog` has the checks by part of a plugin, `running` runs them in processes of their own, and
`report` is what came out. The command is `seqd plugins check`; in tests, `PluginChecks` of
`seqd.testing` makes a test of each check.
"""
