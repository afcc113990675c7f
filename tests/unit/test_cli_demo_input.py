"""What the demo composes: distinct, repeatable, and not too easy."""

from collections import Counter
from hashlib import sha256

from seqd.cli.demo.sample_data import compose_reviews, compose_text


def test_reviews_are_distinct_and_of_both_stances():
    reviews = list(compose_reviews(3_000))

    stances = Counter(review.label for review in reviews)
    assert len({review.text for review in reviews}) == 3_000
    assert len({review.custom_id for review in reviews}) == 3_000
    assert 0.45 < stances["positive"] / 3_000 < 0.55


def test_a_seed_gives_the_same_output_as_ever():
    reviews = "\n".join(review.text for review in compose_reviews(100, seed=1))

    digests = [sha256(text.encode()).hexdigest()[:16] for text in (reviews, compose_text(9_000, 1))]
    assert digests == ["8da28515f6d30ca9", "19386b3f48949994"]
    assert list(compose_reviews(50, seed=3)) != list(compose_reviews(50, seed=4))
