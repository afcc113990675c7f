"""A loaded version: it continues prompts, and measures texts.

How a prompt is encoded, in this order:

- It is lower-cased, where the version was trained on lower-cased text.
- Characters outside the alphabet are left out and counted, or the prompt is refused, as the job
  says. A lone surrogate is no character, and an error for any version.
- Before it stands the version's lead-in, text of the corpus up to the end of a sentence, so that a
  prompt begins a sentence and an empty one is a beginning too.
- Of both together the last characters are read: as many as the window has, or `MAX_READ` of a
  version that carries its states, which remembers nothing from further back.

`seqd_modelkit.sampling` has the rules by which a character is drawn. A sample's random numbers
depend on the seed, the item's index and the sample's number alone: not on its temperature, nor on
the other temperatures and samples of the job. Stop sequences are lower-cased as prompts are, and
looked for in what is written, not in the prompt.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal

import numpy as np

from seqd.errors import InvalidData
from seqd.hookspecs import LoadedModel, PluginParameters, RunContext, WorkItem, random_stream
from seqd_char_lstm.artifact import Config, Version
from seqd_char_lstm.chains import Doubles
from seqd_char_lstm.data import UNKNOWN, Alphabet, Ids
from seqd_char_lstm.decoding import ChainStart, Decoder
from seqd_char_lstm.engine import engine_for
from seqd_char_lstm.evaluation import bits_of_parts, bits_per_char, read_log_probs
from seqd_char_lstm.parameters import GenerateParameters
from seqd_modelkit.sampling import SamplingRules
from seqd_modelkit.stop_sequences import StopSequenceFilter, StopSequences
from seqd_schemas import FinishReason, GeneratedSample, Generation, ItemError, ItemErrorCode

#: Characters of a prompt that are read at most, 0.1 s of work for one alone; `evaluation` has what
#: half as many cost in exactness.
MAX_READ: Final = 1_024

#: Characters that an error message lists at most.
_LISTED_CHARACTERS: Final = 100

#: Orders n of the n-grams in a sample's `distinct_n`.
_DISTINCT: Final = (1, 2, 3)


class Generator(LoadedModel):
    """A version in memory."""

    def __init__(self, version: Version) -> None:
        self._version = version
        self._alphabet = Alphabet(version.config.alphabet)
        self._prompts = _PromptEncoder(version.config)
        self._engine = engine_for(version)
        mixture = 0 if version.mixture is None else version.mixture.nbytes
        self.memory_bytes = self._engine.nbytes + version.weights.nbytes + mixture

    def warm_up(self) -> None:
        """Write a character, which compiles the kernels."""
        prompt = self._prompts.encode("", "skip")
        assert isinstance(prompt, _Prompt)
        start = ChainStart(prompt.ids, 1.0, random_stream(0, 0, 0))
        for _ in self._decoder([start], SamplingRules(), 1, lambda: False).decode(1):
            pass

    def cost_tokens(self, text: str) -> int:
        """Return how many characters are read of a prompt."""
        return self._prompts.cost(len(text))

    def generate(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> Sequence[Generation | ItemError]:
        """Continue each prompt. Raises Stopped about a tenth of a second after it was asked for."""
        assert isinstance(parameters, GenerateParameters)
        prompts = [self._prompts.encode(item.text, parameters.unknown) for item in items]
        samples = [
            sample
            for item, prompt in zip(items, prompts, strict=True)
            if isinstance(prompt, _Prompt)
            for sample in self._samples(item, prompt, parameters)
        ]
        self._write(samples, parameters, context)
        finished = (
            sample.buffer.finished(sample.temperature, parameters.seed) for sample in samples
        )
        count = parameters.samples * len(parameters.temperatures)
        return [
            prompt
            if isinstance(prompt, ItemError)
            else Generation(
                prompt=item.text,
                unknown_characters=prompt.unknown_characters,
                samples=tuple(islice(finished, count)),
            )
            for item, prompt in zip(items, prompts, strict=True)
        ]

    def measure(self, text: str, context: RunContext) -> Mapping[str, float]:
        """Return how well the version predicts a text, in bits per character.

        The mean over the characters that it knows, each given all before it; others are not read,
        and `unknown_share` says how many these are. Of a version that mixes contexts there are
        metrics of the network and of the mixture alone too. Raises InvalidData for a text of no
        known character, Stopped.
        """
        if not _is_unicode(text):
            raise InvalidData("The text has a lone surrogate, which is no character.")
        ids = self._alphabet.encode(self._prompts.cased(text))
        known = ids[ids != UNKNOWN]
        if not len(known):
            raise InvalidData(
                f"The text has {len(text):,} characters and none that the version knows; there is "
                "nothing to measure. Give a text like the one that it was trained on."
            )
        threads = context.device.threads
        stop_requested = context.stop_requested
        logs = read_log_probs(self._version, known, stop_requested, threads)
        parts = bits_of_parts(self._version, known, stop_requested, threads)
        return {
            "bits_per_char": bits_per_char(logs),
            "unknown_share": 1.0 - len(known) / len(ids),
            **{f"{part}_bits_per_char": bits for part, bits in parts.items()},
        }

    def _samples(
        self, item: WorkItem, prompt: "_Prompt", parameters: GenerateParameters
    ) -> Sequence["_Sample"]:
        stops = StopSequences([self._prompts.cased(stop) for stop in parameters.stops])
        return [
            _Sample(
                item,
                prompt,
                temperature,
                number,
                rank * parameters.samples + number,
                _SampleBuffer(self._alphabet, stops),
            )
            for rank, temperature in enumerate(parameters.temperatures)
            for number in range(parameters.samples)
        ]

    def _write(
        self, samples: Sequence["_Sample"], parameters: GenerateParameters, context: RunContext
    ) -> None:
        starts = [
            ChainStart(
                sample.prompt.ids,
                sample.temperature,
                random_stream(parameters.seed, sample.item.index, sample.number),
            )
            for sample in samples
        ]
        rules = SamplingRules(parameters.top_k, parameters.top_p, parameters.repetition_penalty)
        decoder = self._decoder(starts, rules, context.device.threads, context.stop_requested)
        for decoded in decoder.decode(parameters.length):
            sample = samples[decoded.chain]
            delta = sample.buffer.add(decoded.ids, decoded.log_probs)
            if sample.buffer.is_stopped:
                decoder.stop(decoded.chain)
            if delta:
                context.stream(sample.item, sample.index, delta)
        for sample in samples:
            if rest := sample.buffer.rest():
                context.stream(sample.item, sample.index, rest)

    def _decoder(
        self,
        starts: Sequence[ChainStart],
        rules: SamplingRules,
        threads: int,
        stop_requested: Callable[[], bool],
    ) -> Decoder:
        return Decoder(
            self._engine,
            starts,
            rules,
            chain_rows=self._version.config.window or 1,
            threads=threads,
            stop_requested=stop_requested,
        )


@dataclass(frozen=True)
class _Prompt:
    """An encoded prompt."""

    ids: Ids  # (characters,), one at least
    unknown_characters: int


class _PromptEncoder:
    """Encodes prompts for one version."""

    def __init__(self, config: Config) -> None:
        self._alphabet = Alphabet(config.alphabet)
        self._lower_case = config.lower_case
        self._lead_in = self._alphabet.encode(config.lead_in)
        self._max_read = config.window or MAX_READ

    def encode(self, prompt: str, unknown: Literal["skip", "refuse"]) -> _Prompt | ItemError:
        """Return a prompt's ids by the rules above, or why it is refused."""
        if not _is_unicode(prompt):
            return ItemError(
                code=ItemErrorCode.DECODE_ERROR,
                message="The prompt has a lone surrogate, which is no character. Send valid text.",
            )
        cased = self.cased(prompt)
        ids = self._alphabet.encode(cased)
        known = ids[ids != UNKNOWN]
        if len(known) < len(ids) and unknown == "refuse":
            return ItemError(code=ItemErrorCode.INVALID_INPUT, message=self._refusal(cased))
        read = np.concatenate([self._lead_in, known])[-self._max_read :]
        return _Prompt(read, len(ids) - len(known))

    def cased(self, text: str) -> str:
        """Return a text lower-cased where the training text was."""
        return text.lower() if self._lower_case else text

    def cost(self, characters: int) -> int:
        """Return how many characters are read of a prompt with so many."""
        return min(len(self._lead_in) + characters, self._max_read)

    def _refusal(self, cased: str) -> str:
        known = self._alphabet.characters
        return (
            f"The prompt has {_listed(self._alphabet.unknown_in(cased))}, which the model does not "
            f"know. It knows {len(known)} characters: {_listed(known)}. Leave the others out, or "
            "send unknown=skip."
        )


