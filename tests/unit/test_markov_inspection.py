"""The tables that show a version, and what the plugin says of itself."""

import subprocess
import sys

import pytest

from seqd.errors import InvalidInput
from seqd.hookspecs import Distribution
from seqd.inputs.datasets import TextDataset
from seqd.testing import train_to_artifact
from seqd_markov import Markov, MarkovWords, seqd_register_models
from seqd_markov.inspection import listed, overview, transitions
from seqd_markov.model import load

TEXT = "aabab\nab"
SENTENCES = 'The cat sat. "The dog," he said, "ran." The cat ran.'


def a_version(folder, text=TEXT, model=None, **parameters):
    parameters = {"validation_split": 0.0} | parameters
    data = TextDataset(text, "a test")
    return load(train_to_artifact(model or Markov(), parameters, data, folder).folder)


@pytest.fixture
def plain(tmp_path):
    """The tutorial's kind of chain."""
    return a_version(tmp_path, order=1, smoothing="none")


@pytest.fixture
def smoothed(tmp_path):
    return a_version(tmp_path, "the thaw of the then", order=3)


@pytest.fixture
def words(tmp_path):
    return a_version(tmp_path, SENTENCES, MarkovWords())


def test_a_focus_shows_the_states_transitions_the_most_probable_first(plain):
    table = transitions(plain, "a")

    assert table.title == "After 'a': 2 successors in 4 transitions"
    assert table.columns == ("successor", "count", "probability")
    assert table.rows == (("'b'", 3, 0.75), ("'a'", 1, 0.25))
    assert table.distribution == Distribution(names="successor", shares="probability")


def test_a_new_line_may_be_written_as_an_escape(plain):
    assert transitions(plain, "\\n") == transitions(plain, "\n")


@pytest.mark.parametrize("focus", ["z", "", "az"])
def test_an_unknown_focus_is_refused_with_the_known_states(plain, focus):
    with pytest.raises(InvalidInput) as raised:
        transitions(plain, focus)

    assert str(raised.value) == (
        rf"No state {focus!r}. The chain knows 3 characters: '\n' 'a' 'b'. End with one of them; "
        r"\n, \r, \t and space may be written so."
    )


def test_a_context_of_several_characters_may_be_looked_at(smoothed):
    table = transitions(smoothed, "th")

    assert table.title == "After 'th': 2 successors in 4 transitions"
    assert table.columns == ("successor", "count", "probability")
    assert table.rows == (("'e'", 3, 0.75), ("'a'", 1, 0.25))


def test_a_whole_context_has_its_smoothed_probabilities_beside(smoothed):
    table = transitions(
        smoothed, smoothed.tokenizer.decode(smoothed.model.context(smoothed.model.states - 1))
    )

    assert len(smoothed.model.context(smoothed.model.states - 1)) == smoothed.model.order
    assert table.columns == ("successor", "count", "probability", "smoothed")
    assert 0 < sum(row[3] for row in table.rows) < 1


def test_of_a_context_that_is_not_known_the_longest_known_ending_is_shown(smoothed):
    assert transitions(smoothed, "xyh").title == (
        "After 'h', the longest known ending of <unknown> <unknown> 'h': 2 successors in 4 "
        "transitions"
    )
    assert transitions(smoothed, "hth").title == (
        "After 'th', the longest known ending of 'hth': 2 successors in 4 transitions"
    )


def test_of_a_long_context_as_much_is_looked_at_as_the_order_says(smoothed):
    assert transitions(smoothed, "of the").title == (
        "After 'the', the last 3 characters of 'of the': 2 successors in 3 transitions"
    )


def test_a_space_may_be_written_as_a_word(smoothed):
    assert transitions(smoothed, "space") == transitions(smoothed, " ")


def test_words_are_looked_at_as_they_are_written(words):
    assert transitions(words, "The cat").title == "After 'The cat': 2 successors in 2 transitions"
    assert [row[:2] for row in transitions(words, "The cat").rows] == [("'ran'", 1), ("'sat'", 1)]
    assert transitions(words, ",").rows[0][0] == "'\" '"


def test_the_beginning_of_a_sentence_may_be_looked_at(words):
    table = transitions(words, "<begin>")

    assert table.title == "After <begin>: 2 successors in 3 transitions"
    assert table.rows[0][:2] == ("'The'", 2)


def test_an_unknown_word_is_refused_with_the_most_frequent_ones(words):
    with pytest.raises(InvalidInput, match=r"No state 'the'\. The chain knows 13 words: .*'The'"):
        transitions(words, "the")


def test_no_more_successors_are_shown_than_a_reader_takes_in(tmp_path):
    version = a_version(tmp_path, "".join(f"a{chr(0x4E00 + n)}" for n in range(150)), order=1)

    table = transitions(version, "a")

    assert table.title == "After 'a': the 100 most frequent of 150 successors in 150 transitions"
    assert len(table.rows) == 100


def test_a_context_that_nothing_follows_has_no_rows(tmp_path):
    version = a_version(tmp_path, "ab", order=1, smoothing="none")

    assert transitions(version, "b").title == "After 'b': 0 successors in 0 transitions"


def test_the_overview_has_the_most_frequent_symbols_first(plain):
    table = overview(plain)

    assert table.title == (
        "The 3 most frequent of 3 characters; 3 contexts of up to 1 are known, and 5 sequences of 2"
    )
    assert table.rows == (
        ("'a'", 4, 2, "'b'", 0.75),
        ("'b'", 3, 2, r"'\n'", 0.5),
        (r"'\n'", 1, 1, "'a'", 1.0),
    )


def test_the_overview_has_a_row_for_a_state_without_successors(tmp_path):
    version = a_version(tmp_path, "ab", order=1, smoothing="none")

    assert overview(version).rows[1] == ("'b'", 1, 0, "", 0.0)


def test_the_overview_of_words_has_sentences_beginnings(words):
    assert ("<begin>", 3, 2, "'The'", 2 / 3) in overview(words).rows


def test_a_message_lists_no_more_than_a_hundred_symbols():
    assert listed("ab") == "'a' 'b'"
    assert listed(["x"] * 102).endswith("'x' and 2 more")


def test_a_stored_version_is_inspected_by_its_description(tmp_path, plain):
    model = Markov()
    parameters = {"order": 1, "smoothing": "none", "validation_split": 0.0}
    artifact = train_to_artifact(model, parameters, TextDataset(TEXT, "a test"), tmp_path / "2")

    assert model.inspect(artifact, None) == [overview(plain)]
    assert model.inspect(artifact, "a") == [transitions(plain, "a")]


def test_the_plugin_brings_a_model_of_characters_and_one_of_words():
    characters, words = seqd_register_models()

    assert (characters.name, words.name) == ("markov", "markov_words")
    assert set(characters.presets) == {"best", "tutorial"}
    assert set(words.presets) == {"best", "sentences"}
    for model in (characters, words):
        for preset in model.presets.values():
            model.tasks["train"].parameters(**preset)


def test_both_models_ship_a_starter():
    for model in seqd_register_models():
        version = load(model.starter)
        assert version.config.level == ("words" if model.name == "markov_words" else "characters")
        assert version.corpus is not None


def test_describing_the_plugin_loads_neither_keras_nor_safetensors():
    code = (
        "import sys, seqd_markov; seqd_markov.seqd_register_models();"
        "heavy = {'keras', 'tensorflow', 'safetensors', 'celery', 'redis'};"
        "print(sorted(heavy & set(sys.modules)))"
    )

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "[]"
