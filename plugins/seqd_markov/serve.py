"""Continues prompts with a version in memory, and measures how well it predicts a text.

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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from seqd.errors import InvalidData, Stopped
from seqd.hookspecs import RunContext, TextSegment, WorkItem, random_stream
from seqd_markov.copies import PART_SYMBOLS, AlignedText, CopyFinder
from seqd_markov.data import (
    CharacterTokenizer,
    Chunk,
    Tokenizer,
    WordTokenizer,
    chunks_of,
    sentences_of,
)
from seqd_markov.model import Version, measure
from seqd_markov.ngrams.model import NgramModel
from seqd_markov.parameters import GenerateParameters
from seqd_markov.sampling import Floats, Indices, NgramWriter, Sampler, State
from seqd_modelkit.stop_sequences import StopSequences
from seqd_schemas import FinishReason, GeneratedSample, Generation, ItemError, ItemErrorCode

if TYPE_CHECKING:
    from seqd_markov.mixing import MixtureWriter

#: Symbols of each text that are sampled together; a sentence has 20 words.
_CHARACTERS_AT_ONCE = 256
_WORDS_AT_ONCE = 64

#: Characters of a text that are measured together by a model that mixes: a tenth of a second.
_MEASURED_AT_ONCE = 4_096

#: Lengths of the n-grams that `distinct_n` counts. A version has 1,114,114 symbols at most, so that
#: three of them fit in 63 bits.
_DISTINCT = (1, 2, 3)

_NOTHING = np.empty(0, np.int32)


class Generator:
    """What a version writes by: its samplers, and the search for copies of the training text."""

    def __init__(self, version: Version) -> None:
        self._version = version
        tokenizer = version.tokenizer
        self._prompt_tokenizer = tokenizer
        if isinstance(tokenizer, WordTokenizer):
            self._prompt_tokenizer = replace(tokenizer, lower_case_fallback=True)
        self._writer = _writer_of(version)
        self._copies: CopyFinder | None = None
        #: Bytes of the model, of samplers, and of the search for copies.
        self.memory_bytes = self._writer.nbytes
        if version.corpus is not None:
            self._copies = CopyFinder(version.corpus, tokenizer.symbols)
            self.memory_bytes += version.corpus.nbytes + self._copies.nbytes

    def warm_up(self) -> None:
        """Sample at temperature 1, and prepare the search for copies where that is quick."""
        writer, stream = self._writer, np.random.Philox(0)
        begin = writer.state_after(_NOTHING)
        writer.sampler(1.0, 0, 1.0).sample([begin], [stream], 1, lambda: None)
        if self._copies is not None and self._copies.symbols <= PART_SYMBOLS:
            self._copies.longest([], lambda: False)

    def generate(
        self, items: Sequence[WorkItem], parameters: GenerateParameters, context: RunContext
    ) -> list[Generation | ItemError]:
        """Continue each prompt. Raises Stopped within a tenth of a second.

        The first search for copies in a text of millions of symbols checks for a stop every second.
        """
        if parameters.max_copied and self._copies is None:
            return [_without_copies(parameters)] * len(items)
        prompts = [self._prompt(item) for item in items]
        for rank, temperature in enumerate(parameters.temperatures):
            writing = self._writing(parameters, temperature, context)
            before, at_once = rank * parameters.samples, writing.sampler.texts_at_once
            wanted = [(one, number) for one in prompts for number in range(parameters.samples)]
            for first in range(0, len(wanted), at_once):
                writing.write(
                    [
                        Sample(writing, prompt, before + number, number)
                        for prompt, number in wanted[first : first + at_once]
                    ]
                )
        return [_outcome(prompt, parameters) for prompt in prompts]

    def _prompt(self, item: WorkItem) -> "Prompt":
        tokenizer = self._prompt_tokenizer
        ids = tokenizer.encode_prompt(item.text)
        unknown = int((ids < 0).sum())
        if isinstance(tokenizer, WordTokenizer):
            unknown = sum(map(len, tokenizer.unknown_in(sentences_of(item.text, tokenizer.ends))))
        # Running text of characters has spaces among its symbols.
        samples_spaces = tokenizer.ends is None and not isinstance(tokenizer, WordTokenizer)
        return Prompt(
            item,
            state=self._writer.state_after(ids),
            after=int(ids[-1]) if len(ids) and ids[-1] >= 0 else None,
            is_spaced=not samples_spaces and (not item.text or item.text[-1].isspace()),
            unknown_characters=unknown,
        )

    def _writing(
        self, parameters: GenerateParameters, temperature: float, context: RunContext
    ) -> "Writing":
        stops = parameters.stops
        if self._version.config.lower_case:
            stops = tuple(text.lower() for text in stops)
        return Writing(
            sampler=self._writer.sampler(temperature, parameters.top_k, parameters.top_p),
            tokenizer=self._version.tokenizer,
            parameters=parameters,
            temperature=temperature,
            stops=StopSequences(stops),
            copies=self._copies,
            context=context,
        )


def _writer_of(version: Version) -> "NgramWriter | MixtureWriter":
    if isinstance(version.model, NgramModel):
        return NgramWriter(version.model, version.tokenizer.end)
    from seqd_markov.mixing import MixtureWriter  # which imports Numba

    return MixtureWriter(version.model)


@dataclass
class Prompt:
    """A prompt, what a sample needs to know of its end, and the samples after it."""

    item: WorkItem
    #: The model's state.
    state: State
    #: The last symbol before the text; None where there is none, or it is unknown.
    after: int | None
    #: True where the text needs no space of its own: a space or nothing at all stands before it.
    is_spaced: bool
    unknown_characters: int
    #: Temperatures in the order asked for, samples within each; None where each try had too long a
    #: copy.
    samples: list[GeneratedSample | None] = field(default_factory=list)


@dataclass(frozen=True)
class Writing:
    """Writes samples of one temperature, all by the same rules."""

    sampler: Sampler
    tokenizer: Tokenizer
    parameters: GenerateParameters
    temperature: float
    stops: StopSequences
    #: None where the training text was not kept.
    copies: CopyFinder | None
    context: RunContext

    def write(self, samples: Sequence["Sample"]) -> None:
        """Write samples to their end, each to its prompt.

        Raises Stopped within 256 symbols of each sample.
        """
        unfinished = samples
        while unfinished:
            self._extend(unfinished)
            if self.parameters.max_copied and self.copies is not None:
                self._reject(unfinished, self.copies)
            for sample in unfinished:
                sample.stream_delta()
            unfinished = [sample for sample in unfinished if sample.is_unfinished]
        kept = [sample.aligned() for sample in samples if not sample.is_given_up]
        copied = iter(
            [None] * len(kept)
            if self.copies is None
            else self.copies.longest(kept, self.context.stop_requested)
        )
        for sample in samples:
            made = None if sample.is_given_up else sample.ended(next(copied))
            sample.prompt.samples.append(made)

    def _extend(self, samples: Sequence["Sample"]) -> None:
        """Sample the next symbols of each, or what is left of the longest."""
        of_words = isinstance(self.tokenizer, WordTokenizer)
        at_once = _WORDS_AT_ONCE if of_words else _CHARACTERS_AT_ONCE
        sampled = self.sampler.sample(
            [sample.state for sample in samples],
            [sample.random_stream for sample in samples],
            min(at_once, max(sample.room for sample in samples)),
            self._check_stop,
        )
        for sample, *new in zip(
            samples, sampled.symbols, sampled.log_probs, sampled.states, strict=True
        ):
            sample.add(*new)

    def _reject(self, samples: Sequence["Sample"], copies: CopyFinder) -> None:
        """Restart the samples that have too long a copy already."""
        unchecked = [sample.unchecked() for sample in samples]
        found = copies.longest(unchecked, self.context.stop_requested)
        for sample, characters in zip(samples, found, strict=True):
            if characters > self.parameters.max_copied:
                sample.restart()

    def _check_stop(self) -> None:
        if self.context.stop_requested():
            raise Stopped("The writing was stopped before its end; there is no result.")


class Sample:
    """A sample while it is written: the current try, its symbols, its text, and where it ends.

    It ends by the first that comes of a stop sequence, the sentences and the length that are asked
    for, and the characters that a result holds. The end of a sentence counts as one symbol of the
    length. It counts as a sentence where something was written since the last one.
    """

    def __init__(self, writing: Writing, prompt: Prompt, place: int, number: int) -> None:
        """`place` is among all samples of the prompt, `number` among those of the temperature."""
        self.prompt = prompt
        self._writing, self._place, self._number = writing, place, number
        self._tokenizer = writing.tokenizer
        self._streamed = 0  # characters
        self._attempt = 0
        self.is_given_up = False
        self._begin()

    def _begin(self) -> None:
        """Begin a try, with a random stream of its own."""
        seed = self._writing.parameters.seed
        stream = random_stream(seed, self.prompt.item.index, self._number).bit_generator
        assert isinstance(stream, np.random.Philox)
        self.random_stream = stream.jumped(self._attempt) if self._attempt else stream
        #: The state that the next symbol is sampled in.
        self.state = self.prompt.state
        self.text = ""
        #: Why it has ended; None while it goes on.
        self.reason: FinishReason | None = None
        self._spans: list[_Span] = []
        self._length = self._sentences = 0
        self._checked = 0  # characters that were searched for copies

    @property
    def is_unfinished(self) -> bool:
        """True while it has to be extended."""
        return self.reason is None and not self.is_given_up

    @property
    def room(self) -> int:
        """Symbols that may still be added."""
        return self._writing.parameters.length - self._length

    def add(self, symbols: Indices, log_probs: Floats, state: State) -> None:
        """Append as many sampled symbols as the sample needs; `state` is the one after them."""
        symbols = self._until_last_sentence(symbols[: self.room])
        self._length += len(symbols)
        if self.reason is None and not self.room:
            self.reason = FinishReason.LENGTH
        searched = len(self.text)
        self._append(symbols, log_probs[: len(symbols)])
        self.state = state
        max_characters = self._writing.parameters.max_characters
        if len(self.text) > max_characters:
            last = self._spans[-1].until(max_characters)
            self._cut(int(last.ends[-1]) if len(last.ends) else searched, FinishReason.LENGTH)
        place = self._writing.stops.find(self.text, searched)
        if place is not None:
            self._cut(place, FinishReason.STOP)

    def unchecked(self) -> AlignedText:
        """Return what may be part of a copy too long that was not there at the last check.

        Only what is settled: a stop sequence may yet cut a copy short.
        """
        since, self._checked = self._checked, self._settled
        return self.aligned(since - self._writing.parameters.max_copied - 1, self._checked)

    def restart(self) -> None:
        """Drop this try, and give up after the last one."""
        self._attempt += 1
        is_last = self._attempt == self._writing.parameters.tries
        self.is_given_up = is_last or self._writing.sampler.is_deterministic
        self._begin()

    def stream_delta(self) -> None:
        """Stream what is newly settled; nothing of a try that may still be dropped."""
        if self._writing.parameters.max_copied and self.is_unfinished:
            return
        delta = self.text[self._streamed : self._settled]
        self._streamed += len(delta)
        if delta:
            self._writing.context.stream(self.prompt.item, self._place, delta)

    def aligned(self, since: int = 0, until: int | None = None) -> AlignedText:
        """Return the symbols from the last that begins at or before the character `since` on.

        `until` leaves out those that end behind that character.
        """
        spans: list[_Span] = []
        for span in reversed(self._spans):
            spans.insert(0, span)
            if len(span.starts) and span.starts[0] <= since:
                break
        ids, starts, ends = (
            np.concatenate([span.ids for span in spans]),
            np.concatenate([span.starts for span in spans]),
            np.concatenate([span.ends for span in spans]),
        )
        first = max(0, int(np.searchsorted(starts, since, side="right")) - 1)
        last = len(self.text) if until is None else until
        end = int(np.searchsorted(ends, last, side="right"))
        return AlignedText(ids[first:end], starts[first:end], ends[first:end])

    def ended(self, longest_copy: int | None) -> GeneratedSample:
        """Return the sample as a result has it."""
        assert self.reason is not None
        logs = np.concatenate([span.log_probs for span in self._spans])
        logs = logs[~np.isnan(logs)]
        return GeneratedSample(
            text=self.text,
            temperature=self._writing.temperature,
            seed=self._writing.parameters.seed,
            mean_log_prob=float(logs.mean()) if len(logs) else None,
            finish_reason=self.reason,
            distinct_n=self._distinct(),
            longest_copy=longest_copy,
        )

    def _distinct(self) -> tuple[float, ...]:
        """Return distinct-n, the share of distinct n-grams (Li et al. 2016), for n of 1, 2, 3.

        Shorter where the sample has fewer symbols than n.
        """
        ids = np.concatenate([span.ids for span in self._spans])
        shares, grams = [], ids
        for n in _DISTINCT[: len(ids)]:
            if n > 1:
                grams = grams[:-1] * self._tokenizer.symbols + ids[n - 1 :]  # below 2**63
            ordered = np.sort(grams)
            different = 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))
            shares.append(different / len(grams))
        return tuple(shares)

    @property
    def _settled(self) -> int:
        """Characters that no stop sequence can take back."""
        return len(self.text) - (0 if self.reason else self._writing.stops.held(self.text))

    @property
    def _last_symbol(self) -> int | None:
        ids = [span.ids for span in self._spans if len(span.ids)]
        return int(ids[-1][-1]) if ids else self.prompt.after

    def _until_last_sentence(self, symbols: Indices) -> Indices:
        """Return the symbols before the end of the last sentence that is wanted."""
        end, wanted = self._tokenizer.end, self._writing.parameters.sentences
        if not wanted or end is None or not len(symbols):
            return symbols
        # An end at the beginning, or right after another, ends no sentence.
        last = self._last_symbol if self._length else end
        before = np.append(-1 if last is None else last, symbols[:-1])
        ends = np.flatnonzero((symbols == end) & (before != end))
        due = wanted - self._sentences
        self._sentences += len(ends)
        if len(ends) < due:
            return symbols
        self.reason = FinishReason.END
        return symbols[: ends[due - 1]]

    def _append(self, symbols: Indices, log_probs: Floats) -> None:
        span = _decoded(
            self._tokenizer,
            symbols,
            log_probs,
            after=self._last_symbol,
            is_spaced=self.prompt.is_spaced and not self.text,
            offset=len(self.text),
        )
        self._spans.append(span)
        self.text += span.text

    def _cut(self, end: int, reason: FinishReason) -> None:
        """End the text at a character."""
        self.reason, self.text = reason, self.text[:end]
        self._spans = [span.until(end) for span in self._spans]


@dataclass(frozen=True)
class _Span:
    """A part of a sample; offsets are in characters of the whole sample."""

    text: str
    ids: Indices  # (symbols,)
    log_probs: Floats  # (symbols,), NaN for a symbol that was not sampled
    starts: Indices  # (symbols,), where each symbol begins, after the space before it
    ends: Indices  # (symbols,)

    def until(self, end: int) -> "_Span":
        """Return the symbols that end at or before a character, without their text."""
        last = int(np.searchsorted(self.ends, end, side="right"))
        ids, logs = self.ids[:last], self.log_probs[:last]
        return _Span("", ids, logs, self.starts[:last], self.ends[:last])


def _decoded(
    tokenizer: Tokenizer,
    symbols: Indices,
    log_probs: Floats,
    *,
    after: int | None,
    is_spaced: bool,
    offset: int,
) -> _Span:
    """Return the span that symbols add to a text of `offset` characters that ends with `after`.

    The beginning of a sentence, which is never sampled, is inserted after the end of another.
    """
    if isinstance(tokenizer, CharacterTokenizer) and tokenizer.end is None:
        starts = np.arange(offset, offset + len(symbols))
        return _Span(tokenizer.decode(symbols), symbols, log_probs, starts, starts + 1)
    if tokenizer.end is not None and tokenizer.begin is not None:
        before = np.append(-1 if after is None else after, symbols[:-1])[: len(symbols)]
        ended = np.flatnonzero(before == tokenizer.end)
        symbols = np.insert(symbols, ended, tokenizer.begin)
        log_probs = np.insert(log_probs, ended, np.nan)
    texts = _symbol_texts(tokenizer, symbols, after, is_spaced=is_spaced)
    ends = offset + np.cumsum([len(text) for text in texts], dtype=np.int64)
    of_words = isinstance(tokenizer, WordTokenizer)
    lengths = [len(text.lstrip(" ") if of_words else text) for text in texts]
    starts = ends - np.array(lengths, np.int64)
    return _Span("".join(texts), symbols, log_probs, starts, ends)


def _symbol_texts(
    tokenizer: Tokenizer, symbols: Indices, after: int | None, *, is_spaced: bool
) -> list[str]:
    """Return the text of each symbol, with the space before it."""
    texts = []
    for position, symbol in enumerate(symbols.tolist()):
        # After an unknown word a symbol is spaced as after a word like itself.
        before = symbol if after is None and not is_spaced else after
        text = tokenizer.decode(symbols[position : position + 1], before)
        texts.append(text.removeprefix(" ") if is_spaced else text)
        after, is_spaced = symbol, is_spaced and not texts[-1]
    return texts


def _outcome(prompt: Prompt, parameters: GenerateParameters) -> Generation | ItemError:
    samples = [sample for sample in prompt.samples if sample is not None]
    if len(samples) < len(prompt.samples):
        temperature = parameters.temperatures[prompt.samples.index(None) // parameters.samples]
        return ItemError(
            code=ItemErrorCode.INVALID_INPUT,
            message=f"A sample at temperature {temperature:g} has more than "
            f"{parameters.max_copied} characters in a row from the training text in each of "
            f"{parameters.tries} tries. Raise max_copied, tries or the temperature, or ask for "
            "shorter samples.",
        )
    return Generation(
        prompt=prompt.item.text,
        unknown_characters=prompt.unknown_characters,
        samples=tuple(samples),
    )


def _without_copies(parameters: GenerateParameters) -> ItemError:
    return ItemError(
        code=ItemErrorCode.INVALID_INPUT,
        message=f"max_copied is {parameters.max_copied}, but this version did not keep its "
        "training text to look for copies in. Leave max_copied out, or train with keep_text.",
    )


def measured(
    version: Version, text: str, context: RunContext, *, adapts: bool = False
) -> dict[str, float]:
    """Return `bits_per_char` and `unknown_share` of a text, and of words `perplexity`.

    Raises InvalidData for a text with no symbol that can be predicted, Stopped within a million
    characters.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidData(
            "The text has a lone surrogate, which is no character. Give valid text."
        ) from None
    chunks = chunks_of([TextSegment(text)], version.config.ends)
    if version.config.mixes:
        firsts = range(0, len(text), _MEASURED_AT_ONCE)
        chunks = (Chunk(text[first : first + _MEASURED_AT_ONCE]) for first in firsts)

    def check_stop() -> None:
        if context.stop_requested():
            raise Stopped("The measuring was stopped before its end; there is no result.")

    told = _telling(chunks, context, check_stop)
    metrics = measure(version, told, check_stop, adapts=adapts)
    if not metrics:
        raise InvalidData(
            f"The text has {len(text):,} characters and none that the version knows; there is "
            "nothing to measure. Give a text like the one that it was trained on."
        )
    return metrics


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