def _is_unicode(text: str) -> bool:
    """Return False for a text with a lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _listed(characters: str) -> str:
    shown = " ".join(repr(character) for character in characters[:_LISTED_CHARACTERS])
    more = len(characters) - _LISTED_CHARACTERS
    return shown if more <= 0 else f"{shown} and {more:,} more"


class _SampleBuffer:
    """The text of one sample while it is written, and its log-probabilities."""

    def __init__(self, alphabet: Alphabet, stops: StopSequences) -> None:
        self._alphabet = alphabet
        self._stop_filter = StopSequenceFilter(stops)
        self._deltas: list[str] = []
        self._log_probs: list[Doubles] = []

    @property
    def is_stopped(self) -> bool:
        """True once a stop sequence came."""
        return self._stop_filter.is_stopped

    def add(self, ids: Ids, log_probs: Doubles) -> str:
        """Take the next characters; return the delta that no stop sequence can take back."""
        if self.is_stopped:
            return ""
        self._log_probs.append(log_probs)
        delta = self._stop_filter.add(self._alphabet.decode(ids))
        self._deltas.append(delta)
        return delta

    def rest(self) -> str:
        """Return the text that was held back, at the end."""
        delta = self._stop_filter.rest()
        self._deltas.append(delta)
        return delta

    def finished(self, temperature: float, seed: int) -> GeneratedSample:
        """Return the sample, once its rest was returned."""
        text = "".join(self._deltas)
        log_probs = np.concatenate(self._log_probs)[: len(text)]  # without a stop sequence's
        return GeneratedSample(
            text=text,
            temperature=temperature,
            seed=seed,
            # fsum, unlike sum, does not depend on how the text was cut into deltas.
            mean_log_prob=math.fsum(log_probs) / len(text) if text else None,
            finish_reason=FinishReason.STOP if self.is_stopped else FinishReason.LENGTH,
            distinct_n=_distinct(self._alphabet.encode(text)),
        )


@dataclass(frozen=True)
class _Sample:
    """One sample that is to be written."""

    item: WorkItem
    prompt: _Prompt
    temperature: float
    number: int  # among the samples of its temperature
    index: int  # among all samples of its item
    buffer: _SampleBuffer


def _distinct(ids: Ids) -> tuple[float, ...]:
    """Return distinct-n (Li et al. 2016, arXiv 1510.03055) for n of 1, 2, 3, as far as ids go."""
    grams = ids.astype(np.int64)
    base = int(grams.max(initial=0)) + 1  # at most 10,000, so that three fit in 64 bits
    shares = []
    for n in _DISTINCT[: len(ids)]:
        if n > 1:
            grams = grams[:-1] * base + ids[n - 1 :]
        shares.append(len(np.unique(grams)) / len(grams))
    return tuple(shares)
