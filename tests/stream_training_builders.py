"""Builders for trainings of `char_lstm` on streams of a tiny text: a second each, no Keras."""

from seqd.inputs.datasets import TextDataset
from seqd.testing import MemoryTrainContext
from seqd_char_lstm import CharLstm, TrainParameters

TEXT = "The cat sat on the mat. The rat sat on a cat. " * 20  # 920 characters
SMALL = {
    "mode": "stream",
    "units": 8,
    "embedding_dim": 4,
    "batch_size": 4,
    "steps": 16,
    "epochs": 3,
    "learning_rate": 0.02,
    "warmup_steps": 3,
    "sample_length": 12,
    "sample_temperatures": [0.0, 1.0],
}


def a_context(folder, text=TEXT, held_out=None, **options) -> MemoryTrainContext:
    return MemoryTrainContext(
        folder,
        TextDataset(text, "a test"),
        held_out and TextDataset(held_out, "held out"),
        **options,
    )


def trained(context, **parameters):
    return CharLstm().train(TrainParameters.model_validate(SMALL | parameters), context)


def files_of(context) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in context.folder.iterdir()}
