"""Training data of `char_lstm` as ids: what is held out, left out and refused."""

import pytest

from seqd.errors import InvalidData
from seqd.inputs.datasets import TextDataset
from seqd.testing import MemoryTrainContext
from seqd_char_lstm import TrainParameters
from seqd_char_lstm.data import UNKNOWN, Corpus, read_corpus


def a_context(folder, text, held_out=None) -> MemoryTrainContext:
    data = TextDataset(text, "a test")
    return MemoryTrainContext(folder, data, held_out and TextDataset(held_out, "held out"))


def a_corpus(folder, text, held_out=None, **parameters) -> Corpus:
    return read_corpus(TrainParameters(**parameters), a_context(folder, text, held_out))


def shown(corpus: Corpus) -> str:
    """The held-out text, with a # for what is unknown."""
    assert corpus.held_out is not None
    return "".join(
        "#" if one == UNKNOWN else corpus.alphabet.characters[one] for one in corpus.held_out
    )


def test_all_of_the_text_is_learnt_from_unless_some_is_to_be_held_out(tmp_path):
    corpus = a_corpus(tmp_path, "A cab. A Bad cab.")

    assert corpus.text == "a cab. a bad cab."
    assert corpus.alphabet.characters == " .abcd"
    assert corpus.held_out is None


def test_the_end_of_the_text_is_held_out_and_its_own_characters_are_unknown(tmp_path):
    corpus = a_corpus(tmp_path, "abab abab abab aXba!", validation_split=0.25, lower_case=False)

    assert corpus.text == "abab abab abab "
    assert shown(corpus) == "a#ba#"


def test_held_out_data_leaves_all_of_the_text_to_be_learnt_from(tmp_path):
    corpus = a_corpus(tmp_path, "abab abab", "BAB!", validation_split=0.5)

    assert corpus.text == "abab abab"
    assert shown(corpus) == "bab#"


def test_rare_characters_are_left_out_of_the_text_and_counted(tmp_path):
    context = a_context(tmp_path, "aab ~ bba §")

    corpus = read_corpus(TrainParameters(min_count=3), context)

    assert corpus.text == "aab  bba "
    assert context.logs == [
        "2 of 11 characters are left out: each of them is rarer than min_count 3."
    ]


@pytest.mark.parametrize(
    "text",
    ["我们学习。我们写字。", "Привет, мир! Привет.", "🙂🙃🙂🙃 🙂", "שלום עולם", "e\u0301te\u0301"],
)
def test_text_of_any_script_is_learnt_from_as_it_stands(tmp_path, text):
    assert a_corpus(tmp_path, text, lower_case=False).text == text


@pytest.mark.parametrize(
    ("text", "parameters", "message"),
    [
        (
            "a",
            {"validation_split": 0.5},
            "The text to learn from is empty. Give a text of some thousand words.",
        ),
        (
            "aaaa",
            {},
            "The text has 1 distinct characters; from 2 to 10,000 can be learnt. Give a text of "
            "words.",
        ),
        (
            "aaab",
            {"min_count": 2},
            "The text has 1 distinct characters that it has at least 2 times; from 2 to 10,000 can "
            "be learnt. Give a text of words.",
        ),
        (
            "".join(map(chr, range(0x4E00, 0x4E00 + 10_001))),
            {},
            "The text has 10,001 distinct characters; from 2 to 10,000 can be learnt. Give a text "
            "of words, or a higher min_count.",
        ),
    ],
)
def test_a_text_that_cannot_be_learnt_from_is_refused(tmp_path, text, parameters, message):
    with pytest.raises(InvalidData) as raised:
        a_corpus(tmp_path, text, **parameters)

    assert str(raised.value) == message
