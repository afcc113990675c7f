"""One sample while it is generated: its symbols, its text, and where it ends."""

from dataclasses import dataclass, field

import numpy as np

from seqd_markov.copies import AlignedText
from seqd_markov.data import CharacterTokenizer, Tokenizer, WordTokenizer
from seqd_markov.sampling import Floats, Indices, State
from seqd_modelkit.stop_sequences import StopSequences
from seqd_schemas import FinishReason

#: Lengths of the n-grams that `distinct` counts. A version has 1,114,114 symbols at most, so that
#: three of them fit in 63 bits.
_DISTINCT = (1, 2, 3)


@dataclass(frozen=True)
class SampleStart:
    """The end of a prompt, where a sample begins."""

    #: The model's state.
    state: State
    #: The last symbol before the text; None where there is none, or it is unknown.
    after: int | None
    #: True where the text needs no space of its own: a space or nothing at all stands before it.
    is_spaced: bool


@dataclass(frozen=True)
class StopConditions:
    """What ends a sample, whichever comes first.

    The end of a sentence counts as one symbol of the length. It counts as a sentence where
    something was written since the last one.
    """

    length: int  # symbols
    max_characters: int
    sentences: int  # 0 for any number
    stops: StopSequences


@dataclass
class SampleBuffer:
    """A sample as far as it is generated."""

    tokenizer: Tokenizer
    conditions: StopConditions
    start: SampleStart
    #: The state that the next symbol is sampled in.
    state: State = field(init=False)
    text: str = field(default="", init=False)
    #: Why it has ended; None while it goes on.
    reason: FinishReason | None = field(default=None, init=False)
    _length: int = field(default=0, init=False)
    _sentences: int = field(default=0, init=False)
    _spans: list["_Span"] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.state = self.start.state

    @property
    def room(self) -> int:
        """Symbols that may still be added."""
        return self.conditions.length - self._length

    @property
    def settled(self) -> int:
        """Characters that no stop sequence can take back."""
        return len(self.text) - (0 if self.reason else self.conditions.stops.held(self.text))

    def add(self, symbols: Indices, log_probs: Floats, state: State) -> None:
        """Append as many sampled symbols as the sample needs; `state` is the one after them."""
        symbols = self._until_last_sentence(symbols[: self.room])
        self._length += len(symbols)
        if self.reason is None and not self.room:
            self.reason = FinishReason.LENGTH
        searched = len(self.text)
        self._append(symbols, log_probs[: len(symbols)])
        self.state = state
        if len(self.text) > self.conditions.max_characters:
            last = self._spans[-1].until(self.conditions.max_characters)
            end = int(last.ends[-1]) if len(last.ends) else searched
            self._cut(end, FinishReason.LENGTH)
        place = self.conditions.stops.find(self.text, searched)
        if place is not None:
            self._cut(place, FinishReason.STOP)

    def mean_log_prob(self) -> float | None:
        """Return the mean log-probability of the symbols; None where there are none."""
        logs = np.concatenate([span.log_probs for span in self._spans])
        logs = logs[~np.isnan(logs)]
        return float(logs.mean()) if len(logs) else None

    def distinct(self) -> tuple[float, ...]:
        """Return distinct-n, the share of distinct n-grams (Li et al. 2016), for n of 1, 2, 3.

        Shorter where the sample has fewer symbols than n.
        """
        ids = np.concatenate([span.ids for span in self._spans])
        shares, grams = [], ids
        for n in _DISTINCT[: len(ids)]:
            if n > 1:
                grams = grams[:-1] * self.tokenizer.symbols + ids[n - 1 :]  # below 2**63
            ordered = np.sort(grams)
            different = 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))
            shares.append(different / len(grams))
        return tuple(shares)

    def aligned(self, since: int = 0, until: int | None = None) -> AlignedText:
        """Return the symbols from the last that begins at or before the character `since` on.

        `until` leaves out those that end behind that character.
        """
        spans: list[_Span] = []
        for span in reversed(self._spans):
            spans.insert(0, span)
            if len(span.starts) and span.starts[0] <= since:
                break
        ids, starts, ends = (
            np.concatenate([span.ids for span in spans]),
            np.concatenate([span.starts for span in spans]),
            np.concatenate([span.ends for span in spans]),
        )
        first = max(0, int(np.searchsorted(starts, since, side="right")) - 1)
        last = len(self.text) if until is None else until
        end = int(np.searchsorted(ends, last, side="right"))
        return AlignedText(ids[first:end], starts[first:end], ends[first:end])

    @property
    def _last_symbol(self) -> int | None:
        ids = [span.ids for span in self._spans if len(span.ids)]
        return int(ids[-1][-1]) if ids else self.start.after

    def _until_last_sentence(self, symbols: Indices) -> Indices:
        """Return the symbols before the end of the last sentence that is wanted."""
        end = self.tokenizer.end
        if not self.conditions.sentences or end is None or not len(symbols):
            return symbols
        # An end at the beginning, or right after another, ends no sentence.
        last = self._last_symbol if self._length else end
        before = np.append(-1 if last is None else last, symbols[:-1])
        ends = np.flatnonzero((symbols == end) & (before != end))
        due = self.conditions.sentences - self._sentences
        self._sentences += len(ends)
        if len(ends) < due:
            return symbols
        self.reason = FinishReason.END
        return symbols[: ends[due - 1]]

    def _append(self, symbols: Indices, log_probs: Floats) -> None:
        span = _decoded(
            self.tokenizer,
            symbols,
            log_probs,
            after=self._last_symbol,
            is_spaced=self.start.is_spaced and not self.text,
            offset=len(self.text),
        )
        self._spans.append(span)
        self.text += span.text

    def _cut(self, end: int, reason: FinishReason) -> None:
        """End the text at a character."""
        self.reason, self.text = reason, self.text[:end]
        self._spans = [span.until(end) for span in self._spans]


