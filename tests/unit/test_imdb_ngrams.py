"""The n-gram branch: what it finds in texts, what it learns, and that company changes nothing."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqd.errors import Stopped
from seqd_imdb_lstm.ngrams import (
    NgramTable,
    WeightedReviews,
    fit_table,
    hash_ngrams,
    minimize_lbfgs,
)
from seqd_imdb_lstm.vocabulary import START_ID, UNKNOWN_ID, Ids

GOOD, BAD, NOT, FILM = 4, 5, 6, 7


def ids(*words: int) -> Ids:
    return np.array([START_ID, *words], dtype=np.int32)


def a_set(repeats: int = 20) -> WeightedReviews:
    """Good is good, bad is bad, and with "not" in front it is the other way round."""
    reviews, targets = [], []
    for number in range(repeats):
        rest = (FILM,) * (number % 3)
        often = [((GOOD,), 1), ((BAD,), 0)] * 3
        for words, target in [*often, ((NOT, GOOD), 0), ((NOT, BAD), 1)]:
            reviews.append(ids(*rest, *words))
            targets.append(target)
    return WeightedReviews(
        reviews, np.array(targets, dtype=np.int32), np.ones(len(targets), dtype=np.float32)
    )


def fitted(data: WeightedReviews, classes: int = 2, **changes: float) -> NgramTable:
    given_values = {"order": 3, "buckets": 2**12, "l2": 0.1} | changes
    return fit_table(data, classes, **given_values)  # type: ignore[arg-type]


def ngrams_of(review: Ids, order: int) -> list[tuple[int, ...]]:
    words = [int(word) for word in review if word != START_ID]
    return [
        tuple(words[start : start + reach])
        for reach in range(1, order + 1)
        for start in range(len(words) - reach + 1)
    ]


REVIEWS = st.lists(
    st.lists(st.integers(UNKNOWN_ID, 60), max_size=12).map(lambda words: ids(*words)), max_size=8
)


@given(reviews=REVIEWS, order=st.integers(1, 3))
def test_n_grams_are_those_of_a_slow_count_and_go_across_no_two_reviews(
    reviews: Sequence[Ids], order: int
) -> None:
    rows, hashes = hash_ngrams(reviews, order)

    for row, review in enumerate(reviews):
        mine = hashes[rows == row]
        counted = Counter(ngrams_of(review, order))
        assert len(mine) == sum(counted.values())
        # As many different hashes as different n-grams, each as often.
        assert sorted(Counter(mine.tolist()).values()) == sorted(counted.values())


def test_the_same_n_gram_has_the_same_hash_everywhere() -> None:
    _, first = hash_ngrams([ids(GOOD, FILM)], 2)
    _, second = hash_ngrams([ids(BAD), ids(NOT, GOOD, FILM)], 2)

    # GOOD, FILM and "GOOD FILM"; a hash is part of a version, so it may never change.
    assert set(first.tolist()) < set(second.tolist())
    assert first.tolist() == [13232826040865663252, 1346066267577507604, 12054336049333799344]


def test_pairs_of_words_are_told_from_their_words() -> None:
    table = fitted(a_set())

    scores = table.logits([ids(GOOD), ids(BAD), ids(NOT, GOOD), ids(NOT, BAD)])[:, 0]

    assert (scores > 0).tolist() == [True, False, False, True]


def test_words_alone_cannot_tell_them() -> None:
    table = fitted(a_set(), order=1)

    scores = table.logits([ids(GOOD), ids(NOT, GOOD)])[:, 0]

    assert scores.tolist() == pytest.approx([abs(scores[0])] * 2, rel=0.2)


def test_each_of_three_classes_has_a_score() -> None:
    reviews = [ids(word, FILM) for word in (GOOD, BAD, NOT)] * 20
    targets = np.array([0, 1, 2] * 20, dtype=np.int32)
    data = WeightedReviews(reviews, targets, np.ones(60, dtype=np.float32))

    table = fitted(data, classes=3)

    assert table.logits([ids(GOOD), ids(BAD), ids(NOT)]).argmax(axis=1).tolist() == [0, 1, 2]


def test_a_word_that_training_never_saw_changes_nothing() -> None:
    table = fitted(a_set())

    known, with_stranger = table.logits([ids(GOOD), ids(GOOD, 59)])[:, 0]

    assert with_stranger == known


def test_a_text_without_words_has_the_bias_alone() -> None:
    table = fitted(a_set())

    assert table.logits([ids()])[0] == pytest.approx(table.bias)


@settings(max_examples=30, deadline=None)
@given(reviews=REVIEWS)
def test_scores_do_not_depend_on_the_company(reviews: Sequence[Ids]) -> None:
    table = fitted(a_set(8))

    together = table.logits(reviews)

    alone = [table.logits([review])[0] for review in reviews]
    assert together.tolist() == [score.tolist() for score in alone]


def test_the_same_reviews_give_the_same_table_to_the_bit() -> None:
    first, second = fitted(a_set()), fitted(a_set())

    assert first.owners.tobytes() == second.owners.tobytes()
    assert first.weights.tobytes() == second.weights.tobytes()
    assert first.bias.tobytes() == second.bias.tobytes()


def test_a_heavier_class_pulls_undecided_texts_to_itself() -> None:
    data = a_set()
    heavy = WeightedReviews(data.reviews, data.targets, np.where(data.targets == 1, 9.0, 1.0))

    assert fitted(heavy).logits([ids()])[0, 0] > fitted(data).logits([ids()])[0, 0] + 0.5


def test_a_stop_is_honoured_while_it_fits() -> None:
    questions = 0

    def check_stop() -> None:
        nonlocal questions
        questions += 1
        if questions > 20:
            raise Stopped("enough")

    with pytest.raises(Stopped):
        fit_table(a_set(), 2, order=3, buckets=2**12, l2=0.1, check_stop=check_stop)

    assert questions == 21


def test_the_optimiser_finds_the_lowest_point_of_a_long_valley() -> None:
    scales = np.logspace(0, 2, 30)

    def valley(point: np.ndarray) -> tuple[float, np.ndarray]:
        away = point - 3.0
        return 0.5 * float((scales * away**2).sum()), scales * away

    found = minimize_lbfgs(valley, np.zeros(30), 500)

    assert found == pytest.approx(np.full(30, 3.0), abs=0.05)
