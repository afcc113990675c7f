"""Every installed plugin, the guide's and the example keep each clause of the contract."""

import re
import subprocess
import sys

import pytest

from conformance.conftest import PLUGINS
from seqd.hookspecs import model as contract
from seqd.testing import PluginChecks
from seqd.testing.checks.catalog import known_ids
from seqd_schemas import PluginState

# The first test of a part runs all its checks; each of their processes imports the library.
pytestmark = [pytest.mark.processes, pytest.mark.smoke, pytest.mark.timeout(1_800)]

#: A class of tests for each plugin, such as `TestMarkov`, as its author would write it.
globals().update(
    {
        (name := f"Test{plugin.title().replace('_', '')}"): type(
            name,
            (PluginChecks,),
            # Four processes share two cores here, where first calls compile.
            {"plugin": module, "limit_s": 180.0, "__module__": __name__},
        )
        for plugin, module in PLUGINS.items()
    }
)


def test_every_installed_plugin_is_ready_and_its_models_are_checked(registry):
    reasons = {status.name: status.reason for status in registry.statuses}
    states = {status.name: status.state for status in registry.statuses}

    assert set(states.values()) == {PluginState.READY}, reasons
    assert {"char_lstm", "imdb_lstm", "markov", "length", "ngrams"} <= registry.models.keys()


def test_every_clause_of_the_contract_has_a_check_or_is_held_when_a_plugin_is_loaded():
    clauses = set(re.findall(r"^    ([A-Z][0-9])  ", contract.__doc__, re.MULTILINE))

    assert len(clauses) >= 13
    assert clauses - known_ids() == {"O1"}  # `test_record_checks.py` has what is refused


STARTERS = """
import sys

import seqd_char_lstm
import seqd_imdb_lstm
import seqd_markov
from seqd.models.loading import as_plugin
from seqd.models.version_files import open_folder
from seqd.testing import CPU

for plugin in (seqd_char_lstm, seqd_imdb_lstm, seqd_markov):
    for model in as_plugin(plugin).seqd_register_models():
        model.load(open_folder(model.starter, model.name, 0), CPU).warm_up()
print(sorted({"jax", "keras", "onnxruntime", "tensorflow", "torch"} & set(sys.modules)))
"""


def test_the_starters_that_ship_with_seqd_are_served_without_a_deep_learning_library():
    told = subprocess.run(
        [sys.executable, "-c", STARTERS], capture_output=True, text=True, check=True
    )

    assert told.stdout.strip() == "[]"
