"""The tokenizer's rule and the vocabulary of `imdb_lstm`, on texts small enough to check by eye."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seqd_imdb_lstm.reviews import SEPARATORS, EncodedReview, Vocabulary, text_of, words_of

THE_FILM = Vocabulary(["the", "film", "was", "don't"])


def words(text: str) -> list[str]:
    return [text_of(word) for word in words_of(text)]


def encoded(text: str, max_tokens: int = 500) -> EncodedReview:
    return THE_FILM.encode_all([text], max_tokens)[0]


def test_text_is_lowered_and_split_at_each_separator():
    assert words("Great FILM<br /><br />the end.It's (not) bad!") == (
        ["great", "film", "br", "br", "the", "end", "it's", "not", "bad"]
    )


def test_each_of_the_rules_separators_is_one():
    assert len(SEPARATORS) == 33
    assert words("x".join(SEPARATORS)) == ["x"] * 32


def test_apostrophes_and_other_white_space_stay_within_words():
    assert words("don't l\u2019eau a\u00a0b c\u0085d e\rf") == (
        ["don't", "l\u2019eau", "a\u00a0b", "c\u0085d", "e\rf"]
    )


def test_emoji_nul_and_lone_surrogates_are_words_like_others():
    assert words("\U0001f600 a\x00b \ud800 \u0130") == ["\U0001f600", "a\x00b", "\ud800", "i\u0307"]


@given(st.text(st.characters(exclude_categories=())))
def test_splitting_bytes_gives_the_rule_as_it_is_worded(text: str):
    spaced = "".join(" " if letter in SEPARATORS else letter for letter in text.lower())

    assert words(text) == [word for word in spaced.split(" ") if word]


def test_ids_are_the_start_then_rank_plus_three_and_two_for_other_words():
    review = encoded("The film was, don't laugh, THE film")

    assert review.ids.tolist() == [1, 4, 5, 6, 7, 2, 4, 5]
    assert review.ids.dtype == np.int32
    assert (review.words, review.unknown_words, review.truncated) == (7, 1, False)


def test_a_text_without_words_is_the_start_alone():
    review = encoded(" ... <> ")

    assert review.ids.tolist() == [1]
    assert (review.words, review.unknown_words, review.truncated) == (0, 0, False)


def test_of_a_long_text_the_end_is_kept_and_the_cut_words_still_count_as_unknown():
    review = encoded("zzz zzz the film was", max_tokens=3)

    assert review.ids.tolist() == [4, 5, 6]
    assert (review.words, review.unknown_words, review.truncated) == (5, 2, True)


def test_a_text_that_loses_only_the_start_id_is_not_called_truncated():
    assert encoded("the film was", max_tokens=3).ids.tolist() == [4, 5, 6]
    assert not encoded("the film was", max_tokens=3).truncated
    assert encoded("the film was", max_tokens=4).ids.tolist() == [1, 4, 5, 6]


@given(st.lists(st.sampled_from(["the", "film", "zzz"])), st.integers(1, 12))
def test_a_review_never_has_more_ids_than_the_network_reads(chosen: list[str], max_tokens: int):
    review = encoded(" ".join(chosen), max_tokens)

    full = [1] + [{"the": 4, "film": 5}.get(word, 2) for word in chosen]
    assert review.ids.tolist() == full[-max_tokens:]
    assert review.truncated == (len(chosen) > max_tokens)


@given(
    st.lists(st.text(st.sampled_from("thefilmz \n,\u00e9\ud800")), max_size=8), st.integers(1, 9)
)
def test_texts_encoded_together_are_as_each_alone(texts: list[str], max_tokens: int):
    together = THE_FILM.encode_all(texts, max_tokens)

    for text, review in zip(texts, together, strict=True):
        alone = THE_FILM.encode_words(words_of(text), max_tokens)
        assert review.ids.tolist() == alone.ids.tolist()
        assert review[1:] == alone[1:]


def test_more_texts_than_are_looked_up_at_once_keep_their_order():
    texts = [f"{'film ' * number}the" for number in range(1, 300)]

    together = THE_FILM.encode_all(texts, max_tokens=1_000)

    assert [review.words for review in together] == list(range(2, 301))
    assert {int(review.ids[-1]) for review in together} == {4}
