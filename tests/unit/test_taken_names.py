"""Which names of a plugin that is tried another installed one has."""

from functools import partial
from importlib import import_module

from seqd.models.loading import Candidate, discover
from seqd.models.source_folders import taken_names


def mine(name: str, distribution: str = "seqd-mine", module: str = "seqd_mine") -> Candidate:
    return Candidate(name, partial(import_module, module), distribution, "1", module)


def test_a_plugin_and_a_model_that_ship_with_seqd_are_taken():
    taken = taken_names(mine("markov"), {"markov_words", "hello"}, discover())

    assert [one.partition(" is taken by ")[0] for one in taken] == [
        "the plugin name 'markov'",
        "the model name 'markov_words'",
    ]


def test_names_of_its_own_are_free():
    assert taken_names(mine("hello"), {"hello"}, discover()) == {}


def test_a_plugin_that_is_installed_too_takes_no_name_of_its_own():
    installed = mine("hello", "Seqd_Mine")
    moved = mine("hello", "acme", "seqd_mine.plugin")

    assert taken_names(mine("hello"), {"hello"}, [installed, moved]) == {}
