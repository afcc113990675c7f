"""Versions of `markov` in memory, trained on a few words, and what they write."""

import tempfile
from functools import cache
from pathlib import Path

from seqd.hookspecs import WorkItem
from seqd.inputs.datasets import TextDataset
from seqd.testing import MemoryRunContext, MemoryTrainContext
from seqd_markov import GenerateParameters, TrainParameters
from seqd_markov.generation import Generator
from seqd_markov.model import Version, load
from seqd_markov.sampling import LogProbabilities
from seqd_markov.training import train

CATS = "the cat sat on the mat, and the rat sat on the cat."
SENTENCES = "The cat sat. The rat sat on the mat! Did the cat see it? The cat did.\n" * 3


@cache
def a_version(text: str = CATS, **options: object) -> Version:
    """A version trained on all of a text, at order 2 unless something else is asked for."""
    parameters = TrainParameters.model_validate({"order": 2, "validation_split": 0.0} | options)
    with tempfile.TemporaryDirectory() as folder:
        context = MemoryTrainContext(Path(folder), TextDataset(text, "a text of a test"))
        train(parameters, context)
        return load(Path(folder))


def words(text: str = SENTENCES, **options: object) -> Version:
    """A version of words in sentences."""
    return a_version(text, **{"level": "words", "sentences": True, "lower_case": False} | options)


def a_generator(text: str = CATS, **options: object) -> Generator:
    return Generator(a_version(text, **options))


def log_probabilities_of(version: Version) -> LogProbabilities:
    return LogProbabilities(version.model, sentence_end=version.tokenizer.end)


def generated(*prompts, generator=None, context=None, first=0, **parameters):
    """Continue prompts; `first` is the index of the first one in its job."""
    items = [WorkItem(first + place, prompt) for place, prompt in enumerate(prompts)]
    return (generator or a_generator()).generate(
        items, GenerateParameters(**parameters), context or MemoryRunContext()
    )


def sample_of(prompt, generator=None, **parameters):
    """The one sample of one prompt."""
    (outcome,) = generated(prompt, generator=generator, **parameters)
    (sample,) = outcome.samples
    return sample
