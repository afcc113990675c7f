"""Discovery through real entry points: installed distributions on a path of their own."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

REPORT = """
import json, logging
from seqd.models.registry import Registry
from seqd.settings import Settings
logging.disable(logging.CRITICAL)
registry = Registry.load(Settings())
print(json.dumps([status.model_dump(mode="json") for status in registry.statuses]))
"""

GOOD = """
    from typing import ClassVar

    from seqd.hookspecs import Model, PluginParameters, TaskSpec, hookimpl

    class Good(Model):
        name = "{model}"
        summary = "A model of a test."
        tasks: ClassVar = {{"classify": TaskSpec(PluginParameters)}}

        def load(self, artifact, device):
            raise NotImplementedError

    @hookimpl
    def seqd_register_models():
        return [Good()]
"""


def install(site: Path, distribution: str, module: str, source: str, plugin: str) -> None:
    """Lay a distribution out as an installer would."""
    (site / f"{module}.py").write_text(textwrap.dedent(source))
    info = site / f"{distribution.replace('-', '_')}-2.5.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.5\n"
    (info / "METADATA").write_text(metadata)
    (info / "entry_points.txt").write_text(f"[seqd]\n{plugin} = {module}\n")


def statuses_with(*sites: Path) -> dict[tuple[str, str], dict[str, object]]:
    """Load the registry in a fresh interpreter; statuses by plugin and distribution."""
    program = f"import sys\nsys.path[:0] = {[str(site) for site in sites]!r}\n{REPORT}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    table = json.loads(done.stdout)
    return {(status["name"], status["distribution"]): status for status in table}


@pytest.fixture
def site(tmp_path):
    install(tmp_path, "seqd-good", "seqd_good", GOOD.format(model="good"), "good")
    return tmp_path


def test_an_installed_plugin_is_found_and_a_broken_one_beside_it_is_listed(site):
    install(site, "seqd-bad", "seqd_bad", "import sys\nsys.exit(3)\n", "bad")

    statuses = statuses_with(site)

    good, bad = statuses["good", "seqd-good"], statuses["bad", "seqd-bad"]
    assert (good["state"], good["version"], good["models"]) == ("ready", "2.5", ["good"])
    assert (bad["state"], bad["version"]) == ("broken", "2.5")
    assert bad["reason"] == (
        "SystemExit: 3 (seqd_bad.py, line 2, in <module>). It called sys.exit() while it was "
        "loaded; a plugin may only define things then."
    )
    assert statuses["job_log", "seqd"]["state"] == "ready"


def test_an_entry_point_without_its_module_is_listed(site):
    install(site, "seqd-gone", "seqd_gone", "", "gone")
    (site / "seqd_gone.py").unlink()

    status = statuses_with(site)["gone", "seqd-gone"]

    assert status["reason"] == (
        "ModuleNotFoundError: No module named 'seqd_gone'. Its entry point names a module that "
        "seqd-gone does not bring."
    )


def test_two_distributions_with_one_plugin_name_are_both_listed_and_the_second_refused(site):
    install(site, "seqd-rival", "seqd_rival", GOOD.format(model="rival"), "good")

    statuses = statuses_with(site)

    assert statuses["good", "seqd-good"]["state"] == "ready"
    assert statuses["good", "seqd-rival"]["state"] == "broken"
    assert statuses["good", "seqd-rival"]["reason"] == (
        "the plugin name 'good' is already used by seqd-good 2.5. "
        "Rename the entry point in the pyproject.toml of seqd-rival, or uninstall seqd-rival."
    )


def test_nobody_can_take_the_place_of_a_built_in_plugin(site):
    install(site, "acme-log", "acme_log", GOOD.format(model="acme"), "job_log")

    statuses = statuses_with(site)

    assert statuses["job_log", "seqd"]["state"] == "ready"
    assert statuses["job_log", "acme-log"]["state"] == "broken"


def test_a_plugin_that_brings_a_model_that_ships_with_seqd_is_refused_and_both_are_named(site):
    # By name it would come before the plugin `markov`.
    install(site, "acme-models", "acme_models", GOOD.format(model="markov"), "acme")

    statuses = statuses_with(site)

    assert statuses["markov", "seqd"]["state"] == "ready"
    assert statuses["markov", "seqd"]["models"] == ["markov", "markov_words"]
    newcomer = statuses["acme", "acme-models"]
    assert (newcomer["state"], newcomer["code"]) == ("broken", "name_taken")
    assert newcomer["reason"] == (
        "its model 'markov' is already brought by the plugin 'markov' of seqd. Rename it, or "
        "disable one of the two plugins with SEQD_DISABLED_PLUGINS."
    )


def test_a_name_that_ships_with_seqd_is_not_free_where_its_plugin_is_broken(site):
    install(site, "acme-models", "acme_models", GOOD.format(model="markov"), "acme")
    (site / "seqd_markov.py").write_text("raise OSError('no such library')\n")

    statuses = statuses_with(site)

    assert statuses["markov", "seqd"]["state"] == "broken"
    assert statuses["markov", "seqd"]["code"] == "import_failed"
    assert statuses["acme", "acme-models"]["code"] == "name_taken"


def test_a_distribution_that_is_on_the_path_twice_is_loaded_once(site, tmp_path_factory):
    twin = tmp_path_factory.mktemp("twin")
    install(twin, "seqd-good", "seqd_good", GOOD.format(model="good"), "good")

    statuses = statuses_with(site, twin)

    assert [name for name, _ in statuses].count("good") == 1
    assert statuses["good", "seqd-good"]["state"] == "ready"
