"""Texts as token ids, and the hash table, which gives what a dict gives."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seqd_imdb_lstm.tokenizer import tokenize
from seqd_imdb_lstm.vocabulary import EncodedReview, Vocabulary, WordTable

THE_FILM = Vocabulary(["the", "film", "was", "don't"])


def encoded(text: str, max_tokens: int = 500) -> EncodedReview:
    return THE_FILM.encode_all([text], max_tokens)[0]


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
        alone = THE_FILM.encode_words(tokenize(text), max_tokens)
        assert review.ids.tolist() == alone.ids.tolist()
        assert review[1:] == alone[1:]


def test_more_texts_than_are_looked_up_at_once_keep_their_order():
    texts = [f"{'film ' * number}the" for number in range(1, 300)]

    together = THE_FILM.encode_all(texts, max_tokens=1_000)

    assert [review.words for review in together] == list(range(2, 301))
    assert {int(review.ids[-1]) for review in together} == {4}


def test_a_vocabulary_encodes_by_the_rule_that_it_was_made_for():
    known = ["great", "!", "电"]

    (unicode,) = Vocabulary(known, "unicode-1").encode_all(["Great! 电影"], max_tokens=9)
    (legacy,) = Vocabulary(known).encode_all(["Great! 电影"], max_tokens=9)

    assert unicode.ids.tolist() == [1, 4, 5, 6, 2]
    assert legacy.ids.tolist() == [1, 4, 2]


UNKNOWN = 2


#: Bytes that lengths and masks could be confused by, beside ordinary ones; a space parts words.
_words = st.lists(st.sampled_from(b"ab\x00\x01\x07\x08\xff"), min_size=1, max_size=20).map(bytes)


def table_ids(known: dict[bytes, int], words: list[bytes]) -> list[int]:
    return WordTable(known, UNKNOWN).ids_of(b" ".join(words)).tolist()


@given(st.lists(_words, unique=True), st.lists(_words), st.data())
def test_each_word_gets_the_id_that_a_dict_gives_it(
    known: list[bytes], others: list[bytes], data: st.DataObject
):
    table = {word: number for number, word in enumerate(known, start=3)}
    words = data.draw(st.permutations(known + others))

    assert table_ids(table, words) == [table.get(word, UNKNOWN) for word in words]


def test_words_are_told_apart_by_length_and_by_every_byte():
    letters = [b"a" * size for size in range(1, 24)]
    table = {word: number for number, word in enumerate(letters, start=3)}
    endings = [word[:-1] + b"b" for word in letters]
    with_nul = [word + b"\0" for word in letters]

    assert table_ids(table, letters) == list(range(3, 26))
    assert table_ids(table, endings + with_nul) == [UNKNOWN] * 46


def test_words_that_share_a_slot_are_all_found():
    many = {b"w%d" % number: number for number in range(3, 20_003)}
    strangers = [b"s%d" % number for number in range(20_000)]

    assert table_ids(many, [*many, *strangers]) == [*many.values(), *[UNKNOWN] * 20_000]


def test_nothing_but_spaces_has_no_words_and_a_table_may_be_empty():
    assert table_ids({b"a": 3}, [b"", b""]) == []
    assert table_ids({}, [b"a", b"a long word of no table"]) == [UNKNOWN] * 7
