"""One sample while it is written: its symbols, its text, and where it ends.

Knows nothing of how symbols are drawn, nor of other samples. Used by `writing`.

A text ends, whichever comes first, before a stop text, with its last sentence, or at the most
symbols or characters that it may have. The end of a sentence counts as one symbol of the length,
and as a sentence where something was written since the last one.
"""

from dataclasses import dataclass, field

import numpy as np

from seqd_markov.copies import Written
from seqd_markov.odds import Floats, Places
from seqd_markov.passages import Passage, put_together, spelled
from seqd_markov.stopping import StopTexts
from seqd_markov.tokens import Tokens
from seqd_schemas import FinishReason

#: Lengths of the n-grams that `distinct` counts. A version has 1,114,114 symbols at most, so that
#: three of them are a number.
_DISTINCT = (1, 2, 3)


@dataclass(frozen=True)
class Start:
    """Where a prompt leaves off."""

    state: int
    #: The last symbol before the text; None where there is none, or it is not known.
    after: int | None
    #: True where nothing stands before the text, or a blank that it need not bring.
    is_spaced: bool


@dataclass(frozen=True)
class Rules:
    """Where a text ends."""

    length: int
    max_characters: int
    #: 0 for any number.
    sentences: int
    stops: StopTexts


@dataclass
class Draft:
    """A text as far as it is written."""

    tokens: Tokens
    rules: Rules
    start: Start
    #: The state that the next symbol is drawn in.
    state: int = field(init=False)
    text: str = field(default="", init=False)
    #: Why it has ended; None while it goes on.
    reason: FinishReason | None = field(default=None, init=False)
    _drawn: int = field(default=0, init=False)
    _sentences: int = field(default=0, init=False)
    _passages: list[Passage] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.state = self.start.state

    @property
    def room(self) -> int:
        """Symbols that may still be drawn."""
        return self.rules.length - self._drawn

    @property
    def settled(self) -> int:
        """Characters that are part of the text whatever comes."""
        return len(self.text) - (0 if self.reason else self.rules.stops.held(self.text))

    def take(self, symbols: Places, log_probs: Floats, state: int) -> None:
        """Go on with what was drawn in `state` and after it, as much of it as is needed.

        `state` is the one after the last symbol.
        """
        symbols = self._to_last_sentence(symbols[: self.room])
        self._drawn += len(symbols)
        if self.reason is None and not self.room:
            self.reason = FinishReason.LENGTH
        searched = len(self.text)
        self._add(symbols, log_probs[: len(symbols)])
        self.state = state
        if len(self.text) > self.rules.max_characters:
            last = self._passages[-1].up_to(self.rules.max_characters)
            end = int(last.ends[-1]) if len(last.ends) else searched
            self._cut(end, FinishReason.LENGTH)
        place = self.rules.stops.find(self.text, searched)
        if place is not None:
            self._cut(place, FinishReason.STOP)

    def mean_log_prob(self) -> float | None:
        """Mean log-probability of its symbols; None where it has none."""
        logs = np.concatenate([passage.log_probs for passage in self._passages])
        logs = logs[~np.isnan(logs)]
        return float(logs.mean()) if len(logs) else None

    def distinct(self) -> tuple[float, ...]:
        """Share of different n-grams among its n-grams, for n of 1, 2, 3 as far as it has any."""
        ids = np.concatenate([passage.ids for passage in self._passages])
        shares, grams = [], ids
        for n in _DISTINCT[: len(ids)]:
            if n > 1:
                grams = grams[:-1] * self.tokens.symbols + ids[n - 1 :]  # below 2**63
            ordered = np.sort(grams)
            different = 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))
            shares.append(different / len(grams))
        return tuple(shares)

    def written(self, since: int = 0, until: int | None = None) -> Written:
        """Its symbols, from the last that begins at or before the character `since` on.

        `until` leaves out those that end behind that character.
        """
        passages: list[Passage] = []
        for passage in reversed(self._passages):
            passages.insert(0, passage)
            if len(passage.starts) and passage.starts[0] <= since:
                break
        whole = put_together(passages)
        first = max(0, int(np.searchsorted(whole.starts, since, side="right")) - 1)
        last = len(self.text) if until is None else until
        end = int(np.searchsorted(whole.ends, last, side="right"))
        return Written(whole.ids[first:end], whole.starts[first:end], whole.ends[first:end])

    @property
    def _last(self) -> int | None:
        """The symbol that the next one stands behind."""
        ids = [passage.ids for passage in self._passages if len(passage.ids)]
        return int(ids[-1][-1]) if ids else self.start.after

    def _to_last_sentence(self, symbols: Places) -> Places:
        """What was drawn up to the end of the last sentence that is wanted."""
        end = self.tokens.end
        if not self.rules.sentences or end is None or not len(symbols):
            return symbols
        # Nothing was written before an end that comes first, or behind another.
        last = self._last if self._drawn else end
        before = np.append(-1 if last is None else last, symbols[:-1])
        places = np.flatnonzero((symbols == end) & (before != end))
        due = self.rules.sentences - self._sentences
        self._sentences += len(places)
        if len(places) < due:
            return symbols
        self.reason = FinishReason.END
        return symbols[: places[due - 1]]

    def _add(self, symbols: Places, log_probs: Floats) -> None:
        passage = spelled(
            self.tokens,
            symbols,
            log_probs,
            after=self._last,
            is_spaced=self.start.is_spaced and not self.text,
            offset=len(self.text),
        )
        self._passages.append(passage)
        self.text += passage.text

    def _cut(self, end: int, reason: FinishReason) -> None:
        """End the text at a character."""
        self.reason, self.text = reason, self.text[:end]
        self._passages = [passage.up_to(end) for passage in self._passages]
