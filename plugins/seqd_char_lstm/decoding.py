"""Autoregressive decoding of many chains at once: prompts as ids in, sampled ids out.

Chains are grouped into blocks, which threads compute side by side, a chunk of steps at a time;
between two chunks it is checked whether to stop. No result depends on blocks, threads or chunks.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, Self, TypeVar

import numpy as np
import numpy.typing as npt

from seqd.errors import Stopped
from seqd_char_lstm.chains import Chains, Characters, Engine, Ids
from seqd_modelkit.sampling import SamplingRules

#: Rows of states that a block has at most, of which a chain takes one, or as many as a window has
#: characters: a core's caches hold their states beside a panel of weights.
BLOCK_ROWS: Final = 128
#: Blocks that a thread has at most at the same time.
_BLOCKS: Final = 4

#: Seconds of a chunk: less than the quarter that a stop may take, also where a busy machine gives
#: half of its time to others.
_CHUNK_S: Final = 0.1
#: Steps of a chunk at most, also where they are quick: so many random numbers are drawn together,
#: and a reader of the stream gets so many characters at once.
_MAX_STEPS: Final = 64
#: Steps of the first chunk, whose speed nobody knows: the first characters come soon.
_FIRST_STEPS: Final = 4

_Part = TypeVar("_Part")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class ChainStart:
    """What a chain begins with."""

    prompt: Ids  # (characters,), of a version that reads windows exactly one window
    temperature: float
    random: np.random.Generator


@dataclass(frozen=True)
class ChainDelta:
    """The next characters of one chain."""

    chain: int
    ids: Ids  # (characters,)
    log_probs: npt.NDArray[np.float64]  # (characters,), natural, under the model itself


class Decoder:
    """Chains that are decoded together. Iterate over `decode`, and `stop` chains that are done.

    A chain's ids depend on its start and the rules alone; a shorter text is a prefix of a longer
    one.
    """

    def __init__(
        self,
        engine: Engine,
        starts: Sequence[ChainStart],
        rules: SamplingRules,
        *,
        chain_rows: int,
        threads: int,
        stop_requested: Callable[[], bool],
    ) -> None:
        """`chain_rows` is what a chain takes of `BLOCK_ROWS`."""
        self._engine = engine
        self._starts = starts
        self._rules = rules
        self._threads = threads
        self._block_chains = max(1, BLOCK_ROWS // chain_rows)
        self._chunks = ChunkSizes(stop_requested, "The writing")
        self._stopped: set[int] = set()

    def decode(self, length: int) -> Iterator[ChainDelta]:
        """Yield `length` characters of each chain that is not stopped, a few at a time.

        Raises Stopped about a tenth of a second after it was asked for.
        """
        with ThreadMap(self._threads) as threads:
            group = self._block_chains * _BLOCKS * self._threads
            for first in range(0, len(self._starts), group):
                members = range(first, min(first + group, len(self._starts)))
                yield from self._decode_group(threads, members, length)

    def stop(self, chain: int) -> None:
        """Decode no more of this chain; the current chunk may still have some of it."""
        self._stopped.add(chain)

    def _decode_group(
        self, threads: "ThreadMap", members: range, length: int
    ) -> Iterator[ChainDelta]:
        parts = split_evenly(len(members), self._threads, self._block_chains)
        blocks = [_Block(self._starts, [members[n] for n in part]) for part in parts]
        self._read_prompts(threads, blocks)
        done = 0
        while done < length and blocks:
            steps = min(self._chunks.next_steps(), length - done)
            decoded = threads.map(partial(_Block.write, steps=steps, rules=self._rules), blocks)
            for block, characters in zip(blocks, decoded, strict=True):
                for row, chain in enumerate(block.numbers):
                    yield ChainDelta(chain, characters.ids[row], characters.log_probs[row])
            done += steps
            blocks = [block for block in blocks if block.drop(self._stopped)]

    def _read_prompts(self, threads: "ThreadMap", blocks: Sequence["_Block"]) -> None:
        for block in blocks:
            block.begin(self._engine)
        done = 0
        while done < max(block.prompt_steps for block in blocks):
            steps = self._chunks.next_steps()
            threads.map(partial(_Block.read, first=done, steps=steps), blocks)
            done += steps
        for block in blocks:
            block.branch()


class _Block:
    """Chains that are computed together."""

    def __init__(self, starts: Sequence[ChainStart], numbers: list[int]) -> None:
        self.numbers = numbers
        self._temperatures = np.array([starts[n].temperature for n in numbers])
        self._randoms = [starts[n].random for n in numbers]
        prompts = {starts[n].prompt.tobytes(): starts[n].prompt for n in numbers}
        # The longest first, all ending at the same step.
        keys = sorted(prompts, key=lambda key: -len(key))
        row_of = {key: n for n, key in enumerate(keys)}
        self._prompt_of_chain = np.array([row_of[starts[n].prompt.tobytes()] for n in numbers])
        lengths = np.array([len(prompts[key]) for key in keys])
        self.prompt_steps = int(lengths[0])
        self._begins = self.prompt_steps - lengths  # (prompts,)
        self._prompts = np.zeros((len(keys), self.prompt_steps), np.int32)
        for row, key in enumerate(keys):
            self._prompts[row, self._begins[row] :] = prompts[key]

    def begin(self, engine: Engine) -> None:
        """Have one chain for each distinct prompt."""
        self._chains: Chains = engine.chains(len(self._prompts))

    def read(self, first: int, steps: int) -> None:
        """Read the next steps of the prompts."""
        ids = np.ascontiguousarray(self._prompts[:, first : first + steps])
        self._chains.read(ids, np.maximum(self._begins - first, 0))

    def branch(self) -> None:
        """Copy each prompt's chain for the texts that continue it."""
        self._chains = self._chains.chosen(self._prompt_of_chain)

    def write(self, steps: int, rules: SamplingRules) -> Characters:
        """Return the next steps of the texts."""
        uniforms = np.stack([random.random(steps) for random in self._randoms])
        return self._chains.write(uniforms, self._temperatures, rules)

    def drop(self, stopped: set[int]) -> bool:
        """Drop the chains that are stopped; return False when none is left."""
        left = [row for row, number in enumerate(self.numbers) if number not in stopped]
        if 0 < len(left) < len(self.numbers):
            rows = np.array(left)
            self._chains = self._chains.chosen(rows)
            self._temperatures = self._temperatures[rows]
            self._randoms = [self._randoms[row] for row in left]
        self.numbers = [self.numbers[row] for row in left]
        return bool(left)


