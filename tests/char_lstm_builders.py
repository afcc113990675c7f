"""Versions of `char_lstm` as files with random weights, loaded; and trainings of a second each."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from seqd.hookspecs import Artifact, Device, LoadedModel, TrainedModel
from seqd.inputs.datasets import TextDataset
from seqd.testing import CPU, MemoryTrainContext
from seqd_char_lstm import CharLstm, TrainParameters
from seqd_modelkit.ngrams import NgramModel, count, fit

#: Reads windows of eight of its six characters.
WINDOW = {
    "format": 2,
    "reads": "window",
    "alphabet": " .abcd",
    "lower_case": True,
    "window": 8,
    "units": 16,
    "lead_in": "a cab. d",
}
#: Carries its state, in two layers.
STREAM = WINDOW | {"reads": "stream", "window": None, "layers": 2, "embedding_dim": 5}

Weights = Mapping[str, np.ndarray]


def some_weights(config: Mapping[str, object], *, seed: int = 0, size: float = 0.4) -> Weights:
    """Random weights that make neither all scores equal nor one certain."""
    ids, units, embedding = len(config["alphabet"]), config["units"], config.get("embedding_dim", 0)
    shapes = {"embedding": (ids, embedding)} if embedding else {}
    for number in range(config.get("layers", 1)):
        inputs = units if number else embedding or ids
        shapes |= {
            f"layer_{number}.kernel": (inputs, 4 * units),
            f"layer_{number}.recurrent": (units, 4 * units),
            f"layer_{number}.bias": (4 * units,),
        }
    shapes |= {"dense": (units, ids), "dense_bias": (ids,)}
    random = np.random.default_rng(seed)
    return {
        name: random.normal(0.0, size, shape).astype(np.float32) for name, shape in shapes.items()
    }


def some_ngrams(symbols: int = 6) -> NgramModel:
    """An n-gram model of a random text, in which a half is like the character before it."""
    random = np.random.default_rng(0)
    ids = np.repeat(random.integers(0, symbols, 1_000), random.integers(1, 4, 1_000))
    return fit(count([ids.astype(np.int32)], order=3, symbols=symbols))


def write_version(
    folder: Path, config: Mapping[str, object], weights: Weights | None = None
) -> Artifact:
    """Write the files of a version, with n-grams where the config gives them a share."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(dict(weights or some_weights(config)), folder / "weights.safetensors")
    if config.get("ngram_share"):
        save_file(some_ngrams(len(config["alphabet"])).arrays(), folder / "ngrams.safetensors")
    return Artifact(folder, None)


def a_generator(
    config: Mapping[str, object] = STREAM, weights: Weights | None = None, device: Device = CPU
) -> LoadedModel:
    """A loaded version."""
    with tempfile.TemporaryDirectory() as folder:
        return CharLstm().load(write_version(Path(folder), config, weights), device)


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


def a_context(
    folder: Path, text: str = TEXT, held_out: str | None = None, **options: object
) -> MemoryTrainContext:
    held = None if held_out is None else TextDataset(held_out, "held out")
    return MemoryTrainContext(folder, TextDataset(text, "a test"), held, **options)


def trained(context: MemoryTrainContext, **parameters: object) -> TrainedModel:
    """Train a small network on streams, without Keras."""
    return CharLstm().train(TrainParameters.model_validate(SMALL | parameters), context)


def files_of(context: MemoryTrainContext) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in context.folder.iterdir()}


def config_of(context: MemoryTrainContext) -> dict[str, object]:
    config: dict[str, object] = json.loads((context.folder / "config.json").read_text())
    return config


def loaded(context: MemoryTrainContext) -> LoadedModel:
    """The version that a training wrote."""
    return CharLstm().load(Artifact(context.folder, None), CPU)
