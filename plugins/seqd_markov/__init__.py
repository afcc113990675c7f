"""The plugin `markov`: Markov chains of order 1 to 8 over characters or words, and mixed contexts.

It has two models that share all but the defaults of a training, and the starter. `markov` writes
character by character, `markov_words` sentence by sentence, word by word. N-grams need NumPy alone;
contexts are mixed by compiled loops. What does the work is imported on first use.

    parameters   how to train and how to write, as clients see it
    data         text to ids, in sentences and chunks
    model        a version: its files, and how well it predicts a text
    train        counting and smoothing (`ngrams`), or learning to mix
    serve        the task `generate`: sampling, stop conditions, copies that are thrown away
    sampling     the next symbols by n-grams; `mixing` has those by mixed contexts
    copies       the longest span of a text that stands in the training text
    inspection   the tables of `seqd models show`
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from seqd.hookspecs import WorkItem
from seqd.plugin import Dataset, Inspection, RunContext, TrainContext, model, task
from seqd_markov.parameters import (
    CHARACTERS_PER_SYMBOL,
    PRESETS,
    WORD_PRESETS,
    GenerateParameters,
    TrainParameters,
    WordTrainParameters,
)
from seqd_schemas import Generation, ItemError

if TYPE_CHECKING:
    from seqd_markov.model import Version
    from seqd_markov.serve import Generator

__all__ = ["GenerateParameters", "Markov", "MarkovWords", "TrainParameters", "WordTrainParameters"]


class MarkovVersion:
    """A version of either model."""

    def __init__(self, version: "Version", metrics: Mapping[str, float] | None = None) -> None:
        self.version = version
        self.metrics = metrics or {}
        self.libraries = ("numpy", "numba") if version.config.mixes else ("numpy",)

    def save(self, folder: Path) -> None:
        """Write the version's files."""
        self.version.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        from seqd_markov.model import Version

        return cls(Version.load(folder))

    # One task has words and characters: a version of either model may be of either level.
    @task(
        "generate",
        unit_items=32,
        bound=GenerateParameters.output(characters_per_symbol=CHARACTERS_PER_SYMBOL),
    )
    def generate(
        self, items: list[WorkItem], parameters: GenerateParameters, context: RunContext
    ) -> list[Generation | ItemError]:
        """Continue each prompt; on the CPU, whatever the device."""
        return self._generator.generate(items, parameters, context)

    @cached_property
    def _generator(self) -> "Generator":
        from seqd_markov.serve import Generator

        return Generator(self.version)

    @property
    def memory_bytes(self) -> int:
        """Bytes of the model, of samplers, and of the search for copies."""
        return self._generator.memory_bytes

    def warm_up(self) -> None:
        """Sample once, and prepare the search for copies where that is quick."""
        self._generator.warm_up()

    def cost_tokens(self, text: str) -> int:
        """Return 1: what is generated costs more than any prompt does."""
        return 1

    def measure(self, text: str, context: RunContext) -> Mapping[str, float]:
        """Return how well the version predicts a text."""
        from seqd_markov.serve import measured

        return measured(self.version, text, context)

    def measure_adapting(self, text: str, context: RunContext) -> Mapping[str, float]:
        """Return the same of a version that mixes contexts, which learns from what it predicted."""
        from seqd_markov.serve import measured

        if not self.version.config.mixes:
            raise NotImplementedError("a chain does not adapt to a text")
        return measured(self.version, text, context, adapts=True)

    def inspect(self, focus: str | None) -> Sequence[Inspection]:
        """Return the successors of the context `focus`, or the most frequent symbols."""
        from seqd_markov.inspection import overview, transitions

        return [overview(self.version) if focus is None else transitions(self.version, focus)]


@model(
    "markov",
    summary="Writes text character by character, each drawn by what follows the ones before.",
    presets=PRESETS,
)
class Markov(MarkovVersion):
    """Characters, unless a training says otherwise."""

    @classmethod
    def train(cls, data: Dataset, parameters: TrainParameters, context: TrainContext) -> Self:
        """Count n-grams of the data and smooth, or mix contexts."""
        from seqd_markov.train import train

        return cls(*train(data, parameters, context))


@model(
    "markov_words",
    summary="Writes sentences word by word, each drawn by what follows the ones before.",
    presets=WORD_PRESETS,
    starter="starter_words",
)
class MarkovWords(MarkovVersion):
    """Words in sentences, unless a training says otherwise."""

    @classmethod
    def train(cls, data: Dataset, parameters: WordTrainParameters, context: TrainContext) -> Self:
        """Count n-grams of the data and smooth, or mix contexts."""
        from seqd_markov.train import train

        return cls(*train(data, parameters, context))
