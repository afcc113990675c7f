"""Texts in chunks: cut where they may be cut, split into sentences by the stated rule."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import seqd_markov.corpus
from seqd.hookspecs import TextSegment
from seqd.inputs.datasets import TextDataset
from seqd_markov.corpus import (
    CorpusPart,
    chunks_of,
    encode_chunk,
    encode_prompt,
    normalised_length,
    sentences_of,
    split_sentences,
)
from seqd_markov.tokenizers import CharacterTokenizer

SENTENCES = {
    "points": ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
    "small letters": ('"What?" he said. Then.', ['"What?" he said.', "Then."]),
    "a text of small letters": ("one. two! three", ["one.", "two!", "three"]),
    "closing marks": ('He left.) "So." Yes.', ["He left.)", '"So."', "Yes."]),
    "initials": ("J. S. Bach wrote. I. So.", ["J. S. Bach wrote.", "I.", "So."]),
    "abbreviations": ("Mr. Smith and Dr. No left.", ["Mr. Smith and Dr. No left."]),
    "numbers": ("It is 3.14 now. Yes.", ["It is 3.14 now.", "Yes."]),
    "three points": ("Well... Then", ["Well...", "Then"]),
    "a blank line": ("A title\n \nA text\nof two", ["A title", "A text of two"]),
    "chinese": ("好。再见！「走？」他", ["好。", "再见！", "「走？」", "他"]),
    "nothing": (" \n\n ", []),
}


@pytest.mark.parametrize(("text", "sentences"), SENTENCES.values(), ids=SENTENCES)
def test_a_text_is_split_by_its_punctuation(text, sentences):
    assert split_sentences(text, "punctuation") == sentences


def test_a_text_is_split_by_its_lines_where_each_is_a_sentence():
    assert split_sentences("Anna\r\n\nJ. Smith\nBert.", "lines") == ["Anna", "J. Smith", "Bert."]


def chunked(segments, ends=None, size=10, **more):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seqd_markov.corpus, "CHUNK_CHARACTERS", size)
        return [(chunk.text, chunk.label) for chunk in chunks_of(segments, ends, **more)]


@settings(deadline=None)
@given(st.lists(st.text(st.sampled_from("ab \n."), max_size=25), max_size=4))
def test_chunks_of_segments_are_the_whole_text(parts):
    chunks = chunked([TextSegment(part, ends_record=False) for part in parts])

    assert "".join(text for text, _ in chunks) == "".join(parts)
    assert all(0 < len(text) <= 10 for text, _ in chunks)


def test_chunks_are_cut_behind_spaces():
    assert [text for text, _ in chunked([TextSegment("one two three four")])] == [
        "one two ",
        "three four",
    ]


def test_a_text_without_blanks_is_cut_anywhere():
    assert [text for text, _ in chunked([TextSegment("a" * 25)])] == ["a" * 10, "a" * 10, "a" * 5]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["Ab.", "C d?", "E!"]), max_size=12), st.integers(12, 30))
def test_sentences_are_the_same_however_the_text_comes(sentences, size):
    text = " ".join(sentences)
    segments = [TextSegment(text[i : i + 5], ends_record=False) for i in range(0, len(text), 5)]

    found = [
        sentence
        for chunk, _ in chunked(segments, "punctuation", size)
        for sentence in sentences_of(chunk, "punctuation")
    ]

    assert found == split_sentences(text, "punctuation")


def test_records_are_joined_by_newlines():
    segments = [TextSegment("a b", "x"), TextSegment("c", "y"), TextSegment("d", None)]

    assert chunked(segments) == [("a b\nc\nd", None)]


def test_records_of_different_labels_are_kept_apart_where_it_is_asked_for():
    segments = [
        TextSegment("a", "x"),
        TextSegment("b", "x"),
        TextSegment("c", "y"),
        TextSegment("d", None),
    ]

    assert chunked(segments, by_label=True) == [("a\nb", "x"), ("\nc", "y"), ("\nd", None)]


@pytest.mark.parametrize("ends", ["punctuation", "lines"])
def test_a_record_ends_a_sentence(ends):
    segments = [TextSegment("one and"), TextSegment("two")]

    found = [s for chunk, _ in chunked(segments, ends, 100) for s in sentences_of(chunk, ends)]

    assert found == ["one and", "two"]


@settings(deadline=None)
@given(
    st.text(st.sampled_from("ab \n"), min_size=1, max_size=40), st.integers(0, 40), st.booleans()
)
def test_the_two_parts_of_a_text_are_the_whole(text, border, keeps_words):
    data = TextDataset(text, "a test")

    learnt, rest = (
        "".join(chunk.text for chunk in CorpusPart(data, border, is_rest, keeps_words).chunks(None))
        for is_rest in (False, True)
    )

    assert learnt + rest == text
    if keeps_words:
        assert len(learnt) >= min(border, len(text))
        cuts_a_word = bool(learnt) and bool(rest) and (learnt[-1] + rest[0]).isalpha()
        assert not cuts_a_word or " " not in rest.replace("\n", " ")
    else:
        assert len(learnt) == min(border, len(text))


def test_each_sentence_stands_between_its_beginning_and_its_end():
    tokenizer = CharacterTokenizer(" .AI", lower_case=False, separator=" ")
    begin, end = tokenizer.begin, tokenizer.end

    ids = encode_chunk("I. A", tokenizer, "punctuation")

    assert ids.tolist() == [begin, 3, 1, end, begin, 2, end]


@pytest.mark.parametrize(
    ("prompt", "shown"),
    [("", "<"), ("I", "<I"), ("I.", "<I."), ("I. ", "<I.><"), ("I. A", "<I.><A"), (" I ", "<I")],
)
def test_the_last_sentence_of_a_prompt_is_open(prompt, shown):
    tokenizer = CharacterTokenizer(" .AI", lower_case=False, separator=" ")

    ids = encode_prompt(prompt, tokenizer, "punctuation")

    assert "".join(" .AI<>"[symbol] for symbol in ids) == shown


def test_a_run_of_blanks_counts_as_one_character():
    assert normalised_length("  a \n b ") == 3
