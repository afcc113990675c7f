"""What `char_lstm` predicts: held against a plain LSTM, and what it draws against the rules.

`tests/models` holds it against Keras.
"""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from char_lstm_builders import (
    STREAM,
    WINDOW,
    a_generator,
    some_mixture,
    some_weights,
    writing_in_numpy,
)
from seqd.errors import InvalidData, Stopped
from seqd.hookspecs import WorkItem
from seqd.testing import CPU, MemoryRunContext
from seqd_char_lstm import GenerateParameters

MIXTURE = STREAM | {"mixes": True, "units": 16}
#: Units that fill no panel and no lane, one and more layers, both kinds of input.
CONFIGS = {
    "a window": WINDOW,
    "a window wider than a panel": WINDOW | {"units": 37},
    "one layer": STREAM | {"layers": 1},
    "one-hot": STREAM | {"layers": 1, "units": 37, "embedding_dim": 0},
    "three layers": STREAM | {"layers": 3, "units": 37},
    "mixing": MIXTURE,
    "an alphabet wider than a panel": STREAM
    | {"units": 8, "alphabet": "".join(map(chr, range(200, 350))), "lead_in": "ääää"}
    | {"lower_case": False},
}


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def plain_scores(weights, ids):
    """The textbook's LSTM in float64, after some ids."""
    layers = sum(name.endswith(".kernel") for name in weights)
    arrays = {name: array.astype(np.float64) for name, array in weights.items()}
    states = [(np.zeros(len(arrays["dense"])),) * 2 for _ in range(layers)]
    for id_ in ids:
        inputs = np.eye(len(arrays["dense_bias"]))[id_]
        if "embedding" in arrays:
            inputs = inputs @ arrays["embedding"]
        for number, (hidden, cell) in enumerate(states):
            kernel, recurrent, bias = (
                arrays[f"layer_{number}.{part}"] for part in ("kernel", "recurrent", "bias")
            )
            gates = inputs @ kernel + hidden @ recurrent + bias
            enter, forget, candidate, leave = np.split(gates, 4)
            cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(candidate)
            inputs = sigmoid(leave) * np.tanh(cell)
            states[number] = inputs, cell
    return states[-1][0] @ arrays["dense"] + arrays["dense_bias"]


def mixed(alphabet, of_network, ids):
    """Probabilities by both: 0.55 and 0.45 of their logits, at each node of a Huffman tree."""
    mixture = some_mixture(alphabet)
    of_mixture = mixture.probabilities(mixture.state_after(np.array(ids, np.int32)))
    tree, found = mixture.model.tree, np.ones(len(alphabet))
    paths = [
        list(zip(tree.nodes[one, :depth], tree.sides[one, :depth], strict=True))
        for one, depth in enumerate(tree.depths)
    ]
    for node in range(len(alphabet) - 1):
        sides = [[one for one, path in enumerate(paths) if (node, side) in path] for side in (0, 1)]
        logit = 0.0
        for share, model in ((0.55, of_mixture), (0.45, of_network)):
            logit += share * math.log(model[sides[1]].sum() / model[sides[0]].sum())
        found[sides[1]] /= 1 + math.exp(-logit)
        found[sides[0]] /= 1 + math.exp(logit)
    return found


def plain_bits(config, weights, text):
    """Bits of each character of a text that is read after the lead-in."""
    ids = [config["alphabet"].index(one) for one in config["lead_in"] + text]
    lead_in = len(config["lead_in"])
    found = []
    for end in range(lead_in, len(ids)):
        since = end - config["window"] if config["window"] else 0
        scores = plain_scores(weights, ids[since:end])
        probabilities = np.exp(scores - scores.max())
        probabilities /= probabilities.sum()
        if config.get("mixes"):
            probabilities = mixed(config["alphabet"], probabilities, ids[:end])
        found.append(-math.log2(probabilities[ids[end]]))
    return np.array(found)


def some_text(config, characters, seed=0):
    ids = np.random.default_rng(seed).integers(0, len(config["alphabet"]), characters)
    return "".join(config["alphabet"][id_] for id_ in ids)


