"""Both tokenizers: their rules on texts small enough to check by eye, and against slow versions."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd_imdb_lstm.tokenizer import SEPARATORS, decode_word, space_words, tokenize


def keras_words(text: str) -> list[str]:
    return [decode_word(word) for word in tokenize(text)]


def test_text_is_lowered_and_split_at_each_separator():
    assert keras_words("Great FILM<br /><br />the end.It's (not) bad!") == (
        ["great", "film", "br", "br", "the", "end", "it's", "not", "bad"]
    )


def test_each_of_the_rules_separators_is_one():
    assert len(SEPARATORS) == 33
    assert keras_words("x".join(SEPARATORS)) == ["x"] * 32


def test_apostrophes_and_other_white_space_stay_within_words():
    assert keras_words("don't l\u2019eau a\u00a0b c\u0085d e\rf") == (
        ["don't", "l\u2019eau", "a\u00a0b", "c\u0085d", "e\rf"]
    )


def test_emoji_nul_and_lone_surrogates_are_words_like_others():
    assert keras_words("\U0001f600 a\x00b \ud800 \u0130") == [
        "\U0001f600",
        "a\x00b",
        "\ud800",
        "i\u0307",
    ]


@given(st.text(st.characters(exclude_categories=())))
def test_splitting_bytes_gives_the_rule_as_it_is_worded(text: str):
    spaced = "".join(" " if letter in SEPARATORS else letter for letter in text.lower())

    assert keras_words(text) == [word for word in spaced.split(" ") if word]


def words(text: str) -> list[str]:
    return [decode_word(word) for word in tokenize(text, "unicode-1")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't STOP,now!", ["don't", "stop", ",", "now", "!"]),
        ("Don\u2019t \u2018quote\u2019", ["don't", "\u2018", "quote", "'"]),
        ("rock'n'roll 'tis boys' ''", ["rock'n'roll", "'", "tis", "boys", "'", "'", "'"]),
        ("<br />10/10 4.5", ["<", "br", "/", ">", "10", "/", "10", "4", ".", "5"]),
        ("snake_case e-mail", ["snake", "_", "case", "e", "-", "mail"]),
        ("Größe Straße", ["größe", "straße"]),
        ("ΟΔΟΣ", ["οδος"]),
        ("Очень хорошо", ["очень", "хорошо"]),
        ("한국어 문장", ["한국어", "문장"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_letters_make_words_and_every_other_character_is_one(text: str, expected: list[str]):
    assert words(text) == expected


def test_each_chinese_character_and_kana_is_a_word():
    assert words("这部电影很好。第2集 テスト、です ｶﾞ") == list("这部电影很好。第2集テスト、ですｶﾞ")


def test_marks_stay_with_the_character_before_them():
    assert words("हिन्दी में") == ["हिन्दी", "में"]  # vowel signs are marks
    assert words("می\u200cخواهم") == ["می\u200cخواهم"]  # a format character within a word
    assert words("❤\ufe0fa 👩\u200d🚀") == ["❤\ufe0f", "a", "👩\u200d", "🚀"]
    assert words("\u0301a b \u0301\u0302c") == ["\u0301", "a", "b", "\u0301\u0302", "c"]


def test_an_accent_is_the_same_however_it_was_typed():
    assert words("caf\u00e9") == words("cafe\u0301") == ["caf\u00e9"]
    assert words("\u1112\u1161\u11ab") == ["\ud55c"]  # Korean, letter by letter


def test_thai_is_cut_at_its_spaces_alone():
    assert words("ภาพยนตร์เรื่องนี้ สนุกมาก") == ["ภาพยนตร์เรื่องนี้", "สนุกมาก"]


def test_all_white_space_parts_words_the_zero_width_space_too():
    assert words("a\tb\nc\u00a0d\u2003e\u3000f\u200bg\x1ch\x85i") == list("abcdefghi")
    assert words(" \n ") == words("") == []


def test_nul_and_lone_surrogates_are_words_of_their_own():
    assert words("a\x00b \ud83d\ude00\ud800") == ["a", "\x00", "b", "\ud83d", "\ude00", "\ud800"]


ASCII_RULE = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)*|\S")


@given(st.text(st.characters(max_codepoint=127)))
def test_on_ascii_text_the_rule_is_one_regular_expression(text: str):
    assert words(text) == ASCII_RULE.findall(text.lower())


def by_the_rule_as_it_is_worded(text: str) -> list[str]:
    """Character by character, without any thought of speed."""
    found: list[str] = []
    before = " "
    characters = unicodedata.normalize("NFC", text.lower()).replace("\u2019", "'")
    for place, character in enumerate(characters):
        kind = kind_of(character)
        after = kind_of(characters[place + 1]) if place + 1 < len(characters) else " "
        if kind == "mark":
            kind = "mark" if before != " " else "alone"
        elif character == "'" and before == "letter" and after == "letter":
            kind = "letter"
        if kind == "mark" or (kind == "letter" and before == "letter"):
            found[-1] += character
        elif kind != " ":
            found.append(character)
        before = before if kind == "mark" else kind
    return found


def kind_of(character: str) -> str:
    name = unicodedata.name(character, "")
    if character.isspace() or character == "\u200b":
        return " "
    if unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf"):
        return "mark"
    if "CJK" in name or "HIRAGANA" in name or "KATAKANA" in name:
        return "alone"
    return "letter" if character.isalnum() else "alone"


MIXED = st.text(
    st.sampled_from(
        "aB1'\u2019 .\n_\u0301\u200d\u200b\u00e9é字あ\u30fc\u093fह\ud800😀\ufe0f\x00\u0130"
    ),
    max_size=12,
)


@given(MIXED)
def test_whole_arrays_give_the_rule_as_it_is_worded(text: str):
    assert words(text) == by_the_rule_as_it_is_worded(text)


@given(st.lists(MIXED, max_size=5))
def test_a_text_is_split_alike_whatever_stands_beside_it(texts: list[str]):
    together = [
        [word for word in text.split(b" ") if word] for text in space_words(texts, "unicode-1")
    ]

    assert together == [tokenize(text, "unicode-1") for text in texts]
