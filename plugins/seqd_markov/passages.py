"""Symbols that were drawn, with the characters of the text that each of them is.

Puts in what nobody draws: the beginning of a sentence behind the end of another, and the blanks
between words. Used by `drafts`.
"""

from dataclasses import dataclass

import numpy as np

from seqd_markov.copies import Written
from seqd_markov.odds import Floats, Places
from seqd_markov.tokens import Characters, Tokens, Words


@dataclass(frozen=True)
class Passage:
    """A part of a text; places are counted in characters of the whole text."""

    text: str
    ids: Places  # (symbols,)
    log_probs: Floats  # (symbols,), NaN where it was not drawn
    starts: Places  # (symbols,): where each symbol begins, behind the blank before it
    ends: Places  # (symbols,)

    def up_to(self, end: int) -> "Passage":
        """The symbols that end at or before a place, without their text."""
        last = int(np.searchsorted(self.ends, end, side="right"))
        ids, logs = self.ids[:last], self.log_probs[:last]
        return Passage("", ids, logs, self.starts[:last], self.ends[:last])


def spelled(
    tokens: Tokens,
    symbols: Places,
    log_probs: Floats,
    *,
    after: int | None,
    is_spaced: bool,
    offset: int,
) -> Passage:
    """Spell symbols as they go on behind the symbol `after`, or behind something unknown.

    `is_spaced` says that a blank stands there, or nothing at all; `offset` how many characters of
    the text do.
    """
    if isinstance(tokens, Characters) and tokens.end is None:
        starts = np.arange(offset, offset + len(symbols))
        return Passage(tokens.decode(symbols), symbols, log_probs, starts, starts + 1)
    if tokens.end is not None and tokens.begin is not None:
        before = np.append(-1 if after is None else after, symbols[:-1])[: len(symbols)]
        places = np.flatnonzero(before == tokens.end)
        symbols = np.insert(symbols, places, tokens.begin)
        log_probs = np.insert(log_probs, places, np.nan)
    pieces = _pieces(tokens, symbols, after, is_spaced=is_spaced)
    ends = offset + np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    lengths = [len(piece.lstrip(" ") if isinstance(tokens, Words) else piece) for piece in pieces]
    starts = ends - np.array(lengths, np.int64)
    return Passage("".join(pieces), symbols, log_probs, starts, ends)


def put_together(passages: list[Passage]) -> Written:
    """The symbols of passages one behind the other."""
    return Written(
        np.concatenate([passage.ids for passage in passages]),
        np.concatenate([passage.starts for passage in passages]),
        np.concatenate([passage.ends for passage in passages]),
    )


def _pieces(tokens: Tokens, symbols: Places, after: int | None, *, is_spaced: bool) -> list[str]:
    pieces = []
    for place, symbol in enumerate(symbols.tolist()):
        # What goes on behind an unknown word is spaced as behind a word like itself.
        before = symbol if after is None and not is_spaced else after
        piece = tokens.decode(symbols[place : place + 1], before)
        pieces.append(piece.removeprefix(" ") if is_spaced else piece)
        after, is_spaced = symbol, is_spaced and not pieces[-1]
    return pieces