def measured(text, generator, **context):
    return generator.measure(text, MemoryRunContext(**context))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_each_character_is_as_probable_as_a_plain_lstm_says(config):
    weights, text = some_weights(config), some_text(config, 30)
    generator = a_generator(config, weights)
    expected = plain_bits(config, weights, text)

    read = [measured(text[:end], generator)["bits_per_char"] * end for end in range(1, 31)]

    assert np.diff([0.0, *read]) == pytest.approx(expected, abs=1e-4)


def test_a_version_that_mixes_is_measured_beside_its_parts():
    weights, text = some_weights(MIXTURE), some_text(MIXTURE, 40)

    figures = measured(text, a_generator(MIXTURE, weights))

    network = plain_bits(MIXTURE | {"mixes": False}, weights, text)
    alphabet, mixture = MIXTURE["alphabet"], some_mixture(MIXTURE["alphabet"])
    ids = np.array([alphabet.index(one) for one in MIXTURE["lead_in"] + text], np.int32)
    logs = mixture.reader(lambda: None, adapts=False).log_probs(ids)[-len(text) :]
    assert figures == {
        "bits_per_char": pytest.approx(plain_bits(MIXTURE, weights, text).mean(), abs=1e-5),
        "network_bits_per_char": pytest.approx(network.mean(), abs=1e-5),
        "mixing_bits_per_char": pytest.approx(-logs.mean() / math.log(2), abs=1e-5),
        "unknown_share": 0.0,
    }


def test_a_long_text_of_windows_is_read_in_parts_that_are_exact():
    weights, text = some_weights(WINDOW), some_text(WINDOW, 3_000)
    generator = a_generator(WINDOW, weights)

    alone = measured(text, generator)

    assert alone["bits_per_char"] == pytest.approx(plain_bits(WINDOW, weights, text).mean())
    assert measured(text, generator, device=replace(CPU, threads=3)) == alone


def test_a_long_text_of_a_stream_is_read_in_parts_that_are_nearly_exact():
    units = 256
    config = STREAM | {"layers": 1, "units": units, "embedding_dim": 16}
    weights = dict(some_weights(config, size=1.0))
    # It remembers as long as one does after training: recurrent weights keep the length of what
    # they turn, about; the forget gates stand at 0.88, where Keras puts them at 0.73.
    weights["embedding"] *= 0.5
    weights["layer_0.recurrent"] *= units**-0.5
    weights["layer_0.bias"] = np.repeat([0.0, 2.0, 0.0, 0.0], units).astype(np.float32)
    weights["dense"] *= 0.3
    text, generator = some_text(config, 3_000), a_generator(config, weights)

    alone = measured(text, generator)

    ids = [config["alphabet"].index(one) for one in config["lead_in"] + text]
    expected = carried_bits(weights, ids, len(config["lead_in"]))
    assert alone["bits_per_char"] == pytest.approx(expected, abs=1e-5)
    assert measured(text, generator, device=replace(CPU, threads=3)) == alone


def carried_bits(weights, ids, lead_in):
    """Mean bits of a text by one layer, without beginning anew for each character."""
    hidden = cell = np.zeros(len(weights["dense"]))
    bits = []
    for place, id_ in enumerate(ids):
        if place >= lead_in:
            scores = hidden @ weights["dense"] + weights["dense_bias"]
            bits.append(np.log2(np.exp(scores - scores[id_]).sum()))
        inputs = weights["embedding"][id_] @ weights["layer_0.kernel"]
        gates = inputs + hidden @ weights["layer_0.recurrent"] + weights["layer_0.bias"]
        enter, forget, candidate, leave = np.split(gates.astype(np.float64), 4)
        cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(candidate)
        hidden = sigmoid(leave) * np.tanh(cell)
    return np.mean(bits)


