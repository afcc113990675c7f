"""Continues prompts with a loaded version: the `generate` task.

Made by the model's description (`seqd_markov.Markov`); how characters are drawn is
`sampling`'s.

The last character of a prompt is the state that the chain starts in; it is lower-cased when
the version was trained on lower-cased text, and one that the chain does not know is an
ItemError. After an empty prompt the first character is drawn by the frequencies of single
characters. A sample's random numbers depend on the seed, the item's index and the sample's
number alone: not on its temperature, nor on the other temperatures and samples asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from seqd.hookspecs import LoadedModel, PluginParameters, RunContext, WorkItem, random_stream
from seqd_markov.chain import Chain
from seqd_markov.inspection import listed
from seqd_markov.parameters import GenerateParameters
from seqd_markov.sampling import Sampler
from seqd_schemas import GeneratedSample, Generation, ItemError, ItemErrorCode

#: Texts that are drawn together, in 30 MB. On one core 300,000 characters a second one text at
#: a time, 8 million from 64 on.
_GROUP_TEXTS = 4_096


@dataclass
class _Text:
    """One sample as it is written."""

    item: WorkItem
    state: int | None
    rank: int  # of its temperature
    sample: int  # number among the samples of its temperature
    place: int  # number among all samples of its item
    pieces: list[str] = field(default_factory=list)
    log_prob: float = 0.0


class Generator(LoadedModel):
    """A version in memory."""

    def __init__(self, chain: Chain, *, lower_case: bool) -> None:
        self._chain = chain
        self._lower_case = lower_case
        #: Counts, and about as much again for one temperature's limits.
        self.memory_bytes = 2 * sum(
            array.nbytes
            for array in (chain.character_counts, chain.row_starts, chain.successors, chain.counts)
        )

    def warm_up(self) -> None:
        """Prepare a sampler; there is nothing to warm beyond NumPy itself."""
        Sampler(self._chain, [1.0])

    def cost_tokens(self, text: str) -> int:
        """Every prompt costs the same: only its last character is read."""
        return 1

    def generate(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> Sequence[Generation | ItemError]:
        """Continue each prompt. Raises Stopped within 256 characters of a group of samples."""
        assert isinstance(parameters, GenerateParameters)
        outcomes = [self._texts(item, parameters) for item in items]
        texts = [text for outcome in outcomes if isinstance(outcome, list) for text in outcome]
        sampler = Sampler(self._chain, parameters.temperatures)
        for first in range(0, len(texts), _GROUP_TEXTS):
            self._write(sampler, texts[first : first + _GROUP_TEXTS], parameters, context)
        return [
            outcome if isinstance(outcome, ItemError) else _generation(outcome, parameters)
            for outcome in outcomes
        ]

    def _texts(self, item: WorkItem, parameters: GenerateParameters) -> list[_Text] | ItemError:
        state = self._start(item.text)
        if isinstance(state, ItemError):
            return state
        return [
            _Text(item, state, rank, sample, rank * parameters.samples + sample)
            for rank in range(len(parameters.temperatures))
            for sample in range(parameters.samples)
        ]

    def _start(self, prompt: str) -> int | ItemError | None:
        if not _is_unicode(prompt):
            return ItemError(
                code=ItemErrorCode.DECODE_ERROR,
                message="The prompt has a lone surrogate, which is no character. Send valid text.",
            )
        last = prompt[-1:].lower()[-1:] if self._lower_case else prompt[-1:]
        state = self._chain.state_of(last) if last else None
        if last and state is None:
            return ItemError(
                code=ItemErrorCode.INVALID_INPUT,
                message=f"The prompt ends with {last!r}, which the chain does not know. It knows "
                f"{len(self._chain.alphabet)} characters: {listed(self._chain.alphabet)}. "
                "End the prompt with one of them, or send an empty one.",
            )
        return state

    def _write(
        self,
        sampler: Sampler,
        texts: Sequence[_Text],
        parameters: GenerateParameters,
        context: RunContext,
    ) -> None:
        pieces = sampler.draw(
            [text.state for text in texts],
            [text.rank for text in texts],
            [random_stream(parameters.seed, text.item.index, text.sample) for text in texts],
            parameters.length,
            context.stop_requested,
        )
        for piece in pieces:
            for text, states, log_probs in zip(texts, piece.states, piece.log_probs, strict=True):
                text.pieces.append(self._chain.decode(states))
                text.log_prob += float(log_probs.sum())
                context.stream(text.item.index, text.place, text.pieces[-1])


def _generation(texts: Sequence[_Text], parameters: GenerateParameters) -> Generation:
    return Generation(
        prompt=texts[0].item.text,
        samples=tuple(
            GeneratedSample(
                text="".join(text.pieces),
                temperature=parameters.temperatures[text.rank],
                seed=parameters.seed,
                mean_log_prob=text.log_prob / parameters.length,
            )
            for text in texts
        ),
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