@dataclass(frozen=True)
class _Span:
    """A part of a sample; offsets are in characters of the whole sample."""

    text: str
    ids: Indices  # (symbols,)
    log_probs: Floats  # (symbols,), NaN for a symbol that was not sampled
    starts: Indices  # (symbols,), where each symbol begins, after the space before it
    ends: Indices  # (symbols,)

    def until(self, end: int) -> "_Span":
        """Return the symbols that end at or before a character, without their text."""
        last = int(np.searchsorted(self.ends, end, side="right"))
        ids, logs = self.ids[:last], self.log_probs[:last]
        return _Span("", ids, logs, self.starts[:last], self.ends[:last])


def _decoded(
    tokenizer: Tokenizer,
    symbols: Indices,
    log_probs: Floats,
    *,
    after: int | None,
    is_spaced: bool,
    offset: int,
) -> _Span:
    """Return the span that symbols add to a text of `offset` characters that ends with `after`.

    The beginning of a sentence, which is never sampled, is inserted after the end of another.
    """
    if isinstance(tokenizer, CharacterTokenizer) and tokenizer.end is None:
        starts = np.arange(offset, offset + len(symbols))
        return _Span(tokenizer.decode(symbols), symbols, log_probs, starts, starts + 1)
    if tokenizer.end is not None and tokenizer.begin is not None:
        before = np.append(-1 if after is None else after, symbols[:-1])[: len(symbols)]
        ended = np.flatnonzero(before == tokenizer.end)
        symbols = np.insert(symbols, ended, tokenizer.begin)
        log_probs = np.insert(log_probs, ended, np.nan)
    texts = _symbol_texts(tokenizer, symbols, after, is_spaced=is_spaced)
    ends = offset + np.cumsum([len(text) for text in texts], dtype=np.int64)
    of_words = isinstance(tokenizer, WordTokenizer)
    lengths = [len(text.lstrip(" ") if of_words else text) for text in texts]
    starts = ends - np.array(lengths, np.int64)
    return _Span("".join(texts), symbols, log_probs, starts, ends)


def _symbol_texts(
    tokenizer: Tokenizer, symbols: Indices, after: int | None, *, is_spaced: bool
) -> list[str]:
    """Return the text of each symbol, with the space before it."""
    texts = []
    for position, symbol in enumerate(symbols.tolist()):
        # After an unknown word a symbol is spaced as after a word like itself.
        before = symbol if after is None and not is_spaced else after
        text = tokenizer.decode(symbols[position : position + 1], before)
        texts.append(text.removeprefix(" ") if is_spaced else text)
        after, is_spaced = symbol, is_spaced and not texts[-1]
    return texts
