"""Training data as ids: what is learnt from, what is held out, and the alphabet of both.

The only place where a training looks at text. Called by `training` before any work; raises
InvalidData for what cannot be learnt from, so that nobody waits for nothing.
"""

from dataclasses import dataclass

from seqd.errors import InvalidData
from seqd.hookspecs import TrainContext
from seqd_char_lstm.config import MAX_ALPHABET
from seqd_char_lstm.text import UNKNOWN, Alphabet, Ids
from seqd_char_lstm.train_parameters import TrainParameters


@dataclass(frozen=True)
class Corpus:
    """A text to learn from, and one to measure on."""

    alphabet: Alphabet
    #: (characters,) known ones only.
    ids: Ids
    #: (characters,) with UNKNOWN among them; None where nothing is held out.
    held_out: Ids | None

    @property
    def text(self) -> str:
        """The text that is learnt from."""
        return self.alphabet.decode(self.ids)


def read_corpus(parameters: TrainParameters, context: TrainContext) -> Corpus:
    """Read the training data; the alphabet is that of what is learnt from alone.

    Of a text without held-out data its last `validation_split` is held out. Characters rarer
    than `min_count` are taken out of the text.
    """
    text = _cased(context.data.text(), parameters)
    held_out = context.held_out
    if held_out is None:
        cut = int(len(text) * (1.0 - parameters.validation_split))
        text, rest = text[:cut], text[cut:]
    else:
        rest = _cased(held_out.text(), parameters)
    alphabet = _alphabet_of(text, parameters.min_count)
    ids = alphabet.encode(text)
    known = ids[ids != UNKNOWN]
    if len(known) < len(ids):
        context.log(
            f"{len(ids) - len(known):,} of {len(ids):,} characters are left out: each of them is "
            f"rarer than min_count {parameters.min_count:,}."
        )
    measured = held_out is not None or parameters.validation_split > 0.0
    return Corpus(alphabet, known, alphabet.encode(rest) if measured else None)


def _cased(text: str, parameters: TrainParameters) -> str:
    return text.lower() if parameters.lower_case else text


def _alphabet_of(text: str, min_count: int) -> Alphabet:
    if not text:
        raise InvalidData("The text to learn from is empty. Give a text of some thousand words.")
    alphabet = Alphabet.of(text, min_count)
    often = f" that it has at least {min_count:,} times" if min_count > 1 else ""
    if not 2 <= len(alphabet) <= MAX_ALPHABET:
        raise InvalidData(
            f"The text has {len(alphabet):,} distinct characters{often}; "
            f"from 2 to {MAX_ALPHABET:,} can be learnt. Give a text of words"
            + (", or a higher min_count." if len(alphabet) > 2 else ".")
        )
    return alphabet
