"""Versions of `char_lstm` as files with random weights, loaded; and trainings of a second each."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from seqd.hookspecs import Artifact, Device, LoadedModel, TrainedModel
from seqd.inputs.datasets import TextDataset
from seqd.testing import CPU, MemoryTrainContext
from seqd_char_lstm import CharLstm, TrainParameters
from seqd_char_lstm.chains import Network
from seqd_char_lstm.engine import SteppedEngine
from seqd_modelkit.mixing.model import Learning, Mixture

#: Reads windows of eight of its six characters.
WINDOW = {
    "format": 3,
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


@cache
def some_mixture(alphabet: str) -> Mixture:
    """A mixture of a random text, in which a half is like the character before it."""
    random = np.random.default_rng(0)
    ids = np.repeat(random.integers(0, len(alphabet), 1_000), random.integers(1, 4, 1_000))
    with tempfile.TemporaryDirectory() as folder:
        context = a_context(Path(folder))
        mixture, _ = Learning(ids.astype(np.int32), alphabet, context).run()
    return replace(mixture, unknown_share=0.0)


def write_version(
    folder: Path, config: Mapping[str, object], weights: Weights | None = None
) -> Artifact:
    """Write the files of a version, with a mixture where the config says so."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(dict(weights or some_weights(config)), folder / "weights.safetensors")
    if config.get("mixes"):
        save_file(some_mixture(config["alphabet"]).arrays(), folder / "mixture.safetensors")
    return Artifact(folder, None)


def a_generator(
    config: Mapping[str, object] = STREAM, weights: Weights | None = None, device: Device = CPU
) -> LoadedModel:
    """A loaded version."""
    with tempfile.TemporaryDirectory() as folder:
        return CharLstm().load(write_version(Path(folder), config, weights), device)


@contextmanager
def writing_in_numpy(network: Network) -> Iterator[None]:
    """Have versions that are loaded meanwhile write by a network, step by step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "seqd_char_lstm.generation.engine_for", lambda version: SteppedEngine(network)
        )
        yield


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
