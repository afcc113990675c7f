"""What a person should know about a training set before the model is used: doubts, not errors.

Called by `training`, which tells the caller. The set is learnt from as it is.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from seqd_imdb_lstm.classes import class_counts, named
from seqd_imdb_lstm.corpus import Corpus
from seqd_imdb_lstm.parameters import TrainParameters

#: Times that one class may be as frequent as another before class weights are advised.
_SKEWED: Final = 10

#: Mean characters of a word beyond which a language does not seem to put spaces between words:
#: English has 4.5, German 6, Finnish 8; a Thai or Chinese clause that nobody cut has 10 to 40.
_LONGEST_WORDS: Final = 12


def remarks(corpus: Corpus, parameters: TrainParameters) -> Iterator[str]:
    """Give one sentence or two for each doubt that there is."""
    yield from _on_records(corpus)
    yield from _on_classes(corpus, parameters)
    yield from _on_words(corpus, parameters)


def _on_records(corpus: Corpus) -> Iterator[str]:
    repeats = corpus.repeats
    if corpus.wordless:
        yield f"Records left out because there is no word in them: {corpus.wordless:,}."
    if repeats.agreeing:
        yield (
            f"Records with the words and the label of an earlier one: {repeats.agreeing:,}. They "
            "are learnt from like others; one that is held out may also be trained on."
        )
    if repeats.example is not None:
        one, other = (
            f"record {corpus.places[row]:,} as {corpus.labels[corpus.targets[row]][:40]!r}"
            for row in repeats.example
        )
        yield (
            f"Warning: texts that stand under more than one label: {repeats.contradicted:,}, such "
            f"as {one} and {other}. All are learnt from; no model can get them all right."
        )


def _on_classes(corpus: Corpus, parameters: TrainParameters) -> Iterator[str]:
    counts = class_counts(corpus.targets, len(corpus.labels))
    single = [label for label, count in zip(corpus.labels, counts, strict=True) if count == 1]
    if single:
        yield (
            f"Warning: a class was seen only once: {named(single)}. Its one record is trained on "
            "and cannot be held out, so nothing tells how well the class is learnt."
        )
    most, least = int(np.argmax(counts)), int(np.argmin(counts))
    if counts[most] > _SKEWED * counts[least] and parameters.class_weight == "none":
        yield (
            f"Warning: {corpus.labels[most][:40]!r} has {counts[most]:,} records and "
            f"{corpus.labels[least][:40]!r} has {counts[least]:,}, so the rare class is easily "
            "overlooked. With class_weight=balanced all classes count the same."
        )


def _on_words(corpus: Corpus, parameters: TrainParameters) -> Iterator[str]:
    if corpus.word_chars <= _LONGEST_WORDS:
        return
    unicode = "Train with tokenizer=unicode-1, to which each Chinese character and kana is a word. "
    yield (
        f"Warning: half of the texts have words of {corpus.word_chars:,.0f} characters or more on "
        "the average, as if there were no spaces between their words; hardly any word is then "
        f"seen twice. {unicode if parameters.tokenizer != 'unicode-1' else ''}"
        "Texts in Thai, Lao, Khmer or Burmese need their words parted by spaces first."
    )
