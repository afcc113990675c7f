"""Continues prompts with a loaded version, and measures how well it predicts a text.

Every prompt can be continued. It is encoded as the training text was, and a word that is known in
lower case only is read as that. An unknown symbol resets the context, so that the next symbol
depends on what stands behind it, and is counted. An empty prompt begins a sentence where the
version knows sentences, and else with a symbol by its unigram probability.

A sample's random numbers depend on the seed, the item's index and the sample's number alone: not on
its temperature, nor on the other temperatures and samples asked for. A sample that has more
characters in a row from the training text than is allowed is generated again, with the stream
jumped 2**128 numbers ahead for each try.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from seqd.errors import InvalidData, Stopped
from seqd.hookspecs import (
    LoadedModel,
    PluginParameters,
    RunContext,
    TextSegment,
    WorkItem,
    random_stream,
)
from seqd_markov.copies import PART_SYMBOLS, AlignedText, CopyFinder
from seqd_markov.data import Chunk, Tokenizer, WordTokenizer, chunks_of, sentences_of
from seqd_markov.model import Version, measure
from seqd_markov.parameters import GenerateParameters
from seqd_markov.sample_buffer import SampleBuffer, SampleStart, StopConditions
from seqd_markov.sampling import NgramWriter, Sampler
from seqd_modelkit.ngrams import NgramModel
from seqd_modelkit.stop_sequences import StopSequences
from seqd_schemas import FinishReason, GeneratedSample, Generation, ItemError, ItemErrorCode

if TYPE_CHECKING:
    from seqd_markov.mixing import MixtureWriter

#: Symbols of each text that are sampled together; a sentence has 20 words.
_CHARACTERS_AT_ONCE = 256
_WORDS_AT_ONCE = 64

#: Characters of a text that are measured together by a model that mixes: a tenth of a second.
_MEASURED_AT_ONCE = 4_096

_NOTHING = np.empty(0, np.int32)


@dataclass(frozen=True)
class _Sample:
    """A sample that has ended."""

    text: str
    reason: FinishReason
    mean_log_prob: float | None
    distinct: tuple[float, ...]
    longest_copy: int | None


@dataclass
class _Prompt:
    """A prompt, and the samples after it."""

    item: WorkItem
    start: SampleStart
    unknown_characters: int
    #: Temperatures in the order asked for, samples within each; None where each try had too long a
    #: copy.
    samples: list[_Sample | None] = field(default_factory=list)


def _writer_of(version: Version) -> "NgramWriter | MixtureWriter":
    if isinstance(version.model, NgramModel):
        return NgramWriter(version.model, version.tokenizer.end)
    from seqd_markov.mixing import MixtureWriter  # which imports Numba

    return MixtureWriter(version.model)


class Generator(LoadedModel):
    """A version in memory."""

    def __init__(self, version: Version) -> None:
        self._version = version
        tokenizer = version.tokenizer
        self._prompt_tokenizer = tokenizer
        if isinstance(tokenizer, WordTokenizer):
            self._prompt_tokenizer = replace(tokenizer, lower_case_fallback=True)
        self._writer = _writer_of(version)
        self._copies: CopyFinder | None = None
        if version.corpus is not None:
            self._copies = CopyFinder(version.corpus, tokenizer.symbols)
        #: Bytes of the model, of samplers, and of the search for copies.
        self.memory_bytes = self._writer.nbytes
        if version.corpus is not None and self._copies is not None:
            self.memory_bytes += version.corpus.nbytes + self._copies.nbytes

    def warm_up(self) -> None:
        """Sample at temperature 1, and prepare the search for copies where that is quick."""
        writer, stream = self._writer, np.random.Philox(0)
        writer.sampler(1.0, 0, 1.0).sample([writer.state_after(_NOTHING)], [stream], 1, _go_on)
        if self._copies is not None and self._copies.symbols <= PART_SYMBOLS:
            self._copies.longest([], lambda: False)

    def cost_tokens(self, text: str) -> int:
        """Return 1: what is generated costs more than any prompt does."""
        return 1

    def generate(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> Sequence[Generation | ItemError]:
        """Continue each prompt. Raises Stopped within a tenth of a second.

        The first search for copies in a text of millions of symbols checks for a stop every second.
        """
        assert isinstance(parameters, GenerateParameters)
        outcomes = [self._prompt(item, parameters) for item in items]
        prompts = [outcome for outcome in outcomes if isinstance(outcome, _Prompt)]
        numbers = range(parameters.samples)
        for rank, temperature in enumerate(parameters.temperatures):
            run = self._run(parameters, temperature, context)
            wanted = [(prompt, number) for prompt in prompts for number in numbers]
            at_once = run.sampler.texts_at_once
            for first in range(0, len(wanted), at_once):
                group = wanted[first : first + at_once]
                before = rank * parameters.samples
                samples = run.generate(
                    [_Request(prompt.item, before + n, n, prompt.start) for prompt, n in group]
                )
                for (prompt, _), sample in zip(group, samples, strict=True):
                    prompt.samples.append(sample)
        return [
            outcome if isinstance(outcome, ItemError) else _outcome(outcome, parameters)
            for outcome in outcomes
        ]

    def measure(self, text: str, context: RunContext) -> Mapping[str, float]:
        """Return `bits_per_char` and `unknown_share` of a text, and of words `perplexity`.

        Raises InvalidData for a text with no symbol that can be predicted, Stopped within a million
        characters.
        """
        return self._measured(text, context, adapts=False)

    def measure_adapting(self, text: str, context: RunContext) -> Mapping[str, float]:
        """Return the same of a model that learns from each character once it has predicted it.

        Raises NotImplementedError for a version that does not mix contexts.
        """
        if isinstance(self._version.model, NgramModel):
            return super().measure_adapting(text, context)
        return self._measured(text, context, adapts=True)

    def _measured(self, text: str, context: RunContext, *, adapts: bool) -> Mapping[str, float]:
        if not _is_unicode(text):
            raise InvalidData(
                "The text has a lone surrogate, which is no character. Give valid text."
            )
        chunks = chunks_of([TextSegment(text)], self._version.config.ends)
        if not isinstance(self._version.model, NgramModel):
            firsts = range(0, len(text), _MEASURED_AT_ONCE)
            chunks = (Chunk(text[first : first + _MEASURED_AT_ONCE]) for first in firsts)

        def check_stop() -> None:
            if context.stop_requested():
                raise Stopped("The measuring was stopped before its end; there is no result.")

        told = _telling(chunks, context, check_stop)
        metrics = measure(self._version, told, check_stop, adapts=adapts)
        if not metrics:
            raise InvalidData(
                f"The text has {len(text):,} characters and none that the version knows; there is "
                "nothing to measure. Give a text like the one that it was trained on."
            )
        return metrics

    def _prompt(self, item: WorkItem, parameters: GenerateParameters) -> _Prompt | ItemError:
        if not _is_unicode(item.text):
            return ItemError(
                code=ItemErrorCode.DECODE_ERROR,
                message="The prompt has a lone surrogate, which is no character. Send valid text.",
            )
        if parameters.max_copied and self._copies is None:
            return ItemError(
                code=ItemErrorCode.INVALID_INPUT,
                message=f"max_copied is {parameters.max_copied}, but this version did not keep its "
                "training text to look for copies in. Leave max_copied out, or train with "
                "keep_text.",
            )
        return self._encoded(item)

    def _encoded(self, item: WorkItem) -> _Prompt:
        tokenizer, ends = self._prompt_tokenizer, self._version.config.ends
        ids = tokenizer.encode_prompt(item.text)
        unknown = int((ids < 0).sum())
        if isinstance(tokenizer, WordTokenizer):
            unknown = sum(map(len, tokenizer.unknown_in(sentences_of(item.text, ends))))
        # Running text of characters has spaces among its symbols.
        samples_spaces = ends is None and not isinstance(tokenizer, WordTokenizer)
        start = SampleStart(
            state=self._writer.state_after(ids),
            after=int(ids[-1]) if len(ids) and ids[-1] >= 0 else None,
            is_spaced=not samples_spaces and (not item.text or item.text[-1].isspace()),
        )
        return _Prompt(item, start, unknown)

    def _run(
        self, parameters: GenerateParameters, temperature: float, context: RunContext
    ) -> "_Run":
        stops = parameters.stops
        if self._version.config.lower_case:
            stops = tuple(text.lower() for text in stops)
        return _Run(
            sampler=self._writer.sampler(temperature, parameters.top_k, parameters.top_p),
            tokenizer=self._version.tokenizer,
            conditions=StopConditions(
                length=parameters.length,
                max_characters=parameters.max_characters,
                sentences=parameters.sentences,
                stops=StopSequences(stops),
            ),
            seed=parameters.seed,
            copies=self._copies,
            max_copied=parameters.max_copied,
            tries=parameters.tries,
            context=context,
        )


@dataclass(frozen=True)
class _Request:
    """A sample to be generated."""

    item: WorkItem
    place: int  # among all samples of its item
    number: int  # among those of its temperature
    start: SampleStart


@dataclass(frozen=True)
class _Run:
    """Generates samples with one sampler and one set of stop conditions."""

    sampler: Sampler
    tokenizer: Tokenizer
    conditions: StopConditions
    seed: int
    #: None where the training text was not kept.
    copies: CopyFinder | None
    #: Characters in a row that may be from the training text; 0 for any. Needs `copies`.
    max_copied: int
    tries: int
    context: RunContext

    def generate(self, requests: Sequence[_Request]) -> list[_Sample | None]:
        """Generate samples; None for one of which each try had too long a copy.

        Raises Stopped within 256 symbols of each sample.
        """
        samples = [_GrowingSample(self, request) for request in requests]
        unfinished = samples
        while unfinished:
            self._extend(unfinished)
            if self.max_copied and self.copies is not None:
                self._reject(unfinished, self.copies)
            for sample in unfinished:
                sample.stream_delta()
            unfinished = [sample for sample in unfinished if sample.is_unfinished]
        kept = [sample for sample in samples if not sample.is_given_up]
        copied = iter(self._longest_copies(kept))
        return [None if sample.is_given_up else sample.ended(next(copied)) for sample in samples]

    def random_stream(self, request: _Request, attempt: int) -> np.random.BitGenerator:
        """Return the random stream of one try, the first being 0."""
        stream = random_stream(self.seed, request.item.index, request.number).bit_generator
        assert isinstance(stream, np.random.Philox)
        return stream.jumped(attempt) if attempt else stream

    def _extend(self, samples: Sequence["_GrowingSample"]) -> None:
        """Sample the next symbols of each, or what is left of the longest."""
        of_words = isinstance(self.tokenizer, WordTokenizer)
        at_once = _WORDS_AT_ONCE if of_words else _CHARACTERS_AT_ONCE
        sampled = self.sampler.sample(
            [sample.buffer.state for sample in samples],
            [sample.random_stream for sample in samples],
            min(at_once, max(sample.buffer.room for sample in samples)),
            self._check_stop,
        )
        for sample, *new in zip(
            samples, sampled.symbols, sampled.log_probs, sampled.states, strict=True
        ):
            sample.buffer.add(*new)

    def _reject(self, samples: Sequence["_GrowingSample"], copies: CopyFinder) -> None:
        """Restart the samples that have too long a copy already."""
        unchecked = [sample.unchecked() for sample in samples]
        found = copies.longest(unchecked, self.context.stop_requested)
        for sample, characters in zip(samples, found, strict=True):
            if characters > self.max_copied:
                sample.restart()

    def _longest_copies(self, samples: Sequence["_GrowingSample"]) -> Sequence[int | None]:
        if self.copies is None:
            return [None] * len(samples)
        return self.copies.longest(
            [sample.buffer.aligned() for sample in samples], self.context.stop_requested
        )

    def _check_stop(self) -> None:
        if self.context.stop_requested():
            raise Stopped("The writing was stopped before its end; there is no result.")


class _GrowingSample:
    """The current try at a sample."""

    def __init__(self, run: _Run, request: _Request) -> None:
        self._run = run
        self._request = request
        self._attempt = 0
        self._checked = 0  # characters that were searched for copies
        self._streamed = 0  # characters
        self.is_given_up = False
        self.buffer = SampleBuffer(run.tokenizer, run.conditions, request.start)
        self.random_stream = run.random_stream(request, 0)

    @property
    def is_unfinished(self) -> bool:
        """True while it has to be extended."""
        return self.buffer.reason is None and not self.is_given_up

    def unchecked(self) -> AlignedText:
        """Return what may be part of a copy too long that was not there at the last check.

        Only what is settled: a stop sequence may yet cut a copy short.
        """
        since, self._checked = self._checked, self.buffer.settled
        return self.buffer.aligned(since - self._run.max_copied - 1, self._checked)

    def restart(self) -> None:
        """Drop this try, and give up after the last one."""
        self._attempt += 1
        self.is_given_up = self._attempt == self._run.tries or self._run.sampler.is_deterministic
        self._checked = 0
        self.buffer = SampleBuffer(self._run.tokenizer, self._run.conditions, self._request.start)
        self.random_stream = self._run.random_stream(self._request, self._attempt)

    def stream_delta(self) -> None:
        """Stream what is newly settled; nothing of a try that may still be dropped."""
        if self._run.max_copied and self.is_unfinished:
            return
        delta = self.buffer.text[self._streamed : self.buffer.settled]
        self._streamed += len(delta)
        if delta:
            self._run.context.stream(self._request.item, self._request.place, delta)

    def ended(self, longest_copy: int | None) -> _Sample:
        """Return the sample, once it has ended."""
        assert self.buffer.reason is not None
        return _Sample(
            self.buffer.text,
            self.buffer.reason,
            self.buffer.mean_log_prob(),
            self.buffer.distinct(),
            longest_copy,
        )


def _outcome(prompt: _Prompt, parameters: GenerateParameters) -> Generation | ItemError:
    temperatures = [
        temperature for temperature in parameters.temperatures for _ in range(parameters.samples)
    ]
    samples = []
    for temperature, sample in zip(temperatures, prompt.samples, strict=True):
        if sample is None:
            return _too_much_copied(temperature, parameters)
        samples.append(
            GeneratedSample(
                text=sample.text,
                temperature=temperature,
                seed=parameters.seed,
                mean_log_prob=sample.mean_log_prob,
                finish_reason=sample.reason,
                distinct_n=sample.distinct,
                longest_copy=sample.longest_copy,
            )
        )
    return Generation(
        prompt=prompt.item.text,
        unknown_characters=prompt.unknown_characters,
        samples=tuple(samples),
    )


def _too_much_copied(temperature: float, parameters: GenerateParameters) -> ItemError:
    return ItemError(
        code=ItemErrorCode.INVALID_INPUT,
        message=f"A sample at temperature {temperature:g} has more than {parameters.max_copied} "
        f"characters in a row from the training text in each of {parameters.tries} tries. Raise "
        "max_copied, tries or the temperature, or ask for shorter samples.",
    )


def _go_on() -> None:
    """Have no reason to stop."""


def _telling(
    chunks: Iterator[Chunk], context: RunContext, check_stop: Callable[[], None]
) -> Iterator[Chunk]:
    """Yield the same chunks, and report how long each took when the next is asked for."""
    for chunk in chunks:
        check_stop()
        began = time.monotonic()
        yield chunk
        characters = len(chunk.text)
        context.batch(
            items=1,
            real_tokens=characters,
            computed_tokens=characters,
            vectorise_s=0.0,
            compute_s=time.monotonic() - began,
        )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
