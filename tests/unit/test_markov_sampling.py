"""Sampling symbols: frequencies against exact probabilities, cuts, independence of the batch."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import seqd_markov.sampling
from markov_builders import CATS, SENTENCES, a_version, log_probabilities_of, words
from seqd.errors import Stopped
from seqd.hookspecs import random_stream
from seqd_markov.sampling import Sampler, most_probable

#: Chi-square's critical values at 0.001, for 1 degree of freedom and more.
CRITICAL = [
    10.83, 13.82, 16.27, 18.47, 20.52, 22.46, 24.32, 26.12, 27.88, 29.59, 31.26, 32.91, 34.53,
    36.12, 37.70, 39.25, 40.79, 42.31, 43.82, 45.31,
]  # fmt: skip

DRAWS = 4_000

KINDS = [
    {"smoothing": "kneser_ney"},
    {"smoothing": "witten_bell"},
    {"smoothing": "additive", "additive": 0.3},
    {"smoothing": "none"},
    {"smoothing": "kneser_ney", "min_count": 2},
    {"smoothing": "additive", "additive": 0.3, "min_count": 2},
]


def no_stop():
    pass


def streams(count, first=0):
    return [random_stream(5, first + number, 0).bit_generator for number in range(count)]


def drawn_once(version, state, temperature, **cuts):
    """The symbols of DRAWS texts of one symbol, and how often each was drawn."""
    sampler = Sampler(log_probabilities_of(version), temperature, **cuts)
    # One stream, which gives each text the next numbers.
    drawn = sampler.sample([state] * DRAWS, streams(1) * DRAWS, 1, no_stop)
    return np.bincount(drawn.symbols[:, 0], minlength=version.tokenizer.symbols)


def at(version, state, temperature):
    """Exact probabilities at a temperature."""
    (row,) = version.model.probabilities(np.array([state]))
    with np.errstate(divide="ignore"):
        raised = np.exp(np.log(row) / temperature)
    return raised / raised.sum()


def assert_drawn_by(counts, probabilities):
    """Chi-square; what is expected less than 5 times is put together."""
    expected = probabilities * DRAWS
    rare = expected < 5
    assert not counts[probabilities == 0].any()
    seen = np.append(counts[~rare], counts[rare].sum())
    due = np.append(expected[~rare], expected[rare].sum())
    seen, due = seen[due > 0], due[due > 0]
    statistic = ((seen - due) ** 2 / due).sum()
    assert statistic < CRITICAL[max(0, len(due) - 2)], (counts, expected)


@pytest.mark.parametrize("temperature", [1.0, 0.6, 1.8])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_symbols_come_as_often_as_the_model_says_at_any_temperature(kind, temperature):
    version = a_version(CATS * 2 + " a hat.", **kind)

    for prompt in ("t", "th", "xa", ""):
        state = version.model.state_after(version.tokenizer.encode(prompt))

        counts = drawn_once(version, state, temperature)

        assert_drawn_by(counts, at(version, state, temperature))


def test_words_come_as_often_as_the_model_says_and_no_sentence_begins_inside_another():
    version = words()
    state = version.model.state_after(np.array([version.tokenizer.begin]))

    counts = drawn_once(version, state, 1.3)

    assert_drawn_by(counts, at(version, state, 1.3))
    assert counts[version.tokenizer.begin] == 0


def test_the_symbols_of_one_long_text_come_as_often_as_the_model_says():
    version = a_version(CATS, order=1)
    sampler = Sampler(log_probabilities_of(version), 1.0)

    drawn = sampler.sample([0], streams(1), 3 * DRAWS, no_stop).symbols[0]

    after_space = drawn[1:][drawn[:-1] == version.tokenizer.encode(" ")[0]][: DRAWS // 4]
    counts = np.bincount(after_space, minlength=version.tokenizer.symbols)
    state = version.model.state_after(version.tokenizer.encode(" "))
    # A quarter of the usual number is drawn here.
    expected = at(version, state, 1.0) * len(after_space)
    often = expected >= 5
    statistic = ((counts - expected)[often] ** 2 / expected[often]).sum()
    assert len(after_space) == DRAWS // 4
    assert statistic < CRITICAL[often.sum() - 1]


@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_top_k_draws_from_the_most_probable_symbols_alone(top_k, temperature):
    version = a_version()
    state = version.model.state_after(version.tokenizer.encode("t"))
    exact = at(version, state, temperature)
    kept = np.argsort(-exact, kind="stable")[:top_k]

    counts = drawn_once(version, state, temperature, top_k=top_k)

    cut = np.zeros_like(exact)
    cut[kept] = exact[kept] / exact[kept].sum()
    assert_drawn_by(counts, cut)


@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.9, 0.999])
def test_top_p_draws_from_the_fewest_symbols_that_have_so_much_together(top_p):
    version = a_version()
    exact = at(version, 0, 0.7)
    order = np.argsort(-exact, kind="stable")
    kept = order[: 1 + int((np.cumsum(exact[order]) < top_p).sum())]

    counts = drawn_once(version, 0, 0.7, top_p=top_p)

    cut = np.zeros_like(exact)
    cut[kept] = exact[kept] / exact[kept].sum()
    assert_drawn_by(counts, cut)


def test_of_top_k_and_top_p_together_the_narrower_one_counts():
    version = a_version()

    counts = drawn_once(version, 0, 1.0, top_k=3, top_p=0.01)

    assert np.count_nonzero(counts) == 1


@pytest.mark.parametrize("temperature", [0.0, 5e-324, 1e-300])
def test_the_coldest_temperatures_take_the_most_probable_symbol(temperature):
    version = a_version("abab" + "ac" + "abba", order=1)

    drawn = Sampler(log_probabilities_of(version), temperature).sample([0], streams(1), 6, no_stop)

    assert version.tokenizer.decode(drawn.symbols[0]) == "ababab"


def test_of_equally_probable_symbols_temperature_zero_takes_the_first():
    version = a_version("acabad", order=1, smoothing="none")
    state = version.model.state_after(version.tokenizer.encode("a"))

    assert np.flatnonzero(drawn_once(version, state, 0.0)).tolist() == [1]


def test_without_smoothing_nothing_comes_that_was_not_seen():
    text = "abcab" * 3 + "d"
    version = a_version(text, order=1, smoothing="none")

    drawn = Sampler(log_probabilities_of(version), 5.0).sample([0], streams(1), 4_000, no_stop)

    written = version.tokenizer.decode(drawn.symbols[0])
    pairs = {text[place : place + 2] for place in range(len(text) - 1)}
    # Nothing follows d in the text, so there single symbols decide.
    strange = set(map("".join, itertools.pairwise(written))) - pairs
    assert strange
    assert all(pair[0] == "d" for pair in strange)


def test_an_end_of_a_sentence_is_followed_by_what_begins_one():
    version = words()
    end = version.tokenizer.end
    sampler = Sampler(log_probabilities_of(version), 1.0)

    symbols = sampler.sample([0], streams(1), 4_000, no_stop).symbols[0]

    followers = Counter(symbols[1:][symbols[:-1] == end].tolist())
    (row,) = version.model.probabilities(
        version.model.advance(np.array([0]), np.array([version.tokenizer.begin]))
    )
    most_probable = int(row.argmax())
    assert version.tokenizer.shown(most_probable) == "'The'"
    assert followers[most_probable] / followers.total() == pytest.approx(row.max(), abs=0.07)


versions = st.builds(
    lambda text, kind, order, is_words: (words if is_words else a_version)(
        text, order=order, **kind
    ),
    st.sampled_from([CATS, SENTENCES, "abcacbbca" * 3 + "d"]),
    st.sampled_from(KINDS),
    st.sampled_from([1, 3]),
    st.booleans(),
)
sampler_settings = st.sampled_from(
    [
        {"temperature": 1.0},
        {"temperature": 0.4},
        {"temperature": 2.0, "top_k": 3},
        {"temperature": 1.0, "top_p": 0.8},
        {"temperature": 0.0},
    ]
)


@settings(deadline=None, max_examples=40)
@given(
    versions,
    sampler_settings,
    st.lists(st.integers(0, 99), min_size=1, max_size=6),
    st.integers(1, 40),
)
def test_log_probabilities_and_states_are_the_models_own(version, sampling, indexes, steps):
    sampler = Sampler(log_probabilities_of(version), **sampling)
    numbers = [random_stream(1, index, 0).bit_generator for index in indexes]

    drawn = sampler.sample([0] * len(indexes), numbers, steps, no_stop)

    begin, end = version.tokenizer.begin, version.tokenizer.end
    for symbols, log_probs, state in zip(drawn.symbols, drawn.log_probs, drawn.states, strict=True):
        read = np.array([i for s in symbols for i in ([s, begin] if s == end else [s])])
        exact = version.model.log_probs(read)
        assert log_probs == pytest.approx(exact[~np.isnan(exact)], abs=1e-12)
        assert state == version.model.state_after(read)


@settings(deadline=None, max_examples=40)
@given(
    versions,
    sampler_settings,
    st.lists(st.integers(0, 99), min_size=1, max_size=9),
    st.integers(1, 50),
)
def test_what_is_drawn_does_not_depend_on_what_else_is(version, sampling, indexes, steps):
    def drawn(some, sampler):
        found = sampler.sample(
            [index % version.model.states for index in some],
            [random_stream(5, index, 0).bit_generator for index in some],
            steps,
            no_stop,
        )
        return list(
            zip(found.symbols.tolist(), found.log_probs.tolist(), found.states, strict=True)
        )

    used = Sampler(log_probabilities_of(version), **sampling)
    together = drawn(indexes, used)

    alone = [
        drawn([index], Sampler(log_probabilities_of(version), **sampling))[0] for index in indexes
    ]
    assert together == alone
    assert drawn(indexes[::-1], used) == together[::-1]


def test_what_is_drawn_in_parts_is_what_is_drawn_at_once():
    sampler = Sampler(log_probabilities_of(a_version(order=3)), 1.0)
    whole = sampler.sample([0], streams(1), 100, no_stop)

    (stream,) = streams(1)
    first = sampler.sample([0], [stream], 37, no_stop)
    second = sampler.sample(first.states, [stream], 63, no_stop)

    assert [*first.symbols[0], *second.symbols[0]] == whole.symbols[0].tolist()
    assert second.states == whole.states


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=60, max_size=60), min_size=1, max_size=3),
    st.integers(1, 60),
)
def test_the_most_probable_come_in_order_and_of_equals_the_first(rows, count):
    probabilities = np.array(rows, float) / 9

    found = most_probable(probabilities, count)

    for row, chosen in zip(rows, found.tolist(), strict=True):
        assert chosen == sorted(range(60), key=lambda place: (-row[place], place))[:count]


def test_rows_that_were_thrown_away_are_made_again_alike(monkeypatch):
    version = a_version(order=3)
    roomy = Sampler(log_probabilities_of(version), 1.0, top_k=9).sample(
        [0] * 5, streams(5), 200, no_stop
    )
    monkeypatch.setattr(seqd_markov.sampling, "_KEPT_CELLS", 60)
    monkeypatch.setattr(seqd_markov.sampling, "_CELLS_AT_ONCE", 30)
    sampler = Sampler(log_probabilities_of(version), 1.0, top_k=9)

    cramped = sampler.sample([0] * 5, streams(5), 200, no_stop)

    assert sampler.texts_at_once == 60 // 9
    assert cramped.symbols.tolist() == roomy.symbols.tolist()


def test_a_stop_ends_the_drawing_while_rows_are_made():
    questions = []

    def stop_at_the_third():
        questions.append(1)
        if len(questions) == 3:
            raise Stopped

    sampler = Sampler(log_probabilities_of(a_version(order=3)), 1.0, top_k=5)

    with pytest.raises(Stopped):
        sampler.sample([0], streams(1), 10_000, stop_at_the_third)
