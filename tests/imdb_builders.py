"""Versions of `imdb_lstm` as files with random weights, loaded; what they say; small trainings."""

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from seqd.hookspecs import Artifact, Device, LabelledRecord, LoadedModel, TrainedModel, WorkItem
from seqd.inputs.datasets import ListDataset
from seqd.testing import CPU, MemoryRunContext, MemoryTrainContext
from seqd_imdb_lstm import ClassifyParameters, ImdbLstm, TrainParameters
from seqd_schemas import Classification, ItemError

Weights = dict[str, np.ndarray]
#: On its slot Keras learns and serves; no GPU is needed for it.
GPU = Device(slot="gpu:0", kind="gpu")

#: The smallest version that shows everything: five words, 12 tokens, 5 units, two classes.
CONFIG = {
    "format": 2,
    "tokenizer": "keras-legacy-1",
    "vocabulary_size": 9,
    "lstm_vocabulary_size": 0,
    "max_tokens": 12,
    "padding": "front",
    "embedding_dim": 3,
    "units": 5,
    "bidirectional": False,
    "pooling": "last",
    "labels": ["neg", "pos"],
    "class_counts": [1, 1],
}
WORDS = ("the", "film", "good", "bad", "was")
MASKED = {"padding": "masked"}
POOLED = {"padding": "masked", "pooling": "mean_max"}
BOTH = {"bidirectional": True}
THREE = {"labels": ["neg", "none", "pos"], "class_counts": [1, 1, 1]}
NETWORKS = {
    "tutorial": {},
    "three classes": THREE,
    "masked": MASKED,
    "read from both ends": MASKED | BOTH,
    "pooled": POOLED,
    "pooled, read from both ends": POOLED | BOTH | THREE,
    "few words known to the LSTM": {"lstm_vocabulary_size": 7},
    # the product takes four units at a time, and vectors have 4, 8 or 16 numbers
    "one unit": {"units": 1},
    "thirty-three units": {"units": 33},
}


