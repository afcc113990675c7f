"""A version of `markov` on disk: counts as safetensors, all else as JSON; written and checked.

`ngrams.safetensors` has the counts of `seqd_ngrams`, the training text as ids where it is kept
(`text`), and of a version of words the spelling of unknown ones (`spelling_...`). `config.json`
has the alphabet, `vocabulary.json` the words. Written by `training`, read by the model's
description; knows names and shapes, not what is computed with them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes

from seqd.errors import ArtifactDamaged
from seqd_markov.sentences import Ends
from seqd_markov.spelling import Spelling, read_spelling
from seqd_markov.tokens import Characters, Ids, Tokens, Words
from seqd_ngrams import NgramModel, deflated, inflated

NGRAMS_FILE = "ngrams.safetensors"
CONFIG_FILE = "config.json"
VOCABULARY_FILE = "vocabulary.json"

_TEXT = "text"
_SPELLING = "spelling_"

Tensors = dict[str, npt.NDArray[np.generic]]

_VOCABULARY = TypeAdapter(tuple[str, ...])


class Config(BaseModel):
    """All that a version is, except for its counts and its words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[2] = 2
    level: Literal["characters", "words"]
    lower_case: bool
    sentences: bool
    #: What ends a sentence, where texts are sentences.
    sentence_ends: Ends = "punctuation"
    #: Of characters: the symbols. Of words: the characters that unknown words are spelled with.
    alphabet: str = Field(min_length=1)
    #: Of words: the share of each prediction that is left to unknown ones.
    unknown_share: float = Field(default=0.0, ge=0.0, lt=1.0)

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        if self.level == "words" and not self.unknown_share:
            raise ValueError("unknown_share is 0; a version of words leaves room for unknown ones")
        return self

    @property
    def ends(self) -> Ends | None:
        """What ends a sentence; None where texts are not sentences."""
        return self.sentence_ends if self.sentences else None

    @property
    def separator(self) -> str | None:
        """What stands between two sentences; None where texts are not sentences."""
        if not self.sentences:
            return None
        return "\n" if self.sentence_ends == "lines" else " "

    def tokens(self, vocabulary: tuple[str, ...]) -> Tokens:
        """The symbols of a version with these words, or with none of characters."""
        if self.level == "words":
            return Words(vocabulary, self.lower_case, self.separator)
        return Characters(self.alphabet, self.lower_case, self.separator)


@dataclass(frozen=True)
class Version:
    """A version in memory."""

    config: Config
    tokens: Tokens
    model: NgramModel
    #: The training text, where it was kept; -1 is an unknown word.
    corpus: Ids | None = None
    #: Of words: how unknown ones are spelled.
    spelling: Spelling | None = None


def save(folder: Path, version: Version) -> None:
    """Write all files into `folder`."""
    arrays: Tensors = dict(version.model.arrays())
    if version.corpus is not None:
        arrays[_TEXT] = deflated(version.corpus)
    if version.spelling is not None:
        spelling = version.spelling.model.arrays()
        arrays |= {_SPELLING + name: array for name, array in spelling.items()}
    # Not `save_file`: it makes files that nobody but their owner may read.
    (folder / NGRAMS_FILE).write_bytes(to_bytes(arrays))
    _write(folder / CONFIG_FILE, version.config.model_dump())
    if isinstance(version.tokens, Words):
        _write(folder / VOCABULARY_FILE, list(version.tokens.vocabulary), indent=0)


def load(folder: Path) -> Version:
    """Read all files. Raises ArtifactDamaged, which says what differs."""
    config = _load_config(folder / CONFIG_FILE)
    if list(config.alphabet) != sorted(set(config.alphabet)):
        raise ArtifactDamaged(
            f"{CONFIG_FILE} cannot be used: the alphabet is not in order. Train the model again."
        )
    of_words = config.level == "words"
    tokens = config.tokens(_load_vocabulary(folder / VOCABULARY_FILE) if of_words else ())
    tensors = _load_tensors(folder / NGRAMS_FILE)
    try:
        return _version(config, tokens, tensors)
    except ValueError as error:
        raise ArtifactDamaged(f"{NGRAMS_FILE}: {error}. Train the model again.") from error


def _version(config: Config, tokens: Tokens, tensors: Tensors) -> Version:
    packed = tensors.pop(_TEXT, None)
    corpus = None if packed is None else inflated(packed, _TEXT)
    spelling = {
        name.removeprefix(_SPELLING): tensors.pop(name)
        for name in list(tensors)
        if name.startswith(_SPELLING)
    }
    if bool(spelling) != (config.level == "words"):
        raise ValueError(f"a version of {config.level} has {len(spelling)} arrays of spelling")
    model = NgramModel.of(tensors)
    if (model.symbols, model.begin) != (tokens.symbols, tokens.begin):
        raise ValueError(
            f"{model.symbols} symbols are counted, the first of a text being {model.begin}; "
            f"expected are {tokens.symbols} and {tokens.begin}"
        )
    return Version(
        config=config,
        tokens=tokens,
        model=model,
        corpus=None if corpus is None else _checked_corpus(corpus, tokens.symbols),
        spelling=read_spelling(config.alphabet, spelling) if spelling else None,
    )


def _checked_corpus(array: npt.NDArray[np.generic], symbols: int) -> Ids:
    if array.dtype.kind != "i" or array.ndim != 1:
        raise ValueError(
            f"'{_TEXT}' is {array.dtype} of shape {array.shape}; due is a row of signed integers"
        )
    corpus: Ids = array  # type: ignore[assignment]  # its kind was looked at
    lowest, highest = int(corpus.min(initial=0)), int(corpus.max(initial=0))
    if lowest < -1 or highest >= symbols:
        raise ValueError(
            f"'{_TEXT}' has ids from {lowest} to {highest}; possible are -1 to {symbols - 1}"
        )
    return corpus


def _write(path: Path, content: object, indent: int = 2) -> None:
    path.write_text(json.dumps(content, indent=indent) + "\n", encoding="ascii")


def _load_config(path: Path) -> Config:
    try:
        return Config.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ArtifactDamaged(
            f"{CONFIG_FILE} cannot be used: {error}. Train the model again or restore the file."
        ) from error


def _load_vocabulary(path: Path) -> tuple[str, ...]:
    try:
        vocabulary = _VOCABULARY.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ArtifactDamaged(
            f"{VOCABULARY_FILE} cannot be used: {error}. Train the model again or restore the file."
        ) from error
    if not vocabulary or not all(vocabulary) or len(set(vocabulary)) < len(vocabulary):
        raise ArtifactDamaged(
            f"{VOCABULARY_FILE} cannot be used: a word is empty or there twice, or there is none. "
            "Train the model again or restore the file."
        )
    return vocabulary


def _load_tensors(path: Path) -> Tensors:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ArtifactDamaged(
            f"{NGRAMS_FILE} cannot be read: {error}. Train the model again or restore the file."
        ) from error
