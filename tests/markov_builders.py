"""Versions of `markov` and `markov_words`, trained on a few words, and what they write."""

import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from decorated_builders import model_of
from seqd.hookspecs import Artifact, LoadedModel, WorkItem
from seqd.inputs.datasets import RecordDataset, TextDataset
from seqd.testing import CPU, MemoryRunContext, train_to_artifact
from seqd_markov import GenerateParameters, Markov, MarkovWords

MARKOV, MARKOV_WORDS = model_of(Markov), model_of(MarkovWords)

CATS = "the cat sat on the mat, and the rat sat on the cat."
SENTENCES = "The cat sat. The rat sat on the mat! Did the cat see it? The cat did.\n" * 3


def trained(
    folder: Path, data: str | RecordDataset = CATS, *, words: bool = False, **parameters: object
) -> Artifact:
    """A version in a folder, trained on all of a text unless something else is asked for."""
    given = data if isinstance(data, RecordDataset) else TextDataset(data, "a text of a test")
    model = MARKOV_WORDS if words else MARKOV
    return train_to_artifact(model, {"validation_split": 0.0} | parameters, given, folder)


@cache
def a_generator(text: str = CATS, *, words: bool = False, **parameters: object) -> LoadedModel:
    """A loaded version of order 2 unless something else is asked for; the same one each time."""
    with tempfile.TemporaryDirectory() as folder:
        artifact = trained(Path(folder), text, words=words, **{"order": 2} | parameters)
        return MARKOV.load(artifact, CPU)


def a_word_generator(text: str = SENTENCES, **parameters: object) -> LoadedModel:
    """A loaded version of words in sentences."""
    return a_generator(text, words=True, **parameters)


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


def measured(text: str, generator: LoadedModel) -> Mapping[str, float]:
    """The figures of `measure`."""
    return generator.measure(text, MemoryRunContext())
