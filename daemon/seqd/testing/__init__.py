"""For tests: of plugins, contexts in memory; of services, a daemon in the test's own process.

    from seqd.inputs.datasets import TextDataset
    from seqd.testing import train_to_artifact

    def test_a_trained_chain_opens(tmp_path):
        data = TextDataset("abab", "two letters")

        artifact = train_to_artifact(MyModel(), {"order": 1}, data, tmp_path)

        assert artifact.manifest.metrics["states"] == 2

What a plugin is tested by needs no Redis and no worker. `PluginChecks` makes a test of each clause
of the contract: `class TestMine(PluginChecks): plugin = my_module`. `running_services` has Redis
and a worker; its fixtures for pytest are in `seqd.testing.services`.
"""

from typing import TYPE_CHECKING

from seqd.deferred import deferred

if TYPE_CHECKING:
    from seqd.testing.checks.examples import PluginExamples
    from seqd.testing.checks.pytest_checks import PluginChecks
    from seqd.testing.contexts import (
        CPU,
        BatchReport,
        EpochReport,
        MemoryCheckpoints,
        MemoryRunContext,
        MemoryTrainContext,
        SampleReport,
        StepReport,
        StreamedDelta,
    )
    from seqd.testing.in_process.models import StubModel
    from seqd.testing.in_process.orders import Held
    from seqd.testing.in_process.running import RunningServices, running_services
    from seqd.testing.in_process.server import ServerForTests, server_for_tests
    from seqd.testing.training import train_to_artifact

__all__ = [
    "CPU",
    "BatchReport",
    "EpochReport",
    "Held",
    "MemoryCheckpoints",
    "MemoryRunContext",
    "MemoryTrainContext",
    "PluginChecks",
    "PluginExamples",
    "RunningServices",
    "SampleReport",
    "ServerForTests",
    "StepReport",
    "StreamedDelta",
    "StubModel",
    "running_services",
    "server_for_tests",
    "train_to_artifact",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = deferred(
        globals(),
        {
            "CPU": ".contexts",
            "BatchReport": ".contexts",
            "EpochReport": ".contexts",
            "Held": ".in_process.orders",
            "MemoryCheckpoints": ".contexts",
            "MemoryRunContext": ".contexts",
            "MemoryTrainContext": ".contexts",
            "PluginChecks": ".checks.pytest_checks",
            "PluginExamples": ".checks.examples",
            "RunningServices": ".in_process.running",
            "SampleReport": ".contexts",
            "ServerForTests": ".in_process.server",
            "StepReport": ".contexts",
            "StreamedDelta": ".contexts",
            "StubModel": ".in_process.models",
            "running_services": ".in_process.running",
            "server_for_tests": ".in_process.server",
            "train_to_artifact": ".training",
        },
    )