class ChunkSizes:
    """How many steps to compute until the next check of the stop request."""

    def __init__(self, stop_requested: Callable[[], bool], what: str) -> None:
        """`what` is what was stopped, for the error."""
        self._stop_requested = stop_requested
        self._what = what
        self._steps = _FIRST_STEPS
        self._began_s: float | None = None

    def next_steps(self) -> int:
        """Return the steps of the next chunk, by the time that the last one took; raise Stopped."""
        if self._stop_requested():
            raise Stopped(f"{self._what} was stopped before its end; there is no result.")
        now_s = time.monotonic()
        if self._began_s is not None:
            chunk_s = max(now_s - self._began_s, 1e-6)
            wanted = int(self._steps * min(_CHUNK_S / chunk_s, 4.0))
            self._steps = max(1, min(wanted, _MAX_STEPS))
        self._began_s = now_s
        return self._steps


class ThreadMap:
    """Threads that share the parts of some work; to be used in a `with` block."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def map(self, work: Callable[[_Part], _Result], parts: Sequence[_Part]) -> list[_Result]:
        """Return the work's result for each part, in order; parallel where there are threads."""
        if self._pool is None or len(parts) == 1:
            return [work(part) for part in parts]
        return list(self._pool.map(work, parts))


def split_evenly(count: int, threads: int, most: int) -> list[range]:
    """Return `count` numbers as ranges of at most `most`, as even among the threads as can be."""
    rounds = -(-count // (threads * most))
    size = max(1, -(-count // (rounds * threads)) if rounds else 1)
    if size >= 4:
        size = min(-(-size // 4) * 4, most)  # four at a time are computed as quickly as two
    return [range(first, min(first + size, count)) for first in range(0, count, size)]
