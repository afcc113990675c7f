"""For tests of plugins: contexts in memory, and `train_to_artifact`, which trains to an artifact.

    from seqd.inputs.datasets import TextDataset
    from seqd.testing import train_to_artifact

    def test_a_trained_chain_opens(tmp_path):
        data = TextDataset("abab", "two letters")

        artifact = train_to_artifact(MyModel(), {"order": 1}, data, tmp_path)

        assert artifact.manifest.metrics["states"] == 2

Needs no Redis and no worker.
"""

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
from seqd.testing.training import train_to_artifact

__all__ = [
    "CPU",
    "BatchReport",
    "EpochReport",
    "MemoryCheckpoints",
    "MemoryRunContext",
    "MemoryTrainContext",
    "SampleReport",
    "StepReport",
    "StreamedDelta",
    "train_to_artifact",
]
