"""Continues prompts with a loaded version, and measures texts: what the daemon asks of it.

Turns items into chains and chains back into samples; `prompts` says how a prompt is read,
`sampling` how a character is chosen, `writing` and `forward` do the work. Made by the model's
description (`seqd_char_lstm.CharLstm`).

A sample's random numbers depend on the seed, the item's index and the sample's number alone: not
on its temperature, nor on the other temperatures and samples that were asked for. Stop texts are
lower-cased as prompts are, and looked for in what is written, not in the prompt.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from seqd.errors import InvalidData
from seqd.hookspecs import LoadedModel, PluginParameters, RunContext, WorkItem, random_stream
from seqd_char_lstm.artifact import Version
from seqd_char_lstm.engine import engine_for
from seqd_char_lstm.generate_parameters import GenerateParameters
from seqd_char_lstm.held_out import bits_per_char
from seqd_char_lstm.prompts import Prompt, Prompts, is_unicode
from seqd_char_lstm.reading import mixed, read_log_probs
from seqd_char_lstm.samples import Sample
from seqd_char_lstm.sampling import Rules
from seqd_char_lstm.stopping import StopTexts
from seqd_char_lstm.text import UNKNOWN, Alphabet
from seqd_char_lstm.writing import Start, Writing
from seqd_schemas import Generation, ItemError


@dataclass(frozen=True)
class _Asked:
    """One sample that is to be written."""

    item: WorkItem
    prompt: Prompt
    temperature: float
    number: int  # among the samples of its temperature
    place: int  # among all samples of its item
    sample: Sample


class Generator(LoadedModel):
    """A version in memory."""

    def __init__(self, version: Version) -> None:
        self._version = version
        self._alphabet = Alphabet(version.config.alphabet)
        self._prompts = Prompts(version.config)
        self._forward = engine_for(version)
        ngrams = 0 if version.ngrams is None else version.ngrams.nbytes
        self.memory_bytes = self._forward.nbytes + version.weights.nbytes + ngrams

    def warm_up(self) -> None:
        """Write a few characters: it compiles, where there is something to compile."""
        prompt = self._prompts.read("", "skip")
        assert isinstance(prompt, Prompt)
        start = Start(prompt.ids, 1.0, random_stream(0, 0, 0))
        for _ in self._writing([start], Rules(), 1, lambda: False).pieces(1):
            pass

    def cost_tokens(self, text: str) -> int:
        """Count the characters that are read of a prompt."""
        return self._prompts.cost(len(text))

    def generate(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> Sequence[Generation | ItemError]:
        """Continue each prompt. Raises Stopped about a tenth of a second after it was asked for."""
        assert isinstance(parameters, GenerateParameters)
        prompts = [self._prompts.read(item.text, parameters.unknown) for item in items]
        asked = [
            one
            for item, prompt in zip(items, prompts, strict=True)
            if isinstance(prompt, Prompt)
            for one in self._asked(item, prompt, parameters)
        ]
        self._write(asked, parameters, context)
        finished = (one.sample.finished(one.temperature, parameters.seed) for one in asked)
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
        """Measure how well the version predicts a text.

        In bits, the mean over the characters that it knows, each given all before it; others are
        not read, and `unknown_share` says how many these are. Of a version with n-grams
        `bits_per_char` is of the mixture that it writes with, and there are the figures of both
        parts. Raises InvalidData for a text of no known character, Stopped.
        """
        if not is_unicode(text):
            raise InvalidData("The text has a lone surrogate, which is no character.")
        ids = self._alphabet.encode(self._prompts.cased(text))
        known = ids[ids != UNKNOWN]
        if not len(known):
            raise InvalidData(
                f"The text has {len(text):,} characters and none that the version knows; there is "
                "nothing to measure. Give a text like the one that it was trained on."
            )
        threads = context.device.threads
        network = read_log_probs(self._version, known, context.stop_requested, threads)
        figures = {"unknown_share": 1.0 - len(known) / len(ids)}
        if self._version.ngrams is None:
            return figures | {"bits_per_char": bits_per_char(network)}
        mixture, ngrams = mixed(self._version, known, network)
        return figures | {
            "bits_per_char": bits_per_char(mixture),
            "network_bits_per_char": bits_per_char(network),
            "ngram_bits_per_char": bits_per_char(ngrams),
        }

    def _asked(
        self, item: WorkItem, prompt: Prompt, parameters: GenerateParameters
    ) -> Sequence[_Asked]:
        stops = StopTexts([self._prompts.cased(stop) for stop in parameters.stops])
        return [
            _Asked(
                item,
                prompt,
                temperature,
                number,
                rank * parameters.samples + number,
                Sample(self._alphabet, stops),
            )
            for rank, temperature in enumerate(parameters.temperatures)
            for number in range(parameters.samples)
        ]

    def _write(
        self, asked: Sequence[_Asked], parameters: GenerateParameters, context: RunContext
    ) -> None:
        starts = [
            Start(
                one.prompt.ids,
                one.temperature,
                random_stream(parameters.seed, one.item.index, one.number),
            )
            for one in asked
        ]
        rules = Rules(parameters.top_k, parameters.top_p, parameters.repetition_penalty)
        writing = self._writing(starts, rules, context.device.threads, context.stop_requested)
        for written in writing.pieces(parameters.length):
            one = asked[written.chain]
            piece = one.sample.add(written.ids, written.log_probs)
            if one.sample.is_stopped:
                writing.end(written.chain)
            if piece:
                context.stream(one.item, one.place, piece)
        for one in asked:
            if rest := one.sample.rest():
                context.stream(one.item, one.place, rest)

    def _writing(
        self,
        starts: Sequence[Start],
        rules: Rules,
        threads: int,
        stop_requested: Callable[[], bool],
    ) -> Writing:
        return Writing(
            self._forward,
            starts,
            rules,
            chain_rows=self._version.config.window or 1,
            threads=threads,
            stop_requested=stop_requested,
        )
