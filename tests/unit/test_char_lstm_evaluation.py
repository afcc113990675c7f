"""How probable a version finds a text: exact for windows, in warmed-up parts for a stream."""

from dataclasses import replace

import numpy as np
import pytest

from char_lstm_builders import a_generator, a_stream_config, a_stream_generator, a_version
from seqd.errors import InvalidData, Stopped
from seqd.testing import CPU, MemoryRunContext
from seqd_char_lstm.artifact import Layer, Version, Weights
from seqd_char_lstm.data import UNKNOWN, Alphabet
from seqd_char_lstm.engine import engine_for
from seqd_char_lstm.evaluation import mixed, read_log_probs

WINDOW, STREAM = a_version(), a_version(a_stream_config())


def some_text(characters, ids=6, seed=0):
    return np.random.default_rng(seed).integers(0, ids, characters).astype(np.int32)


def read(version, ids, threads=1):
    return read_log_probs(version, ids, lambda: False, threads)


def read_exactly(version, ids):
    """The lead-in and the text by one chain, a character after the other."""
    lead_in = Alphabet(version.config.alphabet).encode(version.config.lead_in)
    text = np.concatenate([lead_in, ids]).astype(np.int32)
    output = engine_for(version).chains(1).read(text[None], np.zeros(1, np.int64))
    return output.log_probs[0, len(lead_in) :]


@pytest.mark.parametrize("version", [WINDOW, STREAM])
def test_a_text_is_read_after_the_lead_in_each_character_given_all_before_it(version):
    ids = some_text(200)

    assert np.array_equal(read(version, ids), read_exactly(version, ids))


def test_a_long_text_of_windows_is_read_in_parts_that_are_exact():
    ids = some_text(4_001)

    assert np.array_equal(read(WINDOW, ids), read_exactly(WINDOW, ids))
    assert np.array_equal(read(WINDOW, ids, threads=3), read_exactly(WINDOW, ids))


def a_slow_forgetter(units=512, ids=57):
    """A network of real size that remembers as long as one does after training.

    Recurrent weights keep the length of what they turn, about; the forget gates stand at 0.88,
    where Keras puts them at 0.73 to begin with.
    """
    random = np.random.default_rng(0)
    config = a_stream_config(
        layers=1,
        units=units,
        embedding_dim=16,
        alphabet="".join(map(chr, range(60, 60 + ids))),
        lead_in="sentence",
    ).model_copy(update={"lower_case": False})
    recurrent = random.normal(0, units**-0.5, (units, 4 * units))
    bias = np.repeat([0.0, 2.0, 0.0, 0.0], units)
    arrays = (random.normal(0, 1, (16, 4 * units)), recurrent, bias)
    return Version(
        config,
        Weights(
            random.normal(0, 0.5, (ids, 16)).astype(np.float32),
            (Layer(*(array.astype(np.float32) for array in arrays)),),
            random.normal(0, 0.3, (units, ids)).astype(np.float32),
            np.zeros(ids, np.float32),
        ),
    )


def test_a_long_text_of_a_stream_is_read_in_parts_that_are_nearly_exact():
    version, ids = a_slow_forgetter(), some_text(4_000, ids=57)

    in_parts, exactly = read(version, ids), read_exactly(version, ids)

    assert not np.array_equal(in_parts, exactly)  # it was read in parts
    assert in_parts == pytest.approx(exactly, abs=1e-4)
    assert in_parts.mean() == pytest.approx(exactly.mean(), abs=1e-6)


def test_what_is_read_does_not_depend_on_the_threads():
    ids = some_text(3_000)

    assert np.array_equal(read(STREAM, ids, threads=3), read(STREAM, ids))


@pytest.mark.parametrize("version", [WINDOW, STREAM])
def test_an_unknown_character_is_not_read_and_has_no_probability(version):
    ids = some_text(50)
    spoilt = np.insert(ids, [0, 7, 7, 50], UNKNOWN)

    log_probs = read(version, spoilt)

    assert np.array_equal(np.flatnonzero(np.isnan(log_probs)), np.flatnonzero(spoilt == UNKNOWN))
    assert np.array_equal(log_probs[spoilt != UNKNOWN], read(version, ids))


def test_a_text_of_nothing_known_has_no_probabilities():
    assert np.isnan(read(STREAM, np.array([UNKNOWN], np.int32))).tolist() == [True]
    assert read(STREAM, np.zeros(0, np.int32)).tolist() == []


def test_reading_is_stopped_within_a_stretch():
    answers = iter([False, False, True])

    with pytest.raises(Stopped, match="The reading was stopped before its end"):
        read_log_probs(STREAM, some_text(100_000), lambda: next(answers))


def test_the_mixture_is_that_of_the_probabilities_each_given_all_before_it():
    version = a_version(a_stream_config(ngram_share=0.25))
    ids = some_text(100)
    network = read(version, ids)

    mixture, ngrams = mixed(version, ids, network)

    expected = 0.75 * np.exp(network) + 0.25 * np.exp(ngrams)
    assert np.exp(mixture) == pytest.approx(expected)
    lead_in = Alphabet(version.config.alphabet).encode(version.config.lead_in)
    after = version.ngrams.state_after(lead_in)
    assert np.exp(ngrams[0]) == pytest.approx(
        version.ngrams.probabilities(np.array([after]))[0, ids[0]]
    )
    assert mixture == pytest.approx(read_exactly(version, ids), abs=1e-6)  # as it is written with


# The figures of `measure`


def bits_of(log_probs):
    return -log_probs.mean() / np.log(2.0)


@pytest.mark.parametrize("version", [WINDOW, STREAM])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_text_is_measured_in_bits_a_character(version, threads):
    generator = a_generator() if version is WINDOW else a_stream_generator()
    context = MemoryRunContext(device=replace(CPU, threads=threads))

    figures = generator.measure("A cab. Bad dad!", context)

    ids = Alphabet(version.config.alphabet).encode("a cab. bad dad")
    assert figures == {
        "bits_per_char": pytest.approx(bits_of(read(version, ids))),
        "unknown_share": pytest.approx(1 / 15),
    }


def test_a_mixture_is_measured_beside_its_parts():
    config = a_stream_config(ngram_share=0.25)
    version = a_version(config)

    figures = a_stream_generator(ngram_share=0.25).measure("a cab. bad dad", MemoryRunContext())

    ids = Alphabet(config.alphabet).encode("a cab. bad dad")
    mixture, ngrams = mixed(version, ids, read(version, ids))
    assert figures == {
        "bits_per_char": pytest.approx(bits_of(mixture)),
        "network_bits_per_char": pytest.approx(bits_of(read(version, ids))),
        "ngram_bits_per_char": pytest.approx(bits_of(ngrams)),
        "unknown_share": 0.0,
    }


@pytest.mark.parametrize("text", ["", "日本"])
def test_a_text_of_no_known_character_cannot_be_measured(text):
    with pytest.raises(InvalidData) as raised:
        a_stream_generator().measure(text, MemoryRunContext())

    assert str(raised.value) == (
        f"The text has {len(text)} characters and none that the version knows; there is nothing "
        "to measure. Give a text like the one that it was trained on."
    )


def test_a_text_with_a_lone_surrogate_cannot_be_measured():
    with pytest.raises(InvalidData, match="a lone surrogate, which is no character"):
        a_generator().measure("bad \ud800", MemoryRunContext())


def test_measuring_is_stopped():
    with pytest.raises(Stopped):
        a_generator().measure("bad cab. " * 1_000, MemoryRunContext(stop_after=1))
