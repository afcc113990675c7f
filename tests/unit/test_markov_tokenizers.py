"""WordTokenizer and marks of any script: found, and put together as they stood."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqd_markov.tokenizers import CharacterTokenizer, WordTokenizer, split_words

CASES = {
    "words and marks": ("it is, then.", ["it", "is", ", ", "then", ". "]),
    "inner marks": ("don't re-read Nietzsche’s", ["don't", "re-read", "Nietzsche’s"]),
    "outer marks": ("'tis -- rock'n'", [" '", "tis", " -- ", "rock'n", "' "]),
    "numbers": ("3.14, 1,000 or 2.", ["3.14", ", ", "1,000", "or", "2", ". "]),
    "quotes": ('"so," (he) said', [' "', "so", ",", '" ', " (", "he", ") ", "said"]),
    "runs": ("well... no--yes", ["well", "... ", "no", "--", "yes"]),
    "accents": ("e\u0301t\u00e9 стол", ["e\u0301t\u00e9", "стол"]),
    "devanagari": ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
    "chinese": ("日本。语", ["日", "本", "。", "语"]),
    "thai": ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
    "hangul": ("안녕 세계", ["안녕", "세계"]),
    "emoji": ("ok 👩\u200d💻!", ["ok", " 👩\u200d", "💻", "! "]),
    "symbols": ("AT&T €5", ["AT", "&", "T", " €", "5"]),
    "nothing": (" \n\x00", []),
}


@pytest.mark.parametrize(("text", "tokens"), CASES.values(), ids=CASES)
def test_a_text_is_cut_into_words_and_marks(text, tokens):
    assert split_words(text) == tokens


TEXTS = [
    'He said: "So be it," and (at last) left -- for good.',
    "It's 3.14 [see 1,000]; isn't it? Yes! 'Quoted.'",
    "日本語のテキスト。新しい文。",
    "Ein „Wort“, zwei «mots», и слова.",
    "a/b c_d e@f 50% #1 x=y",
    "नमस्ते, दुनिया! สวัสดี",
]


@pytest.mark.parametrize("text", TEXTS)
def test_what_was_cut_reads_as_it_stood_when_it_is_put_together(text):
    words = WordTokenizer(sorted(set(split_words(text))), lower_case=False)

    assert words.decode(words.encode(text)) == text


def test_a_lines_end_and_a_run_of_blanks_are_one_space():
    words = WordTokenizer(("a", "b"), lower_case=False)

    assert words.decode(words.encode("a\n  b\ta")) == "a b a"


@settings(deadline=None)
@given(st.text(st.sampled_from("ab'-.,\" (日é\n"), max_size=30))
def test_put_together_again_a_text_is_cut_as_before(text):
    tokens = split_words(text)
    words = WordTokenizer(sorted(set(tokens)), lower_case=False)

    again = words.decode(words.encode(text))

    assert [token.strip() for token in split_words(again)] == [token.strip() for token in tokens]


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), max_size=12), st.integers(0, 12))
def test_a_text_in_two_parts_is_the_whole(ids, cut):
    for tokens in (
        WordTokenizer((", ", " (", "a"), lower_case=False, separator=" "),
        CharacterTokenizer("a b", lower_case=False, separator="\n"),
    ):
        ids_ = np.array(ids, np.int64)
        first, second = ids_[:cut], ids_[cut:]

        after = int(first[-1]) if len(first) else None
        parts = tokens.decode(first) + tokens.decode(second, after)

        assert parts == tokens.decode(ids_)


def test_words_that_are_not_in_the_vocabulary_are_unknown():
    words = WordTokenizer(("the", "cat"), lower_case=True)

    assert words.encode("The dog, the cat").tolist() == [0, -1, -1, 0, 1]
    assert words.unknown_in(["The dog, the cat"]) == ["dog", ", "]


def test_characters_that_are_not_in_the_alphabet_are_unknown():
    characters = CharacterTokenizer("ab", lower_case=True)

    assert characters.encode("Abc日\0a").tolist() == [0, 1, -1, -1, -1, 0]


def test_sentences_are_put_together_with_what_stands_between_them():
    characters = CharacterTokenizer("ab", lower_case=False, separator=" ")
    begin, end = characters.begin, characters.end

    assert characters.decode(np.array([begin, 0, end, begin, 1, end])) == "a b"


def test_a_symbol_is_shown_so_that_a_reader_sees_what_it_is():
    characters = CharacterTokenizer("\na", lower_case=False, separator=" ")

    shown = [characters.shown(symbol) for symbol in (-1, 0, 1, 2, 3)]

    assert shown == ["<unknown>", r"'\n'", "'a'", "<begin>", "<end>"]
    assert WordTokenizer((" (", "a"), lower_case=False).shown(0) == "' ('"
