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

from seqd_schemas.deferred import deferred

if TYPE_CHECKING:
    from seqd.testing.checks.examples import PluginExamples as PluginExamples
    from seqd.testing.checks.pytest_checks import PluginChecks as PluginChecks
    from seqd.testing.contexts import CPU as CPU
    from seqd.testing.contexts import BatchReport as BatchReport
    from seqd.testing.contexts import EpochReport as EpochReport
    from seqd.testing.contexts import MemoryCheckpoints as MemoryCheckpoints
    from seqd.testing.contexts import MemoryRunContext as MemoryRunContext
    from seqd.testing.contexts import MemoryTrainContext as MemoryTrainContext
    from seqd.testing.contexts import SampleReport as SampleReport
    from seqd.testing.contexts import StepReport as StepReport
    from seqd.testing.contexts import StreamedDelta as StreamedDelta
    from seqd.testing.in_process.models import StubModel as StubModel
    from seqd.testing.in_process.orders import Held as Held
    from seqd.testing.in_process.running import RunningServices as RunningServices
    from seqd.testing.in_process.running import ServerForTests as ServerForTests
    from seqd.testing.in_process.running import running_services as running_services
    from seqd.testing.in_process.running import server_for_tests as server_for_tests
    from seqd.testing.training import train_to_artifact as train_to_artifact

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = deferred(globals())
