"""A trained version of `markov`: its files, and how well it predicts a text.

`ngrams.safetensors` has the n-gram counts, the training text as ids where it is kept (`text`), and
of a version of words the model that spells unknown ones (`spelling_...`). A version that mixes
contexts has `mixture.safetensors` in its place. `config.json` has the rest but for the words, which
are in `vocabulary.json`.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from seqd.errors import ArtifactDamaged, LibraryMissing
from seqd.plugin import load_arrays, save_arrays
from seqd_markov.data import (
    CharacterTokenizer,
    Chunk,
    Ids,
    SentenceEnds,
    Tokenizer,
    WordTokenizer,
    sentences_of,
)
from seqd_markov.ngrams.counting import count
from seqd_markov.ngrams.model import NgramModel, fit
from seqd_markov.ngrams.smoothing import Smoothing
from seqd_modelkit.artifacts import RESTORE, ArtifactConfig, Tensors
from seqd_modelkit.numba_probe import can_compile
from seqd_modelkit.packing import deflate, inflate

if TYPE_CHECKING:
    from seqd_modelkit.mixing.model import Mixture

NGRAMS_FILE = "ngrams.safetensors"
MIXTURE_FILE = "mixture.safetensors"
VOCABULARY_FILE = "vocabulary.json"

_TEXT = "text"
_SPELLING = "spelling_"

#: Order of the spelling model: words are short, and it is a fraction of the version's size.
_SPELLING_ORDER = 3

#: Code points that a character outside the spelling model's alphabet may be, all equally probable.
_CODE_POINTS = 0x110000

#: Largest number of bits a token: a perplexity is 2 to the power of it, and must be finite.
_LARGEST_BITS = 1_000.0

_VOCABULARY = TypeAdapter(tuple[str, ...])


class Config(ArtifactConfig):
    """All that a version is, except for its counts and its words."""

    FORMAT: ClassVar[int] = 2

    format: Literal[2] = 2
    level: Literal["characters", "words"]
    lower_case: bool
    sentences: bool
    #: What ends a sentence, where texts are sentences.
    sentence_ends: SentenceEnds = "punctuation"
    #: Of characters: the vocabulary. Of words: the characters that unknown words are spelled with.
    alphabet: str = Field(min_length=1)
    #: Whether contexts are mixed, and not the n-grams of one order smoothed.
    mixes: bool = False
    #: Of words, and where contexts are mixed: what each prediction leaves to unknown symbols.
    unknown_share: float = Field(default=0.0, ge=0.0, lt=1.0)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.mixes and (self.level == "words" or self.sentences):
            raise ValueError("contexts are mixed of running text alone")
        if (self.level == "words" or self.mixes) and not self.unknown_share:
            raise ValueError("unknown_share is 0; such a version leaves room for what is unknown")
        return self

    @property
    def ends(self) -> SentenceEnds | None:
        """What ends a sentence; None where texts are not sentences."""
        return self.sentence_ends if self.sentences else None

    def tokenizer(self, vocabulary: tuple[str, ...]) -> Tokenizer:
        """Return the tokenizer of a version with these words, or with none of characters."""
        if self.level == "words":
            return WordTokenizer(vocabulary, self.lower_case, self.ends)
        return CharacterTokenizer(self.alphabet, self.lower_case, self.ends)


@dataclass(frozen=True)
class SpellingModel:
    """An n-gram model of the characters of a word, which prices unknown words.

    The last character of the alphabet stands for all that are not in it. With `unknown_share` it
    gives every text a proper code length in bits, however small the vocabulary.
    """

    alphabet: str
    model: NgramModel

    def bits(self, words: Sequence[str]) -> float:
        """Return the code length of some words, each with its end, together."""
        ids, outside = [], 0
        begin = len(self.alphabet) + 1
        for word in words:
            of_word = self._tokenizer.encode(word)
            outside += int((of_word < 0).sum())
            of_word[of_word < 0] = len(self.alphabet)
            ids.append(np.concatenate([[begin], of_word, [begin + 1]]))
        if not ids:
            return 0.0
        logs = self.model.log_probs(np.concatenate(ids))
        return float(-np.nansum(logs) / np.log(2.0) + outside * np.log2(_CODE_POINTS))

    @cached_property
    def _tokenizer(self) -> CharacterTokenizer:
        return CharacterTokenizer(self.alphabet, lower_case=False)


def fit_spelling(words: Iterable[str]) -> SpellingModel:
    """Return the spelling model of some words, each counted once."""
    known = list(words)
    alphabet = "".join(sorted(set().union(*known)))
    begin, encode = len(alphabet) + 1, CharacterTokenizer(alphabet, lower_case=False).encode
    spans = (np.concatenate([[begin], encode(word), [begin + 1]]) for word in known)
    counts = count(
        np.concatenate(list(spans)),
        order=_SPELLING_ORDER,
        symbols=_spelling_symbols(alphabet),
        begin=begin,
    )
    return SpellingModel(alphabet, fit(counts, Smoothing.WITTEN_BELL))


@dataclass(frozen=True)
class Version:
    """A version in memory."""

    config: Config
    tokenizer: Tokenizer
    model: "NgramModel | Mixture"
    #: The training text, where it was kept; -1 is an unknown word.
    corpus: Ids | None = None
    #: Of words alone.
    spelling: SpellingModel | None = None

    def save(self, folder: Path) -> None:
        """Write all files into `folder`."""
        arrays: Tensors = dict(self.model.arrays())
        if self.corpus is not None and not self.config.mixes:
            arrays[_TEXT] = deflate(self.corpus)
        if self.spelling is not None:
            spelling = self.spelling.model.arrays()
            arrays |= {_SPELLING + name: array for name, array in spelling.items()}
        save_arrays(folder / (MIXTURE_FILE if self.config.mixes else NGRAMS_FILE), arrays)
        self.config.write(folder)
        if isinstance(self.tokenizer, WordTokenizer):
            words = json.dumps(list(self.tokenizer.vocabulary), indent=0) + "\n"
            (folder / VOCABULARY_FILE).write_text(words, encoding="ascii")

    @classmethod
    def load(cls, folder: Path) -> "Version":
        """Return the version of a folder. Raises ArtifactDamaged, which says what is wrong."""
        config = Config.read(folder)
        if list(config.alphabet) != sorted(set(config.alphabet)):
            raise ArtifactDamaged(
                "config.json cannot be used: the alphabet is not in order. Train the model again."
            )
        of_words = config.level == "words"
        words = _load_vocabulary(folder / VOCABULARY_FILE) if of_words else ()
        tokenizer = config.tokenizer(words)
        file, read = (NGRAMS_FILE, _version)
        if config.mixes:
            file, read = (MIXTURE_FILE, _mixing_version)
        tensors = load_arrays(folder / file)
        try:
            return read(config, tokenizer, tensors)
        except ValueError as error:
            raise ArtifactDamaged(f"{file}: {error}. Train the model again.") from error

    @property
    def sizes(self) -> dict[str, float]:
        """How much was counted, as figures of a training."""
        if isinstance(self.model, NgramModel):
            states, ngrams = self.model.states - 1, self.model.ngrams[-1]
            return {"states": float(states), "ngrams": float(ngrams)}
        return {"contexts": float(self.model.model.counts.sizes[0])}

    @property
    def chain(self) -> NgramModel:
        """The model of a version that does not mix contexts."""
        assert isinstance(self.model, NgramModel)
        return self.model


def measure(
    version: Version,
    chunks: Iterable[Chunk],
    check_stop: Callable[[], None],
    *,
    adapts: bool = False,
) -> dict[str, float]:
    """Return how well a version predicts a text, which comes in chunks; read to their end.

    `bits_per_char` is the cross-entropy in bits per character, each symbol given all before it, and
    `unknown_share` the share of unknown symbols. A version of words also has `perplexity`, that of
    a word or mark, 2 ** (bits / words), unknown ones with their spelling. Empty where nothing could
    be predicted. An unsmoothed version, to which most texts are impossible, is measured with
    additive smoothing. One that mixes contexts may adapt: learn from what it has predicted.

    Unknown characters are left out, and reset the context; they cost `unknown_share` and their code
    point where contexts are mixed. Unknown words cost `unknown_share` and their spelling. Of words
    or sentences each run of white space is one character, and so is the end of a sentence.
    """
    total = _CodeLength()
    if isinstance(version.model, NgramModel):
        _add_chain(total, version, _smoothed(version.model), chunks)
    else:
        reader = version.model.reader(check_stop, adapts=adapts)
        for chunk in chunks:
            ids = version.tokenizer.encode(chunk.text)
            total.bits -= float(reader.log_probs(ids).sum() / np.log(2.0))
            total.characters += len(ids)
            total.unknown += int((ids < 0).sum())
        total.predicted = total.characters - total.unknown
    return total.metrics(of_words=version.spelling is not None)


def _add_chain(
    total: "_CodeLength", version: Version, model: NgramModel, chunks: Iterable[Chunk]
) -> None:
    state = 0
    for chunk in chunks:
        ids = version.tokenizer.encode_chunk(chunk.text)
        logs = model.log_probs(ids, state)
        state = model.state_after(ids, state)
        predicted, unknown = int((~np.isnan(logs)).sum()), int((ids < 0).sum())
        total.bits -= float(np.nansum(logs) / np.log(2.0))
        total.predicted += predicted
        total.unknown += unknown
        if version.spelling is None:
            total.characters += predicted
        else:
            # The space between two chunks is one more character.
            total.characters += len(" ".join(chunk.text.split())) + (total.characters > 0)
            total.predicted += unknown
            total.bits += _bits_of_words(version, chunk.text, predicted, unknown)


@dataclass
class _CodeLength:
    """What a text has cost so far."""

    bits: float = 0.0
    characters: int = 0
    predicted: int = 0  # symbols that the bits are for
    unknown: int = 0

    def metrics(self, *, of_words: bool) -> dict[str, float]:
        if not self.predicted:
            return {}
        left_out = 0 if of_words else self.unknown
        metrics = {
            "bits_per_char": self.bits / self.characters,
            "unknown_share": self.unknown / (self.predicted + left_out),
        }
        if of_words:
            metrics["perplexity"] = 2.0 ** min(self.bits / self.predicted, _LARGEST_BITS)
        return metrics


def _smoothed(model: NgramModel) -> NgramModel:
    if model.smoothing is not Smoothing.NONE:
        return model
    return fit(model.counts(), Smoothing.ADDITIVE, model.additive)


def _bits_of_words(version: Version, text: str, known: int, unknown: int) -> float:
    """Return what words cost beside the n-gram model: `unknown_share`, and the spelling."""
    share = version.config.unknown_share
    bits = -known * np.log2(1.0 - share)
    if unknown:
        assert isinstance(version.tokenizer, WordTokenizer)
        assert version.spelling is not None
        words = version.tokenizer.unknown_in(sentences_of(text, version.config.ends))
        bits += version.spelling.bits(words) - unknown * np.log2(share)
    return float(bits)


def check_numba() -> None:
    """Raise LibraryMissing where Numba cannot be imported; n-grams do without it."""
    if not can_compile():
        raise LibraryMissing(
            "markov mixes contexts in compiled loops, and Numba cannot be imported here. Install "
            "seqd[serve], or train with smoothing=kneser_ney."
        )


def _mixing_version(config: Config, tokenizer: Tokenizer, tensors: Tensors) -> Version:
    check_numba()
    from seqd_modelkit.mixing.model import Mixture

    mixture = Mixture.from_arrays(tensors, config.alphabet, config.unknown_share)
    return Version(config, tokenizer, mixture, mixture.model.past.ids)


def _version(config: Config, tokenizer: Tokenizer, tensors: Tensors) -> Version:
    packed = tensors.pop(_TEXT, None)
    corpus = None if packed is None else inflate(packed, _TEXT)
    spelling = {
        name.removeprefix(_SPELLING): tensors.pop(name)
        for name in list(tensors)
        if name.startswith(_SPELLING)
    }
    if bool(spelling) != (config.level == "words"):
        raise ValueError(f"a version of {config.level} has {len(spelling)} arrays of spelling")
    model = NgramModel.from_arrays(tensors)
    if (model.symbols, model.begin) != (tokenizer.symbols, tokenizer.begin):
        raise ValueError(
            f"{model.symbols} symbols are counted, the first of a text being {model.begin}; "
            f"expected are {tokenizer.symbols} and {tokenizer.begin}"
        )
    return Version(
        config=config,
        tokenizer=tokenizer,
        model=model,
        corpus=None if corpus is None else _checked_corpus(corpus, tokenizer.symbols),
        spelling=_read_spelling(config.alphabet, spelling) if spelling else None,
    )


def _read_spelling(alphabet: str, arrays: Tensors) -> SpellingModel:
    model, symbols = NgramModel.from_arrays(arrays), _spelling_symbols(alphabet)
    if (model.symbols, model.begin) != (symbols, len(alphabet) + 1):
        raise ValueError(f"{model.symbols} symbols are spelled; the alphabet makes {symbols}")
    return SpellingModel(alphabet, model)


def _spelling_symbols(alphabet: str) -> int:
    """Return the number of ids: the alphabet, any other character, beginning and end of a word."""
    return len(alphabet) + 3


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


def _load_vocabulary(path: Path) -> tuple[str, ...]:
    try:
        vocabulary = _VOCABULARY.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ArtifactDamaged(f"{VOCABULARY_FILE} cannot be used: {error}. {RESTORE}") from error
    if not vocabulary or not all(vocabulary) or len(set(vocabulary)) < len(vocabulary):
        raise ArtifactDamaged(
            f"{VOCABULARY_FILE} cannot be used: a word is empty or there twice, or there is none. "
            f"{RESTORE}"
        )
    return vocabulary
