"""Discovery through real entry points: installed distributions on a path of their own."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import seqd

REPORT = """
import json, logging
from seqd.models.registry import Registry
from seqd.settings import Settings
logging.disable(logging.CRITICAL)
registry = Registry.load(Settings())
print(json.dumps([status.model_dump(mode="json") for status in registry.statuses]))
"""

GOOD = """
    from seqd.plugin import classifier

    @classifier("{model}", summary="A model of a test.")
    def good(text: str) -> str:
        return "good"
"""


def install(site: Path, distribution: str, module: str, plugin: str, source: str = "") -> None:
    """Lay a distribution out as an installer would; with a model named like its module."""
    model = module.removeprefix("seqd_").removeprefix("acme_")
    (site / f"{module}.py").write_text(textwrap.dedent(source or GOOD.format(model=model)))
    info = site / f"{distribution.replace('-', '_')}-2.5.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.5\n"
    (info / "METADATA").write_text(metadata)
    (info / "entry_points.txt").write_text(f"[seqd]\n{plugin} = {module}\n")


def statuses_with(*sites: Path, begins: str = "") -> list[dict[str, object]]:
    """Load the registry in a fresh interpreter, which does first what it `begins` with."""
    program = f"import sys\nsys.path[:0] = {[str(site) for site in sites]!r}\n{begins}\n{REPORT}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


#: Looks for a module, and has its file installed within the same tick of the file system's clock.
INSTALLS_LATE = """
import importlib.util, os
assert importlib.util.find_spec("seqd_late") is None
before = os.stat(sys.path[0])
os.rename(sys.path[0] + "/staged", sys.path[0] + "/seqd_late.py")
os.utime(sys.path[0], ns=(before.st_atime_ns, before.st_mtime_ns))
"""


def test_a_plugin_that_was_installed_after_the_process_had_started_is_not_said_to_lack_its_module(
    tmp_path,
):
    install(tmp_path, "seqd-late", "seqd_late", "late")
    (tmp_path / "seqd_late.py").rename(tmp_path / "staged")
    (tmp_path / "seqd_late-2.5.dist-info/RECORD").write_text("seqd_late.py,,\n")
    install(tmp_path, "seqd-edited", "seqd_edited", "edited")  # editable: on the path by a .pth
    (tmp_path / "seqd_edited.py").rename(tmp_path / "seqd_edited.pth")
    (tmp_path / "seqd_edited-2.5.dist-info/RECORD").write_text("seqd_edited.pth,,\n")

    listed = statuses_with(tmp_path, begins=INSTALLS_LATE)

    reasons = {str(one["name"]): one["reason"] for one in listed if one["code"]}
    assert reasons == {
        name: f"ModuleNotFoundError: No module named 'seqd_{name}'. This process does not find the "
        f"module of its entry point: seqd-{name} was installed after the process had started, or "
        "its folder is gone or not on the path. `seqd workers restart` starts workers anew."
        for name in ("late", "edited")
    }


def test_a_plugin_that_ships_with_seqd_has_the_version_of_its_code_whatever_was_installed_once(
    tmp_path,
):
    # As of a clone that was installed editable, and pulled since.
    install(tmp_path, "seqd", "seqd_shipped", "shipped")

    listed = statuses_with(tmp_path)

    versions = {str(one["name"]): one["version"] for one in listed}
    assert versions["shipped"] == seqd.__version__


def test_each_installed_plugin_is_listed_whatever_is_wrong_with_it_or_its_neighbours(tmp_path):
    twin = tmp_path / "twin"
    twin.mkdir()
    for site in (tmp_path, twin):  # on the path twice
        install(site, "seqd-good", "seqd_good", "good")
    install(tmp_path, "seqd-bad", "seqd_bad", "bad", "import sys\nsys.exit(3)\n")
    install(tmp_path, "seqd-gone", "seqd_gone", "gone")
    (tmp_path / "seqd_gone.py").unlink()
    install(tmp_path, "seqd-rival", "seqd_rival", "good")
    install(tmp_path, "acme-poets", "acme_poets", "markov")
    # By name it would come before the plugin `markov`.
    install(tmp_path, "acme-models", "acme_markov", "acme")

    listed = statuses_with(tmp_path, twin)

    statuses = {(one["name"], one["distribution"]): one for one in listed}
    assert len(statuses) == len(listed)
    good = statuses["good", "seqd-good"]
    assert (good["state"], good["version"], good["models"]) == ("ready", "2.5", ["good"])
    assert statuses["markov", "seqd"]["models"] == ["markov", "markov_words"]
    broken = {name: (one["code"], one["reason"]) for name, one in statuses.items() if one["code"]}
    assert str(broken["bad", "seqd-bad"][1]).startswith("SystemExit: 3 (seqd_bad.py, line 2, ")
    assert broken["gone", "seqd-gone"][1] == (
        "ModuleNotFoundError: No module named 'seqd_gone'. Its entry point names a module that "
        "seqd-gone does not bring."
    )
    assert broken["good", "seqd-rival"][1] == (
        "the plugin name 'good' is already used by seqd-good 2.5. "
        "Rename the entry point in the pyproject.toml of seqd-rival, or uninstall seqd-rival."
    )
    assert "already used by seqd " in str(broken["markov", "acme-poets"][1])
    assert broken["acme", "acme-models"] == (
        "name_taken",
        "its model 'markov' is already brought by the plugin 'markov' of seqd. Rename it, or "
        "disable one of the two plugins with SEQD_DISABLED_PLUGINS.",
    )
    assert len(broken) == 5


def test_a_name_that_ships_with_seqd_is_not_free_where_its_plugin_is_broken(tmp_path):
    install(tmp_path, "acme-models", "acme_markov", "acme")
    (tmp_path / "seqd_markov.py").write_text("raise OSError('no such library')\n")

    codes = {(one["name"], one["distribution"]): one["code"] for one in statuses_with(tmp_path)}

    assert codes["markov", "seqd"] == "import_failed"
    assert codes["acme", "acme-models"] == "name_taken"
