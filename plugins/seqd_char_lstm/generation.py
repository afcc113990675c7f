"""Continues prompts with a loaded version: the `generate` task.

Turns items into windows of ids and chains back into samples; how characters are computed is
`writing`'s and `forward`'s. Made by the model's description (`seqd_char_lstm.CharLstm`).

How a prompt becomes the window that the model reads:

- It is lower-cased, when the version was trained on lower-cased text.
- Of a prompt longer than the window, the last characters are read.
- Before a shorter prompt, or an empty one, stand the last characters of `lead_in`, text of
  the corpus up to the end of a sentence: the model sees what it was trained to see, and the
  prompt begins a sentence.
- A character of the window that the model does not know is an ItemError, never a guess.

A sample's random numbers depend on the seed, the item's index and the sample's number alone:
not on its temperature, nor on the other temperatures and samples that were asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from seqd.hookspecs import LoadedModel, PluginParameters, RunContext, WorkItem, random_stream
from seqd_char_lstm.artifact import Config, Weights
from seqd_char_lstm.forward import Folded
from seqd_char_lstm.parameters import GenerateParameters
from seqd_char_lstm.text import Alphabet, Ids
from seqd_char_lstm.writing import read_prompts, write
from seqd_schemas import GeneratedSample, Generation, ItemError, ItemErrorCode

#: Chains that are written together: 64 reach the full speed of `forward`, in 8 MB of states.
_GROUP_CHAINS = 64

#: Characters that an error message lists at most.
_LISTED_CHARACTERS = 100


@dataclass
class _Chain:
    """One sample as it is written."""

    item: WorkItem
    window: Ids  # (window,)
    temperature: float
    sample: int  # number among the samples of its temperature
    place: int  # number among all samples of its item
    pieces: list[str] = field(default_factory=list)
    log_prob: float = 0.0


class Generator(LoadedModel):
    """A version in memory."""

    def __init__(self, config: Config, weights: Weights) -> None:
        self._config = config
        self._alphabet = Alphabet(config.alphabet)
        self._folded = Folded.of(weights)
        self.memory_bytes = self._folded.nbytes

    def warm_up(self) -> None:
        """Read the lead-in and write nothing: it runs every product once."""
        window = self._alphabet.encode(self._config.lead_in)
        read_prompts(self._folded, window[None, :], lambda: False).scores()

    def cost_tokens(self, text: str) -> int:
        """Every prompt costs one window, however long it is."""
        return self._config.window

    def generate(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> Sequence[Generation | ItemError]:
        """Continue each prompt. Raises Stopped within one character."""
        assert isinstance(parameters, GenerateParameters)
        outcomes: list[list[_Chain] | ItemError] = [
            self._chains(item, parameters) for item in items
        ]
        chains = [chain for chains in outcomes if isinstance(chains, list) for chain in chains]
        for first in range(0, len(chains), _GROUP_CHAINS):
            self._write(chains[first : first + _GROUP_CHAINS], parameters, context)
        return [
            outcome if isinstance(outcome, ItemError) else _generation(outcome, parameters)
            for outcome in outcomes
        ]

    def _chains(self, item: WorkItem, parameters: GenerateParameters) -> list[_Chain] | ItemError:
        window = self._window(item.text)
        if isinstance(window, ItemError):
            return window
        return [
            _Chain(item, window, temperature, sample, rank * parameters.samples + sample)
            for rank, temperature in enumerate(parameters.temperatures)
            for sample in range(parameters.samples)
        ]

    def _window(self, prompt: str) -> Ids | ItemError:
        if not _is_unicode(prompt):
            return ItemError(
                code=ItemErrorCode.DECODE_ERROR,
                message="The prompt has a lone surrogate, which is no character. Send valid text.",
            )
        cased = prompt.lower() if self._config.lower_case else prompt
        read = (self._config.lead_in + cased)[-self._config.window :]
        unknown = self._alphabet.unknown_in(read)
        if unknown:
            return ItemError(code=ItemErrorCode.INVALID_INPUT, message=self._refusal(unknown))
        return self._alphabet.encode(read)

    def _refusal(self, unknown: str) -> str:
        return (
            f"The last {self._config.window} characters of the prompt have {_listed(unknown)}, "
            f"which the model does not know. It knows {len(self._alphabet)} characters: "
            f"{_listed(self._alphabet.characters)}. Leave the others out."
        )

    def _write(
        self, chains: Sequence[_Chain], parameters: GenerateParameters, context: RunContext
    ) -> None:
        windows = np.stack([chain.window for chain in chains])  # (chains, window)
        prompts, of_chain = np.unique(windows, axis=0, return_inverse=True)
        wavefront = read_prompts(self._folded, prompts, context.stop_requested)
        pieces = write(
            wavefront.chosen(of_chain.reshape(-1)),
            [chain.temperature for chain in chains],
            [random_stream(parameters.seed, chain.item.index, chain.sample) for chain in chains],
            parameters.length,
            context.stop_requested,
        )
        for piece in pieces:
            for chain, ids, log_probs in zip(chains, piece.ids, piece.log_probs, strict=True):
                chain.pieces.append(self._alphabet.decode(ids))
                chain.log_prob += float(log_probs.sum())
                context.stream(chain.item.index, chain.place, chain.pieces[-1])


def _generation(chains: Sequence[_Chain], parameters: GenerateParameters) -> Generation:
    return Generation(
        prompt=chains[0].item.text,
        samples=tuple(
            GeneratedSample(
                text="".join(chain.pieces),
                temperature=chain.temperature,
                seed=parameters.seed,
                mean_log_prob=chain.log_prob / parameters.length,
            )
            for chain in chains
        ),
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _listed(characters: str) -> str:
    shown = " ".join(repr(character) for character in characters[:_LISTED_CHARACTERS])
    more = len(characters) - _LISTED_CHARACTERS
    return shown if more <= 0 else f"{shown} and {more:,} more"