@pytest.mark.parametrize("config", [WINDOW, STREAM])
def test_unknown_characters_are_not_read_and_counted(config):
    generator = a_generator(config)

    figures = measured("§A c日日ab. §dad!", generator)

    assert figures == measured("a cab. dad", generator) | {"unknown_share": pytest.approx(1 / 3)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The text has 0 characters and none that the version knows; there is nothing to"),
        ("日本", "The text has 2 characters and none that the version knows; there is nothing to"),
        ("bad \ud800", "a lone surrogate, which is no character"),
    ],
)
def test_what_cannot_be_measured_is_refused(text, message):
    with pytest.raises(InvalidData, match=message):
        measured(text, a_generator())


@pytest.mark.parametrize("config", [WINDOW, STREAM])
def test_measuring_is_stopped_within_a_text(config):
    with pytest.raises(Stopped, match="The reading was stopped before its end"):
        measured("bad cab. " * 10_000, a_generator(config), stop_after=2)


# The rules by which a character is drawn

#: Of the characters " .abcd"; the sum is 1.
P = np.array([0.05, 0.3, 0.1, 0.3, 0.05, 0.2])


def a_certain_generator(probabilities=P, **changes):
    """A network that gives the same probabilities whatever it has read."""
    config = STREAM | {"layers": 1, "units": 1, "embedding_dim": 0} | changes
    weights = {name: np.zeros_like(array) for name, array in some_weights(config).items()}
    weights["dense_bias"] = np.log(np.array(probabilities)).astype(np.float32) + 3
    return a_generator(config, weights)


def drawn(generator, prompt="", samples=2_048, **rules):
    """How often each character is drawn first, and what log-probability it has."""
    parameters = GenerateParameters(**{"length": 1, "samples": 64, "temperature": 1.0} | rules)
    items = [WorkItem(index, prompt) for index in range(samples // 64)]
    found = [
        sample
        for outcome in generator.generate(items, parameters, MemoryRunContext())
        for sample in outcome.samples
    ]
    logs = {sample.text: sample.mean_log_prob for sample in found}
    return Counter(sample.text for sample in found), logs


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ({"top_k": 1}, "."),  # of equals the first
        ({"top_k": 2}, ".b"),
        ({"top_k": 4}, ".abd"),
        ({"top_k": 5}, " .abd"),
        ({"top_k": 6}, " .abcd"),
        ({"top_k": 1_000}, " .abcd"),
        ({"top_p": 1e-9}, "."),
        ({"top_p": 0.29}, "."),
        ({"top_p": 0.31}, ".b"),
        ({"top_p": 0.61}, ".bd"),  # 0.3 + 0.3 are not enough
        ({"top_p": 0.81}, ".abd"),
        # Of the three that top-k leaves, 0.3 + 0.3 are three quarters.
        ({"top_k": 3, "top_p": 0.74}, ".b"),
        ({"top_k": 3, "top_p": 0.76}, ".bd"),
        # At temperature 0.5 they are squared: 0.09 + 0.09 of 0.235 are three quarters.
        ({"top_p": 0.75, "temperature": 0.5}, ".b"),
        ({"top_p": 0.75}, ".bd"),
        ({"temperature": 0.0}, "."),
    ],
    ids=str,
)
def test_top_k_then_top_p_leave_these_with_the_models_own_log_probabilities(rules, kept):
    counts, logs = drawn(a_certain_generator(), samples=512, **rules)

    assert set(counts) == set(kept)
    for character, log in logs.items():
        assert log == pytest.approx(math.log(P[" .abcd".index(character)]), abs=1e-6)


@pytest.mark.parametrize("temperature", [0.0, 5e-324, 1e-300])
def test_the_coldest_temperatures_take_the_most_probable_character(temperature):
    generator = a_certain_generator([0.1, 0.1, 0.1, 0.1, 0.2, 0.4])

    assert drawn(generator, samples=512, temperature=temperature)[0] == {"d": 512}


@pytest.mark.parametrize(
    ("prompt", "taken"),
    [
        ("c" * 16, "."),
        (". " + "c" * 14, "b"),
        (".." + "c" * 14, "b"),
        ("." + "c" * 16, "."),  # further back than is looked at
    ],
)
def test_a_character_among_the_last_ones_is_penalised(prompt, taken):
    counts, _ = drawn(a_certain_generator(), prompt, 64, temperature=0.0, repetition_penalty=2.0)

    assert set(counts) == {taken}


