"""The tables that show a chain, and what the plugin says of itself."""

import subprocess
import sys

import pytest

from seqd.errors import InvalidInput
from seqd.inputs import TextDataset
from seqd.testing import train_to_artifact
from seqd_markov import Markov, seqd_register_models
from seqd_markov.chain import count
from seqd_markov.inspection import overview, transitions

CHAIN = count("aabab\nab")


def test_a_focus_shows_the_states_transitions_the_most_probable_first():
    table = transitions(CHAIN, "a")

    assert table.title == "After 'a': 2 successors in 4 transitions"
    assert table.columns == ("successor", "count", "probability")
    assert table.rows == (("'b'", 3, 0.75), ("'a'", 1, 0.25))


def test_a_new_line_may_be_written_as_an_escape():
    assert transitions(CHAIN, "\\n") == transitions(CHAIN, "\n")


@pytest.mark.parametrize("focus", ["z", "", "ab"])
def test_an_unknown_focus_is_refused_with_the_known_states(focus):
    with pytest.raises(InvalidInput) as raised:
        transitions(CHAIN, focus)

    assert str(raised.value) == (
        rf"No state {focus!r}. The chain knows 3 characters: '\n' 'a' 'b'. Name one of them; "
        r"\n, \r, \t and space may be written so."
    )


def test_the_overview_has_the_most_frequent_states_first():
    table = overview(CHAIN)

    assert table.title == "The 3 most frequent of 3 states; 5 transitions are known"
    assert table.rows == (
        ("'a'", 4, 2, "'b'", 0.75),
        ("'b'", 3, 2, r"'\n'", 0.5),
        (r"'\n'", 1, 1, "'a'", 1.0),
    )


def test_the_overview_has_a_row_for_a_state_without_successors():
    assert overview(count("ab")).rows[1] == ("'b'", 1, 0, "", 0.0)


def test_a_stored_version_is_inspected_by_its_description(tmp_path):
    model = Markov()
    artifact = train_to_artifact(model, {}, TextDataset("aabab\nab", "a test"), tmp_path)

    assert model.inspect(artifact, None) == [overview(CHAIN)]
    assert model.inspect(artifact, "a") == [transitions(CHAIN, "a")]


def test_the_plugin_brings_one_model_with_the_tutorials_preset():
    (model,) = seqd_register_models()

    preset = model.tasks["train"].parameters(**model.presets["tutorial"])
    assert model.name == "markov"
    assert preset == model.tasks["train"].parameters()


def test_describing_the_plugin_loads_neither_keras_nor_safetensors():
    code = (
        "import sys, seqd_markov; seqd_markov.seqd_register_models();"
        "heavy = {'keras', 'tensorflow', 'safetensors', 'celery', 'redis'};"
        "print(sorted(heavy & set(sys.modules)))"
    )

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "[]"