def some_weights(config: Mapping[str, object], *, seed: int = 0, size: float = 1.0) -> Weights:
    """Random weights, all of one size."""
    units, embedding = config["units"], config["embedding_dim"]
    ends = ("", "backward_") if config["bidirectional"] else ("",)
    parts = len(ends) * (2 if config["pooling"] == "mean_max" else 1)
    outputs = len(config["labels"]) if len(config["labels"]) > 2 else 1
    words = config["lstm_vocabulary_size"] or config["vocabulary_size"]
    shapes = {"embedding": (words, embedding)}
    for end in ends:
        shapes[f"{end}kernel"] = (embedding, 4 * units)
        shapes[f"{end}recurrent_kernel"] = (units, 4 * units)
        shapes[f"{end}bias"] = (4 * units,)
    shapes |= {"output_kernel": (parts * units, outputs), "output_bias": (outputs,)}
    random = np.random.default_rng(seed)
    return {
        name: (size * random.normal(size=shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


def write_version(
    folder: Path,
    config: Mapping[str, object] = CONFIG,
    weights: Mapping[str, np.ndarray] | None = None,
    words: Sequence[str] = WORDS,
) -> Artifact:
    """Write the files of a version."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocabulary.json").write_text(json.dumps(list(words)))
    save_file(dict(weights or some_weights(config)), folder / "weights.safetensors")
    return Artifact(folder, None)


def a_classifier(
    config: Mapping[str, object] = CONFIG,
    weights: Mapping[str, np.ndarray] | None = None,
    words: Sequence[str] = WORDS,
    device: Device = CPU,
) -> LoadedModel:
    """A loaded version."""
    with tempfile.TemporaryDirectory() as folder:
        return ImdbLstm().load(write_version(Path(folder), config, weights, words), device)


def classified(
    loaded: LoadedModel, *texts: str, context: MemoryRunContext | None = None
) -> Sequence[Classification | ItemError]:
    """The outcomes of some texts, with the probabilities of all classes."""
    items = [WorkItem(index, text) for index, text in enumerate(texts)]
    parameters = ClassifyParameters(probabilities=True)
    return list(loaded.classify(items, parameters, context or MemoryRunContext()))


def probabilities_of(loaded: LoadedModel, texts: Sequence[str]) -> np.ndarray:
    """(texts, classes), as they are rounded to five digits."""
    return np.array([list(one.probabilities.values()) for one in classified(loaded, *texts)])


def some_reviews(count: int, config: Mapping[str, object] = CONFIG, words=WORDS) -> list[str]:
    """Texts of all lengths, the longest too long; an unknown word is in some of them."""
    random = np.random.default_rng(1)
    known = [*words, "zzz"]
    return [
        " ".join([words[1], *random.choice(known, random.integers(0, config["max_tokens"] + 2))])
        for _ in range(count)
    ]


def plain_probabilities(
    config: Mapping[str, object], weights: Weights, text: str, words: Sequence[str] = WORDS
) -> list[float]:
    """Read one review as Keras would read it padded, id by id, in double precision."""
    ids = [1] + [words.index(word) + 4 if word in words else 2 for word in text.split()]
    rows = len(weights["embedding"])
    read = [number if number < rows else 2 for number in ids[-config["max_tokens"] :]]
    if config["padding"] == "front":
        read = [0] * (config["max_tokens"] - len(read)) + read
    directions = [_states(weights, "", read)]
    if config["bidirectional"]:
        directions.append(_states(weights, "backward_", read[::-1]))
    if config["pooling"] == "last":
        parts = [states[-1] for states in directions]
    else:
        parts = [states.max(axis=0) for states in directions]
        parts += [states.mean(axis=0) for states in directions]
    logits = np.concatenate(parts) @ weights["output_kernel"] + weights["output_bias"]
    if len(logits) == 1:
        logits = np.concatenate([[0.0], logits])
    shares = np.exp(logits - logits.max())
    return (shares / shares.sum()).tolist()


def _states(weights: Weights, prefix: str, ids: Sequence[int]) -> np.ndarray:
    """The state after each id: (ids, units)."""
    kernel, recurrent, bias = (
        weights[prefix + name].astype(np.float64) for name in ("kernel", "recurrent_kernel", "bias")
    )

    def sigmoid(x):
        return 1.0 / (1.0 + np.exp(-x))

    states = []
    h = c = np.zeros(len(recurrent))
    for number in ids:
        i, f, new, o = np.split(weights["embedding"][number] @ kernel + h @ recurrent + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(new)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.array(states)


SMALL = {
    "vocabulary_size": 200,
    "max_tokens": 12,
    "embedding_dim": 4,
    "units": 6,
    "batch_size": 8,
    "epochs": 2,
    "learning_rate": 0.05,
}
Pairs = Iterable[tuple[str, str | None]]


def a_set(records: Pairs, name: str = "reviews.jsonl") -> ListDataset:
    return ListDataset([LabelledRecord(text, label) for text, label in records], name)


def good_and_bad(count: int = 40) -> list[tuple[str, str]]:
    """Reviews that one word tells apart, good and bad in turn."""
    kinds = (("a bad film and a dull one", "neg"), ("a good film and a fine one", "pos"))
    return [
        (f"{text} word{number % 7}", label) for number in range(count // 2) for text, label in kinds
    ]


def a_context(
    folder: Path, records: Pairs, held_out: Pairs | None = None, **options: object
) -> MemoryTrainContext:
    held = None if held_out is None else a_set(held_out, "test.jsonl")
    return MemoryTrainContext(folder, a_set(records), held, **options)


def trained(context: MemoryTrainContext, **parameters: object) -> TrainedModel:
    return ImdbLstm().train(TrainParameters.model_validate(SMALL | parameters), context)


def loaded(context: MemoryTrainContext) -> LoadedModel:
    """The version that a training wrote."""
    return ImdbLstm().load(Artifact(context.folder, None), CPU)


def json_of(context: MemoryTrainContext, name: str):
    return json.loads((context.folder / name).read_text())


def files_of(context: MemoryTrainContext) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in context.folder.iterdir()}
