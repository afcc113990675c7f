"""Shows a person what a version has learnt: its sizes, its classes and its words.

Called by `ImdbLstm.inspect` only.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from seqd.hookspecs import Inspection
from seqd_imdb_lstm.reviews import INDEX_FROM, Vocabulary, words_of
from seqd_imdb_lstm.version import Version, VersionConfig, read_version, shapes_of

#: Words of the table of the most frequent ones.
_MOST_FREQUENT: Final = 20


def inspect_version(folder: Path, focus: str | None) -> Sequence[Inspection]:
    """Describe the version in a folder; `focus` is a text whose words are looked up instead.

    Raises ArtifactDamaged.
    """
    version = read_version(folder)
    if focus is not None:
        return [_looked_up(version, focus)]
    return [
        _sizes(version),
        _classes(version.config),
        _weights(version),
        _most_frequent(version.vocabulary),
    ]


def _sizes(version: Version) -> Inspection:
    config = version.config
    rows = (
        ("classes", len(config.labels)),
        ("known words", len(version.vocabulary.words)),
        ("of these known to the LSTM", min(len(version.vocabulary.words), _lstm_words(config))),
        ("ids read of a review", config.max_tokens),
        ("padding", config.padding),
        ("directions", 2 if config.bidirectional else 1),
        ("pooling", config.pooling),
        ("tokenizer", config.tokenizer),
    )
    return Inspection("Version", ("what", "value"), rows)


def _lstm_words(config: VersionConfig) -> int:
    return max(config.embedded_words - INDEX_FROM - 1, 0)


def _classes(config: VersionConfig) -> Inspection:
    counted = zip(config.labels, config.class_counts, strict=True)
    rows = tuple((place, label, count) for place, (label, count) in enumerate(counted))
    return Inspection("Classes", ("number", "class", "reviews trained on"), rows)


def _weights(version: Version) -> Inspection:
    rows = []
    for name, shape in shapes_of(version.config).items():
        array = getattr(version.weights, name)
        shown = " × ".join(map(str, shape))
        rows.append((name, shown, array.size, round(float(np.sqrt(np.mean(array**2))), 4)))
    return Inspection("Weights", ("array", "shape", "numbers", "root mean square"), tuple(rows))


def _most_frequent(vocabulary: Vocabulary) -> Inspection:
    words = vocabulary.words[:_MOST_FREQUENT]
    rows = tuple((rank, word) for rank, word in enumerate(words, start=1))
    return Inspection("Most frequent words", ("rank", "word"), rows)


def _looked_up(version: Version, text: str) -> Inspection:
    rows = []
    for word in words_of(text, version.config.tokenizer):
        rank = version.vocabulary.id_of(word) - INDEX_FROM
        rows.append((word.decode("utf-8", "replace"), rank if rank > 0 else "not known"))
    return Inspection("Words", ("word", "rank"), tuple(rows))
