"""Writes samples: draws, ends each where it ends, looks for copies, hands over what is settled.

A sample is written anew while it has more in a row from the training text than is allowed. The
random numbers of a try are those of the sample's stream, 2**128 numbers further on for each try;
so no try depends on what else is written. Called by `generation`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqd.errors import Stopped
from seqd.hookspecs import RunContext, WorkItem, random_stream
from seqd_markov.copies import Copies, Written
from seqd_markov.drafts import Draft, Rules, Start
from seqd_markov.sampling import Sampler
from seqd_markov.tokens import Tokens, Words
from seqd_schemas import FinishReason

#: Symbols of each text that are drawn together: characters, and words, of which a sentence has 20.
_PIECE_SYMBOLS = 256
_PIECE_WORDS = 64


@dataclass(frozen=True)
class Asked:
    """A sample to be written."""

    item: WorkItem
    place: int  # among all samples of its item
    sample: int  # among those of its temperature
    start: Start


@dataclass(frozen=True)
class Done:
    """A sample that is written."""

    text: str
    reason: FinishReason
    mean_log_prob: float | None
    distinct: tuple[float, ...]
    longest_copy: int | None


@dataclass(frozen=True)
class Writer:
    """Writes by one sampler and one set of rules."""

    sampler: Sampler
    tokens: Tokens
    rules: Rules
    seed: int
    #: None where the training text was not kept.
    copies: Copies | None
    #: Characters in a row that may be from the training text; 0 for any. Needs `copies`.
    max_copied: int
    tries: int
    context: RunContext

    def write(self, group: Sequence[Asked]) -> list[Done | None]:
        """Write samples; None for one of which each try had too long a copy.

        Raises Stopped within 256 symbols of each sample.
        """
        pages = [_Page(self, asked) for asked in group]
        open_pages = pages
        while open_pages:
            self._go_on(open_pages)
            if self.max_copied and self.copies is not None:
                self._reject(open_pages, self.copies)
            for page in open_pages:
                page.hand_over()
            open_pages = [page for page in open_pages if page.is_open]
        written = [page for page in pages if not page.is_given_up]
        copied = iter(self._longest_copies(written))
        return [None if page.is_given_up else page.done(next(copied)) for page in pages]

    def stream_of(self, asked: Asked, attempt: int) -> np.random.BitGenerator:
        """The random numbers of one try, the first being 0."""
        stream = random_stream(self.seed, asked.item.index, asked.sample).bit_generator
        assert isinstance(stream, np.random.Philox)
        return stream.jumped(attempt) if attempt else stream

    def _go_on(self, pages: Sequence["_Page"]) -> None:
        """Draw the next piece of each, or what is left of the longest."""
        piece = _PIECE_WORDS if isinstance(self.tokens, Words) else _PIECE_SYMBOLS
        drawn = self.sampler.draw(
            [page.draft.state for page in pages],
            [page.stream for page in pages],
            min(piece, max(page.draft.room for page in pages)),
            self._ask,
        )
        for page, *parts in zip(pages, drawn.symbols, drawn.log_probs, drawn.states, strict=True):
            page.draft.take(*parts)

    def _reject(self, pages: Sequence["_Page"], copies: Copies) -> None:
        """Begin those anew that have too long a copy already."""
        found = copies.longest([page.unchecked() for page in pages], self.context.stop_requested)
        for page, characters in zip(pages, found, strict=True):
            if characters > self.max_copied:
                page.begin_anew()

    def _longest_copies(self, pages: Sequence["_Page"]) -> Sequence[int | None]:
        if self.copies is None:
            return [None] * len(pages)
        return self.copies.longest(
            [page.draft.written() for page in pages], self.context.stop_requested
        )

    def _ask(self) -> None:
        if self.context.stop_requested():
            raise Stopped("The writing was stopped before its end; there is no result.")


class _Page:
    """A sample and the present try at it."""

    def __init__(self, writer: Writer, asked: Asked) -> None:
        self._writer = writer
        self._asked = asked
        self._attempt = 0
        self._checked = 0  # characters that have been looked at for copies
        self._handed = 0  # characters that have been streamed
        self.is_given_up = False
        self.draft = Draft(writer.tokens, writer.rules, asked.start)
        self.stream = writer.stream_of(asked, 0)

    @property
    def is_open(self) -> bool:
        """True when it is to be gone on with."""
        return self.draft.reason is None and not self.is_given_up

    def unchecked(self) -> Written:
        """What may have a copy too long that was not there at the last look.

        Only what is settled: a copy that ends in a stop text may be cut short yet.
        """
        since, self._checked = self._checked, self.draft.settled
        return self.draft.written(since - self._writer.max_copied - 1, self._checked)

    def begin_anew(self) -> None:
        """Throw the try away, and give up after the last one."""
        self._attempt += 1
        self.is_given_up = self._attempt == self._writer.tries or self._writer.sampler.is_certain
        self._checked = 0
        self.draft = Draft(self._writer.tokens, self._writer.rules, self._asked.start)
        self.stream = self._writer.stream_of(self._asked, self._attempt)

    def hand_over(self) -> None:
        """Stream what is settled; of a text that may still be thrown away nothing."""
        if self._writer.max_copied and self.is_open:
            return
        piece = self.draft.text[self._handed : self.draft.settled]
        self._handed += len(piece)
        if piece:
            self._writer.context.stream(self._asked.item, self._asked.place, piece)

    def done(self, longest_copy: int | None) -> Done:
        """The sample, once it has ended."""
        assert self.draft.reason is not None
        return Done(
            self.draft.text,
            self.draft.reason,
            self.draft.mean_log_prob(),
            self.draft.distinct(),
            longest_copy,
        )
