"""Networks of `imdb_lstm` with random weights, reviews for them, and the plainest forward pass."""

import numpy as np

from seqd_imdb_lstm.artifact import Floats, Version, VersionConfig, Weights, shapes_of
from seqd_imdb_lstm.vocabulary import Vocabulary

#: Root mean squares of a network whose probabilities spread from 0.3 to 0.95 on reviews as below.
_SIZES = {
    "embedding": 0.6,
    "kernel": 0.1,
    "recurrent_kernel": 0.1,
    "output_kernel": 0.26,
    "output_bias": 0.04,
}


def a_config(**changes: object) -> VersionConfig:
    """The smallest network that shows everything: 9 ids, 12 tokens, 5 units, two classes."""
    sizes = {"vocabulary_size": 9, "max_tokens": 12, "embedding_dim": 3, "units": 5}
    values = {**sizes, "labels": ("neg", "pos"), **changes}
    return VersionConfig.model_validate({"class_counts": (1,) * len(values["labels"]), **values})


def a_version(config: VersionConfig, *, seed: int = 0, scale: float = 1.0) -> Version:
    """Weights from a normal distribution, all of one size."""
    random = np.random.default_rng(seed)
    arrays = {
        name: (scale * random.normal(size=shape)).astype(np.float32)
        for name, shape in shapes_of(config).items()
    }
    return Version(config, Vocabulary([]), Weights(**arrays))


def a_version_with_a_long_memory(config: VersionConfig, *, seed: int = 0) -> Version:
    """Gates that let little in and forget little, as in a network that has learnt to read.

    The errors of all steps then add up in its state; in random weights without this they fade
    within a few steps. With gates wider open, it is a chaos in which no two kernels agree.
    """
    random = np.random.default_rng(seed)
    units = config.units
    arrays = {}
    for name, shape in shapes_of(config).items():
        size = _SIZES.get(name.removeprefix("backward_"), 0.0)
        arrays[name] = (size * random.normal(size=shape)).astype(np.float32)
        if name.removeprefix("backward_") == "bias":
            arrays[name][:units] = -2.0  # input gates
            # Kernels differ by 2e-6 then, which is no less than on trained networks and real
            # reviews (2e-7 to 2e-6); with 4.0, which no training led to, by 1e-5.
            arrays[name][units : 2 * units] = 3.5  # forget gates
    return Version(config, Vocabulary([]), Weights(**arrays))


def reviews_like_real_ones(count: int, config: VersionConfig, *, seed: int = 0) -> list[Floats]:
    """Few words that are frequent, many that are rare; lengths as in the IMDB set."""
    random = np.random.default_rng(seed)
    # Half of the IMDB set's reviews have less than 175 words of 5,000, a tenth more than 460.
    lengths = random.lognormal(mean=np.log(175), sigma=0.65, size=count).astype(int)
    lengths = np.clip(lengths, 10, config.max_tokens)
    words = config.embedded_words - 4
    shares = 1.0 / np.arange(1, words + 1)
    ids = random.choice(words, size=int(lengths.sum()), p=shares / shares.sum()) + 4
    reviews = np.split(ids.astype(np.int32), np.cumsum(lengths)[:-1])
    for ids in reviews:
        if len(ids) < config.max_tokens:
            ids[0] = 1  # the start id, which is cut off from longer ones
    return reviews


def plain_probabilities(version: Version, ids: list[int]) -> list[float]:
    """Read one review as Keras would read it padded, id by id, in double precision."""
    config, weights = version.config, version.weights
    known = [number if number < config.embedded_words else 2 for number in ids]
    if config.padding == "front":
        read = [0] * (config.max_tokens - len(known)) + known
    else:
        read = known or [1]
    directions = [_states(weights.embedding, read, *_arrays(weights, ""))]
    if config.bidirectional:
        directions.append(_states(weights.embedding, read[::-1], *_arrays(weights, "backward_")))
    if config.pooling == "last":
        parts = [states[-1] for states in directions]
    else:
        parts = [states.max(axis=0) for states in directions]
        parts += [states.mean(axis=0) for states in directions]
    logits = np.concatenate(parts) @ weights.output_kernel + weights.output_bias
    if len(logits) == 1:
        logits = np.concatenate([[0.0], logits])
    shares = np.exp(logits - logits.max())
    return (shares / shares.sum()).tolist()


def _arrays(weights: Weights, prefix: str) -> list[Floats]:
    names = ("kernel", "recurrent_kernel", "bias")
    return [weights.arrays()[prefix + name].astype(np.float64) for name in names]


def _states(
    embedding: Floats, ids: list[int], kernel: Floats, recurrent: Floats, bias: Floats
) -> Floats:
    """Return the state after each id: (ids, units)."""

    def sigmoid(x):
        return 1.0 / (1.0 + np.exp(-x))

    states = []
    h = c = np.zeros(len(recurrent))
    for number in ids:
        i, f, new, o = np.split(embedding[number] @ kernel + h @ recurrent + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(new)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.array(states)
