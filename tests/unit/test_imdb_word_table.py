"""The table that looks words up: it gives what a dict gives, for words of any bytes and length."""

from hypothesis import given
from hypothesis import strategies as st

from seqd_imdb_lstm.word_table import WordTable

UNKNOWN = 2

#: Bytes that lengths and masks could be confused by, beside ordinary ones; a space parts words.
_words = st.lists(st.sampled_from(b"ab\x00\x01\x07\x08\xff"), min_size=1, max_size=20).map(bytes)


def ids_of(known: dict[bytes, int], words: list[bytes]) -> list[int]:
    return WordTable(known, UNKNOWN).ids_of(b" ".join(words)).tolist()


@given(st.lists(_words, unique=True), st.lists(_words), st.data())
def test_each_word_gets_the_id_that_a_dict_gives_it(
    known: list[bytes], others: list[bytes], data: st.DataObject
):
    table = {word: number for number, word in enumerate(known, start=3)}
    words = data.draw(st.permutations(known + others))

    assert ids_of(table, words) == [table.get(word, UNKNOWN) for word in words]


def test_words_are_told_apart_by_length_and_by_every_byte():
    letters = [b"a" * size for size in range(1, 24)]
    table = {word: number for number, word in enumerate(letters, start=3)}
    endings = [word[:-1] + b"b" for word in letters]
    with_nul = [word + b"\0" for word in letters]

    assert ids_of(table, letters) == list(range(3, 26))
    assert ids_of(table, endings + with_nul) == [UNKNOWN] * 46


def test_words_that_share_a_slot_are_all_found():
    many = {b"w%d" % number: number for number in range(3, 20_003)}
    strangers = [b"s%d" % number for number in range(20_000)]

    assert ids_of(many, [*many, *strangers]) == [*many.values(), *[UNKNOWN] * 20_000]


def test_nothing_but_spaces_has_no_words_and_a_table_may_be_empty():
    assert ids_of({b"a": 3}, [b"", b""]) == []
    assert ids_of({}, [b"a", b"a long word of no table"]) == [UNKNOWN] * 7
