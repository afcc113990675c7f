"""Writes texts with a version, for many chains at once: prompts in, ids out.

Knows neither items nor jobs. Called by `generation` for clients, and by the trainings for the
samples after an epoch.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from seqd_char_lstm.artifact import Version
from seqd_char_lstm.chains import Chains, Characters, Engine, Ids
from seqd_char_lstm.engine import engine_for
from seqd_char_lstm.pacing import Crew, Pace, shared_out
from seqd_char_lstm.sampling import Rules

#: Rows of states that a block has at most, of which a chain takes one, or as many as a window has
#: characters: a core's caches hold their states beside a panel of weights.
BLOCK_ROWS: Final = 128
#: Blocks that a thread has at most at the same time.
_BLOCKS: Final = 4


@dataclass(frozen=True)
class Start:
    """What a chain begins with."""

    prompt: Ids  # (characters,), of a version that reads windows exactly one window
    temperature: float
    stream: np.random.Generator


@dataclass(frozen=True)
class Written:
    """The next characters of one chain."""

    chain: int
    ids: Ids  # (characters,)
    log_probs: npt.NDArray[np.float64]  # (characters,), natural, under the model itself


class Writing:
    """Texts under way. Go through `pieces`, and `end` chains that need no more.

    A chain's text depends on its start and the rules alone; a shorter one is the beginning of a
    longer one.
    """

    def __init__(
        self,
        forward: Engine,
        starts: Sequence[Start],
        rules: Rules,
        *,
        chain_rows: int,
        threads: int,
        stop_requested: Callable[[], bool],
    ) -> None:
        """`chain_rows` is what a chain takes of `BLOCK_ROWS`."""
        self._forward = forward
        self._starts = starts
        self._rules = rules
        self._threads = threads
        self._most = max(1, BLOCK_ROWS // chain_rows)
        self._pace = Pace(stop_requested, "The writing")
        self._ended: set[int] = set()

    def pieces(self, length: int) -> Iterator[Written]:
        """Write `length` characters of each chain that has not ended, a few at a time.

        Raises Stopped about a tenth of a second after it was asked for.
        """
        with Crew(self._threads) as crew:
            group = self._most * _BLOCKS * self._threads
            for first in range(0, len(self._starts), group):
                members = range(first, min(first + group, len(self._starts)))
                yield from self._write(crew, members, length)

    def end(self, chain: int) -> None:
        """Write no more of this chain; a piece that is under way still has some."""
        self._ended.add(chain)

    def _write(self, crew: Crew, members: range, length: int) -> Iterator[Written]:
        parts = shared_out(len(members), self._threads, self._most)
        blocks = [_Block(self._starts, [members[n] for n in part]) for part in parts]
        self._read_prompts(crew, blocks)
        done = 0
        while done < length and blocks:
            steps = min(self._pace.next_steps(), length - done)
            pieces = crew.each(partial(_Block.write, steps=steps, rules=self._rules), blocks)
            for block, piece in zip(blocks, pieces, strict=True):
                for row, chain in enumerate(block.numbers):
                    yield Written(chain, piece.ids[row], piece.log_probs[row])
            done += steps
            blocks = [block for block in blocks if block.without(self._ended)]

    def _read_prompts(self, crew: Crew, blocks: Sequence["_Block"]) -> None:
        for block in blocks:
            block.begin(self._forward)
        done = 0
        while done < max(block.prompt_steps for block in blocks):
            steps = self._pace.next_steps()
            crew.each(partial(_Block.read, first=done, steps=steps), blocks)
            done += steps
        for block in blocks:
            block.branch()


class _Block:
    """Chains that are computed together."""

    def __init__(self, starts: Sequence[Start], numbers: list[int]) -> None:
        self.numbers = numbers
        self._temperatures = np.array([starts[n].temperature for n in numbers])
        self._streams = [starts[n].stream for n in numbers]
        prompts = {starts[n].prompt.tobytes(): starts[n].prompt for n in numbers}
        # The longest first, all ending at the same step.
        keys = sorted(prompts, key=lambda key: -len(key))
        place = {key: n for n, key in enumerate(keys)}
        self._of_chain = np.array([place[starts[n].prompt.tobytes()] for n in numbers])
        lengths = np.array([len(prompts[key]) for key in keys])
        self.prompt_steps = int(lengths[0])
        self._begins = self.prompt_steps - lengths  # (prompts,)
        self._prompts = np.zeros((len(keys), self.prompt_steps), np.int32)
        for row, key in enumerate(keys):
            self._prompts[row, self._begins[row] :] = prompts[key]

    def begin(self, forward: Engine) -> None:
        """Have one chain for each different prompt."""
        self._chains: Chains = forward.chains(len(self._prompts))

    def read(self, first: int, steps: int) -> None:
        """Read the next steps of the prompts."""
        ids = np.ascontiguousarray(self._prompts[:, first : first + steps])
        self._chains.read(ids, np.maximum(self._begins - first, 0))

    def branch(self) -> None:
        """Let each text go on from its prompt."""
        self._chains = self._chains.chosen(self._of_chain)

    def write(self, steps: int, rules: Rules) -> Characters:
        """Write the next steps of the texts."""
        uniforms = np.stack([stream.random(steps) for stream in self._streams])
        return self._chains.write(uniforms, self._temperatures, rules)

    def without(self, ended: set[int]) -> bool:
        """Drop the chains that have ended; False when none is left."""
        left = [place for place, number in enumerate(self.numbers) if number not in ended]
        if 0 < len(left) < len(self.numbers):
            places = np.array(left)
            self._chains = self._chains.chosen(places)
            self._temperatures = self._temperatures[places]
            self._streams = [self._streams[place] for place in left]
        self.numbers = [self.numbers[place] for place in left]
        return bool(left)


def write_samples(
    version: Version,
    prompt: Ids,
    temperatures: Sequence[float],
    streams: Sequence[np.random.Generator],
    length: int,
    stop_requested: Callable[[], bool],
    threads: int = 1,
) -> Ids:
    """Continue one prompt of known ids at each temperature: (temperatures, length) ids.

    Of a version that reads windows the prompt is one window. Raises Stopped.
    """
    starts = [
        Start(prompt, temperature, stream)
        for temperature, stream in zip(temperatures, streams, strict=True)
    ]
    writing = Writing(
        engine_for(version),
        starts,
        Rules(),
        chain_rows=version.config.window or 1,
        threads=threads,
        stop_requested=stop_requested,
    )
    pieces: list[list[Ids]] = [[] for _ in starts]
    for written in writing.pieces(length):
        pieces[written.chain].append(written.ids)
    return np.array([np.concatenate(parts) for parts in pieces])