def test_what_is_written_is_penalised_as_what_was_read():
    parameters = GenerateParameters(length=4, temperature=0.0, repetition_penalty=3.0)
    items = [WorkItem(0, "c" * 64)]

    (outcome,) = a_certain_generator().generate(items, parameters, MemoryRunContext())

    # 0.3 and 0.3, then 0.2; then 0.1 against 0.3 ** 3 = 0.027
    assert outcome.samples[0].text == ".bda"


def chi_square(counts, expected):
    """Pearson's statistic; `expected` are probabilities, none 0."""
    numbers = np.array(expected) * sum(counts)
    return float(((np.array(counts) - numbers) ** 2 / numbers).sum())


@pytest.mark.parametrize(
    ("rules", "weights"),
    [
        ({}, P),
        ({"temperature": 0.5}, P**2),
        ({"temperature": 2.0}, P**0.5),
        ({"top_k": 4}, [0, 0.3, 0.1, 0.3, 0, 0.2]),
        ({"temperature": 2.0, "top_p": 0.7}, [0, *P[1:4] ** 0.5, 0, 0.2**0.5]),
        ({"repetition_penalty": 2.0}, [0.05, 0.09, 0.1, 0.3, 0.05, 0.2]),
    ],
    ids=str,
)
def test_characters_come_as_often_as_the_rules_say(rules, weights):
    counts, _ = drawn(a_certain_generator(), "." * 64, **rules)

    expected = np.array(weights) / sum(weights)
    seen = np.array([counts[character] for character in " .abcd"])
    assert not seen[expected == 0].any()
    # 5 degrees of freedom at most: more than 20.5 in one of a thousand; the seed is fixed.
    assert chi_square(seen[expected > 0], expected[expected > 0]) < 20.5


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_contexts_are_mixed_in_before_the_temperature(temperature):
    generator = a_certain_generator(mixes=True)

    counts, logs = drawn(generator, "aac.", temperature=temperature)

    read = [" .abcd".index(one) for one in STREAM["lead_in"] + "aac."]
    mixture = mixed(" .abcd", P, read)
    weights = mixture ** (1 / temperature)
    seen = [counts[character] for character in " .abcd"]
    assert chi_square(seen, weights / weights.sum()) < 20.5
    for character, log in logs.items():
        assert math.exp(log) == pytest.approx(mixture[" .abcd".index(character)], abs=1e-6)


class AsCertain:
    """A network that always says P, as `a_certain_generator` does."""

    nbytes = 0

    def __init__(self, count=0):
        self.logits = np.tile(np.log(P).astype(np.float32), (count, 1))

    def chains(self, count):
        return AsCertain(count)

    def chosen(self, places):
        return AsCertain(len(places))

    def advance(self, ids):
        pass


@given(
    st.fixed_dictionaries(
        {
            "temperature": st.floats(0.05, 10.0) | st.just(0.0),
            "top_k": st.integers(0, 7),
            "top_p": st.floats(0.01, 1.0),
            "repetition_penalty": st.floats(1.0, 10.0),
        }
    ),
    st.text("abcd. ", max_size=20),
)
def test_compiled_and_numpy_draw_the_same(rules, prompt):
    parameters = GenerateParameters(length=40, samples=3, **rules)
    items = [WorkItem(0, prompt), WorkItem(1, "dad")]
    with writing_in_numpy(AsCertain()):
        in_numpy = a_certain_generator()

    outcomes = [
        generator.generate(items, parameters, MemoryRunContext())
        for generator in (a_certain_generator(), in_numpy)
    ]

    for one, other in zip(*outcomes, strict=True):
        assert [sample.text for sample in one.samples] == [sample.text for sample in other.samples]
        assert [sample.mean_log_prob for sample in one.samples] == pytest.approx(
            [sample.mean_log_prob for sample in other.samples], abs=1e-5
        )
