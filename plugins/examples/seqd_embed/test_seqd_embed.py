"""The plugin's own tests: what is decorated is a class like any other."""

from pathlib import Path

import numpy as np
import pytest

from seqd.plugin import BadItem, InvalidData, LabelledRecord
from seqd_embed import Ngrams, Query

#: Pairs that say the same in other words; each is nearest to its own.
PARAPHRASES = [
    ("How do I reset my password?", "I forgot my password, how can I reset it?"),
    ("This phone's battery lasts all day.", "The battery of this phone lasts for a whole day."),
    ("The soup was cold and the waiter was rude.", "Rude waiters, and a cold soup."),
    ("The train to Oslo leaves at nine.", "Trains leave for Oslo at nine o'clock."),
    ("My invoice shows the wrong address.", "There is a wrong address on my invoice."),
]


@pytest.fixture
def ngrams() -> Ngrams:
    return Ngrams.train(LabelledRecord(text, None) for pair in PARAPHRASES for text in pair)


def test_each_text_is_nearest_to_its_paraphrase(ngrams: Ngrams, tmp_path: Path) -> None:
    ngrams.save(tmp_path)
    loaded = Ngrams.load(tmp_path)

    first, second = (
        np.array([loaded.embed(text).vector for text in side])
        for side in zip(*PARAPHRASES, strict=True)
    )

    assert (first @ second.T).argmax(axis=1).tolist() == list(range(len(PARAPHRASES)))
    assert np.allclose(np.linalg.norm(first, axis=1), 1)


def test_candidates_come_by_their_cosine_and_the_same_words_first(ngrams: Ngrams) -> None:
    query = Query(query="A cold soup!", candidates=("", "the rude waiter", "a  COLD soup"))

    best, other = ngrams.similar(query, top=2).matches

    assert (best.index, best.cosine) == (2, pytest.approx(1))
    assert other.cosine < 0.9


def test_a_text_without_words_has_no_vector_and_teaches_nothing(ngrams: Ngrams) -> None:
    with pytest.raises(BadItem, match="blank"):
        ngrams.embed(" ")
    with pytest.raises(InvalidData, match="no text has a word"):
        Ngrams.train([LabelledRecord(" ", None)])
