"""Bits a character: those of the model, and a price of unknown words that is a proper one."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqd.inputs.datasets import TextDataset
from seqd.testing import train_to_artifact
from seqd_markov import Markov, MarkovWords
from seqd_markov.corpus import text_chunks
from seqd_markov.model import fit_spelling, load, measure

TEXT = "The cat sat. The dog ran. A cat ran. The cat sat on a dog. "


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """Versions of characters and of words, made of one text."""
    made = {}
    for name, model, parameters in (
        ("characters", Markov(), {"order": 2}),
        ("in sentences", Markov(), {"order": 2, "sentences": True}),
        ("words", MarkovWords(), {}),
        ("running words", MarkovWords(), {"sentences": False}),
    ):
        folder = tmp_path_factory.mktemp("version")
        data = TextDataset(TEXT * 3, "a test")
        parameters |= {"validation_split": 0.0}
        made[name] = load(train_to_artifact(model, parameters, data, folder).folder)
    return made


def measured(version, text):
    return measure(version, text_chunks(text, version.config.ends))


def test_bits_are_the_mean_code_length_of_each_character_given_all_before_it(versions):
    version, text = versions["characters"], "the cat"
    ids = version.tokenizer.encode(text)

    states = np.array([version.model.state_after(ids[:place]) for place in range(len(ids))])
    rows = version.model.probabilities(states)
    expected = -np.log2(rows[np.arange(len(ids)), ids]).mean()

    assert measured(version, text) == {
        "bits_per_char": pytest.approx(expected),
        "unknown_share": 0.0,
    }


def test_unknown_characters_are_left_out_and_end_the_context(versions):
    version = versions["characters"]

    figures = measured(version, "the日cat")
    the, cat = measured(version, "the"), measured(version, "cat")

    assert figures["unknown_share"] == pytest.approx(1 / 7)
    halves = (the["bits_per_char"] + cat["bits_per_char"]) / 2
    assert figures["bits_per_char"] == pytest.approx(halves)


@pytest.mark.parametrize("name", ["characters", "in sentences", "words", "running words"])
def test_a_text_like_the_learnt_one_takes_fewer_bits_than_another(versions, name):
    like = measured(versions[name], "The dog sat.")
    unlike = measured(versions[name], "Tac eht gdo.")

    assert like["bits_per_char"] < unlike["bits_per_char"]


@pytest.mark.parametrize("name", ["characters", "in sentences", "words", "running words"])
def test_a_text_in_chunks_is_measured_as_the_whole(versions, name, monkeypatch):
    whole = measured(versions[name], TEXT)

    monkeypatch.setattr("seqd_markov.corpus.CHUNK_CHARACTERS", 30)

    assert measured(versions[name], TEXT) == pytest.approx(whole)


def test_nothing_is_measured_on_nothing(versions):
    assert measured(versions["characters"], "日本") == {}
    assert measured(versions["words"], "  ") == {}


def test_an_unknown_word_costs_its_room_and_its_spelling(versions):
    version = versions["running words"]

    figures = measured(version, "zebra")

    bits = version.spelling.bits(["zebra"]) - math.log2(version.config.unknown_share)
    assert figures == {
        "bits_per_char": pytest.approx(bits / 5),
        "unknown_share": 1.0,
        "perplexity": pytest.approx(2**bits),
    }


def test_a_known_word_costs_the_room_that_is_left_to_unknown_ones(versions):
    version = versions["running words"]

    figures = measured(version, "The")

    log = version.model.log_probs(version.tokenizer.encode("The"))[0]
    bits = -log / math.log(2) - math.log2(1 - version.config.unknown_share)
    assert figures["bits_per_char"] == pytest.approx(bits / 3)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.text(st.sampled_from("ab"), min_size=1, max_size=4), min_size=1, max_size=6))
def test_the_spellings_of_all_words_have_probabilities_of_no_more_than_one_together(words):
    spelling = fit_spelling(words)

    short = [""]
    for length in range(1, 6):
        short += [a + b for a in short if len(a) == length - 1 for b in "ab"]
    together = sum(2 ** -spelling.bits([word]) for word in short)

    assert 0.05 < together <= 1


def test_a_word_of_characters_that_no_word_had_can_be_spelled():
    spelling = fit_spelling(["ab", "ba"])

    assert spelling.bits(["日"]) > spelling.bits(["ab"]) + 20
    assert spelling.bits(["ab", "日"]) == pytest.approx(
        spelling.bits(["ab"]) + spelling.bits(["日"])
    )
    assert spelling.bits([]) == 0


def test_an_unsmoothed_version_is_measured_with_additive_smoothing(tmp_path):
    parameters = {"order": 1, "smoothing": "none", "additive": 0.5, "validation_split": 0.0}
    version = load(
        train_to_artifact(Markov(), parameters, TextDataset("abab", "a test"), tmp_path).folder
    )

    first, second = (2 + 0.5) / (4 + 1), 0.5 / (2 + 1)  # a; and a again, which never was
    assert measured(version, "aa")["bits_per_char"] == pytest.approx(-math.log2(first * second) / 2)
