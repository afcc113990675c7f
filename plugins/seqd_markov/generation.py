"""Continues prompts with a loaded version: the `generate` task, and `measure`.

Made by the model's description (`seqd_markov.Markov`); how samples are written is `writing`'s.

Every prompt can be continued. It is read as the training text was, lower-cased where that was, and
a word that is only known in lower case as that; what the version does not know ends the context, so
that the next symbol follows from what stands behind it, and is counted. An empty prompt begins a
sentence where the version knows sentences, and else with a symbol by its probability after nothing.
A sample's random numbers depend on the seed, the item's index and the sample's number alone: not on
its temperature, nor on the other temperatures and samples asked for.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from seqd.errors import InvalidData, Stopped
from seqd.hookspecs import LoadedModel, PluginParameters, RunContext, WorkItem
from seqd_markov.artifact import Version
from seqd_markov.copies import PART_SYMBOLS, Copies
from seqd_markov.descent import Descent
from seqd_markov.drafts import Rules, Start
from seqd_markov.generate_parameters import GenerateParameters
from seqd_markov.measuring import measure
from seqd_markov.odds import Odds
from seqd_markov.reading import Chunk, prompt_ids, sentences_of, text_chunks
from seqd_markov.rows import Rows
from seqd_markov.sampling import Sampler
from seqd_markov.stopping import StopTexts
from seqd_markov.tokens import Ids, Words
from seqd_markov.writing import Asked, Done, Writer
from seqd_ngrams import Smoothing
from seqd_schemas import GeneratedSample, Generation, ItemError, ItemErrorCode

#: Temperatures that are kept prepared, of those asked for last; without top-k and top-p it is 10 ms
#: of work and 2.5 MB each for a version of 310,000 n-grams.
_KEPT_TEMPERATURES = 8


@dataclass
class _Prompt:
    """A prompt, and what is written after it."""

    item: WorkItem
    start: Start
    unknown_characters: int
    #: Temperatures in the order asked for, samples within each.
    samples: list[Done | None] = field(default_factory=list)


class Generator(LoadedModel):
    """A version in memory."""

    def __init__(self, version: Version) -> None:
        self._version = version
        tokens = version.tokens
        self._prompts = replace(tokens, forgiving=True) if isinstance(tokens, Words) else tokens
        self._samplers: dict[tuple[float, int, float], Sampler] = {}
        #: Of short prompts' states, what `_state_after` makes of them; some thousands at most.
        self._usual: dict[int, int] = {}
        self._odds = Odds(version.model, sentence_end=version.tokens.end)
        self._copies: Copies | None = None
        if version.corpus is not None:
            self._copies = Copies(version.corpus, version.tokens.symbols)
        #: What is prepared for drawing may take so much: some temperatures, and one way with a cut.
        self._samplers_bytes = Rows.bytes_for(version.model)
        self._samplers_bytes += _KEPT_TEMPERATURES * Descent.bytes_for(version.model)
        #: Counts, logarithms, what is prepared for drawing, and for the search for copies.
        self.memory_bytes = version.model.nbytes + self._odds.nbytes + self._samplers_bytes
        if version.corpus is not None and self._copies is not None:
            self.memory_bytes += version.corpus.nbytes + self._copies.nbytes

    def warm_up(self) -> None:
        """Prepare drawing at temperature 1, and the search for copies where that is quick."""
        self._sampler(GenerateParameters(), 1.0)
        if self._copies is not None and self._copies.symbols <= PART_SYMBOLS:
            self._copies.longest([], lambda: False)

    def cost_tokens(self, text: str) -> int:
        """Every prompt costs the same: what is written costs more than what is read."""
        return 1

    def generate(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> Sequence[Generation | ItemError]:
        """Continue each prompt. Raises Stopped within a tenth of a second.

        The first search for copies in a text of millions of symbols asks every second.
        """
        assert isinstance(parameters, GenerateParameters)
        outcomes = [self._prompt(item, parameters) for item in items]
        prompts = [outcome for outcome in outcomes if isinstance(outcome, _Prompt)]
        numbers = range(parameters.samples)
        for rank, temperature in enumerate(parameters.temperatures):
            writer = self._writer(parameters, temperature, context)
            wanted = [(prompt, number) for prompt in prompts for number in numbers]
            at_once = writer.sampler.texts_at_once
            for first in range(0, len(wanted), at_once):
                group = wanted[first : first + at_once]
                before = rank * parameters.samples
                written = writer.write(
                    [Asked(prompt.item, before + n, n, prompt.start) for prompt, n in group]
                )
                for (prompt, _), done in zip(group, written, strict=True):
                    prompt.samples.append(done)
        return [
            outcome if isinstance(outcome, ItemError) else _outcome(outcome, parameters)
            for outcome in outcomes
        ]

    def measure(self, text: str, context: RunContext) -> Mapping[str, float]:
        """Measure how well the version predicts a text.

        Gives `bits_per_char` and `unknown_share`, and of words `perplexity`. Raises InvalidData
        for a text with no symbol that can be predicted, Stopped within a million characters.
        """
        if not _is_unicode(text):
            raise InvalidData(
                "The text has a lone surrogate, which is no character. Give valid text."
            )
        chunks = text_chunks(text, self._version.config.ends)
        figures = measure(self._version, _until_stopped(chunks, context))
        if not figures:
            raise InvalidData(
                f"The text has {len(text):,} characters and none that the version knows; there is "
                "nothing to measure. Give a text like the one that it was trained on."
            )
        return figures

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
        return self._read(item)

    def _read(self, item: WorkItem) -> _Prompt:
        tokens, ends = self._prompts, self._version.config.ends
        ids = prompt_ids(item.text, tokens, ends)
        unknown = int((ids < 0).sum())
        if isinstance(tokens, Words):
            unknown = sum(map(len, tokens.unknown_in(sentences_of(item.text, ends))))
        # Characters alone bring their own blanks.
        is_exact = ends is None and not isinstance(tokens, Words)
        start = Start(
            state=self._state_after(ids),
            after=int(ids[-1]) if len(ids) and ids[-1] >= 0 else None,
            is_spaced=not is_exact and (not item.text or item.text[-1].isspace()),
        )
        return _Prompt(item, start, unknown)

    def _state_after(self, ids: Ids) -> int:
        """The state after a prompt; one that is short is read where it stands most often.

        Of sentences the beginning is known, and part of the prompt.
        """
        model = self._version.model
        state = model.state_after(ids)
        run = ids[-model.order :]
        known = len(run) - int(np.flatnonzero(run < 0).max(initial=-1)) - 1
        is_short = 0 < known < model.order and model.begin is None
        if not is_short or model.smoothing is not Smoothing.KNESER_NEY:
            return state
        if state not in self._usual:
            self._usual[state] = model.usual(state)
        return self._usual[state]

    def _writer(
        self, parameters: GenerateParameters, temperature: float, context: RunContext
    ) -> Writer:
        return Writer(
            sampler=self._sampler(parameters, temperature),
            tokens=self._version.tokens,
            rules=Rules(
                length=parameters.length,
                max_characters=parameters.max_characters,
                sentences=parameters.sentences,
                stops=StopTexts(self._cased(parameters.stops)),
            ),
            seed=parameters.seed,
            copies=self._copies,
            max_copied=parameters.max_copied,
            tries=parameters.tries,
            context=context,
        )

    def _cased(self, texts: Sequence[str]) -> Sequence[str]:
        return [text.lower() for text in texts] if self._version.config.lower_case else texts

    def _sampler(self, parameters: GenerateParameters, temperature: float) -> Sampler:
        """What draws in the way that is asked for; the last few are kept prepared."""
        way = (temperature, parameters.top_k, parameters.top_p)
        sampler = self._samplers.pop(way, None) or Sampler(
            self._odds, temperature, top_k=parameters.top_k, top_p=parameters.top_p
        )
        self._samplers[way] = sampler
        while len(self._samplers) > 1 and self._kept_bytes > self._samplers_bytes:
            del self._samplers[next(iter(self._samplers))]
        return sampler

    @property
    def _kept_bytes(self) -> int:
        return sum(sampler.nbytes for sampler in self._samplers.values())


def _outcome(prompt: _Prompt, parameters: GenerateParameters) -> Generation | ItemError:
    temperatures = [
        temperature for temperature in parameters.temperatures for _ in range(parameters.samples)
    ]
    samples = []
    for temperature, done in zip(temperatures, prompt.samples, strict=True):
        if done is None:
            return _copied(temperature, parameters)
        samples.append(
            GeneratedSample(
                text=done.text,
                temperature=temperature,
                seed=parameters.seed,
                mean_log_prob=done.mean_log_prob,
                finish_reason=done.reason,
                distinct_n=done.distinct,
                longest_copy=done.longest_copy,
            )
        )
    return Generation(
        prompt=prompt.item.text,
        unknown_characters=prompt.unknown_characters,
        samples=tuple(samples),
    )


def _copied(temperature: float, parameters: GenerateParameters) -> ItemError:
    return ItemError(
        code=ItemErrorCode.INVALID_INPUT,
        message=f"A sample at temperature {temperature:g} has more than {parameters.max_copied} "
        f"characters in a row from the training text in each of {parameters.tries} tries. Raise "
        "max_copied, tries or the temperature, or ask for shorter samples.",
    )


def _until_stopped(chunks: Iterator[Chunk], context: RunContext) -> Iterator[Chunk]:
    """The same chunks, and how long each took told when the next is asked for."""
    for chunk in chunks:
        if context.stop_requested():
            raise Stopped("The measuring was stopped before its end; there is no result.")
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
