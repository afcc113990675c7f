"""Draws symbols from a version's model, for many texts at once.

A text's symbols depend on its state and its random numbers alone, to the last one, whatever else
is drawn with it. Called by `writing`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from seqd_markov.descent import Descent
from seqd_markov.odds import Floats, Numbers, Odds, Places
from seqd_markov.rows import COLDEST, Rows

#: Texts that are drawn together.
_TEXTS_AT_ONCE = 256


@dataclass(frozen=True)
class Drawn:
    """The next symbols of all texts."""

    symbols: Places  # (texts, steps)
    log_probs: Floats  # (texts, steps), the model's own, at temperature 1
    states: list[int]  # (texts,), after the last step


class Sampler:
    """A model prepared for drawing at one temperature."""

    def __init__(
        self, odds: Odds, temperature: float, *, top_k: int = 0, top_p: float = 1.0
    ) -> None:
        self._odds = odds
        is_cut = 0 < top_k < odds.predictable or top_p < 1.0 or temperature < COLDEST
        in_rows = is_cut or odds.mixes
        #: True when no chance is left, so that another try gives the same text.
        self.is_certain = temperature < COLDEST or top_k == 1
        self._drawer: Rows | Descent = (
            Rows(odds, temperature, top_k, top_p) if in_rows else Descent(odds, temperature)
        )

    @property
    def nbytes(self) -> int:
        """Memory beside the model's."""
        return self._drawer.nbytes

    @property
    def texts_at_once(self) -> int:
        """Texts that are best drawn together, at most."""
        if isinstance(self._drawer, Rows):
            return min(_TEXTS_AT_ONCE, self._drawer.texts_at_once)
        return _TEXTS_AT_ONCE

    def draw(
        self,
        states: Sequence[int],
        streams: Sequence[np.random.BitGenerator],
        steps: int,
        ask: Callable[[], None],
    ) -> Drawn:
        """Draw `steps` symbols after each state; of each stream the next numbers are used.

        `ask` raises when it is to end; it is called at least once.
        """
        ask()
        numbers = [self._numbers(stream, steps) for stream in streams]
        if isinstance(self._drawer, Rows):
            return Drawn(*self._drawer.draw(states, numbers, ask))
        drawn = [self._drawer.draw(*pair) for pair in zip(states, numbers, strict=True)]
        return Drawn(
            np.array([symbols for symbols, _, _ in drawn]),
            np.array([log_probs for _, log_probs, _ in drawn]),
            [state for _, _, state in drawn],
        )

    def _numbers(self, stream: np.random.BitGenerator, steps: int) -> Numbers:
        """The next numbers of a stream: the first ones are the same however many are asked for."""
        each = (self._odds.model.order + 3) // 2
        return stream.random_raw(steps * each).view(np.uint32).reshape(steps, 2 * each)
