"""SEQD_REQUIRED_PLUGINS: neither a worker nor `seqd up` starts without them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from checkout import python_path
from cli_builders import clean_environment
from plugin_folders import install_plugin
from seqd.cli.up import check_required_plugins
from seqd.errors import InvalidSettings
from seqd.settings import load_settings
from worker_fixtures import PLUGIN, Cluster, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

ABORTS = "import os\nprint('its last words', flush=True)\nos.abort()\n"

HANGS = """import os, pathlib, time
if note := os.environ.get("NOTE_PID"):
    pathlib.Path(note).write_text(str(os.getpid()))
time.sleep(3_600)
"""


def refusal(folder: Path, monkeypatch: pytest.MonkeyPatch, required: str, **sources: str) -> str:
    """Return what a check of required plugins says where these plugins are installed."""
    for name, source in sources.items():
        install_plugin(folder / name, name, source)
    monkeypatch.setenv("PYTHONPATH", python_path(*(folder / name for name in sources), PLUGIN))
    # Its time is for these imports alone.
    monkeypatch.setenv("SEQD_ENABLED_PLUGINS", ",".join([*sources, "light"]))
    settings = load_settings(data_dir=folder / "data", required_plugins=(required,))
    with pytest.raises(InvalidSettings) as refused:
        check_required_plugins(settings, load_s=10)
    return str(refused.value)


def test_a_plugin_that_ends_or_holds_up_the_process_that_loads_plugins_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashes = refusal(tmp_path, monkeypatch, "light", crash="import os\nos._exit(9)\n")
    aborts = refusal(tmp_path, monkeypatch, "light", abort=ABORTS)
    hangs = refusal(tmp_path, monkeypatch, "light", hang=HANGS)

    assert crashes == (
        "SEQD_REQUIRED_PLUGINS is light, and a plugin here ended the process that loads plugins, "
        "with status 9: it said nothing"
    )
    assert aborts == (
        "SEQD_REQUIRED_PLUGINS is light, and a plugin here ended the process that loads plugins, "
        "with signal 6 in seqd_abort.py, line 3, in <module>: its last words"
    )
    assert hangs == (
        "SEQD_REQUIRED_PLUGINS is light, and the plugins here were not loaded within 10 s: it "
        "stood in seqd_hang.py, line 4, in <module>. `seqd plugins list` loads them too; "
        "SEQD_DISABLED_PLUGINS leaves one out."
    )


def test_a_plugin_that_a_setting_names_and_that_is_not_installed_is_told_with_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQD_DISABLED_PLUGINS", "nosuch")

    said = refusal(tmp_path, monkeypatch, "light")

    assert said.startswith(
        "SEQD_DISABLED_PLUGINS names 'nosuch', which is not installed. Installed: "
    )


@contextmanager
def up(folder: Path, required: str, **variables: str) -> Iterator["subprocess.Popen[str]"]:
    """Run `seqd up` beside the plugins of a folder until the block ends."""
    program = subprocess.Popen(
        [sys.executable, "-m", "seqd", "up", "--slots", "cpu:0"],
        env=clean_environment(
            SEQD_DATA_DIR=str(folder / "data"),
            PYTHONPATH=python_path(folder / "plugins", PLUGIN),
            SEQD_REQUIRED_PLUGINS=required,
            **variables,
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        yield program
        program.kill()


def test_up_starts_no_server_and_no_worker_without_a_required_plugin(tmp_path: Path) -> None:
    install_plugin(tmp_path / "plugins", "hello", "import libfoo\n")

    with up(tmp_path, "hello,light") as program:
        _, said = program.communicate(timeout=120)

    assert program.returncode == 78
    assert said.startswith(
        "error[invalid_settings]: SEQD_REQUIRED_PLUGINS names what is not ready here. hello is "
        "broken: ModuleNotFoundError: No module named 'libfoo' (seqd_hello.py, line 1, in "
        "<module>). Install libfoo here; a daemon does without the plugin by "
        "SEQD_DISABLED_PLUGINS=hello. "
        "The plugins:\n"
    )
    assert not (tmp_path / "data" / "logs").exists()


def test_what_looks_at_plugins_ends_with_the_up_that_started_it(tmp_path: Path) -> None:
    install_plugin(tmp_path / "plugins", "hang", HANGS)
    noted = tmp_path / "pid"

    with up(tmp_path, "light", NOTE_PID=str(noted)):
        wait_until(lambda: noted.exists() and noted.read_text() != "", "the plugin is imported")

    # Of a process that has ended and that nobody waits for this link is gone.
    looking = int(noted.read_text())
    wait_until(lambda: not Path(f"/proc/{looking}/exe").exists(), "nothing looks at plugins")


def test_a_worker_exits_without_a_required_plugin_and_says_which_it_lacks(
    empty_cluster: Cluster,
) -> None:
    worker = empty_cluster.start("w1", required_plugins=("lihgt",), enabled_plugins=None)

    assert worker.wait_for_end() == 78
    assert (
        "SEQD_REQUIRED_PLUGINS names what is not ready here. lihgt is not installed. Did you mean "
        "'light'? The plugins:\n"
    ) in worker.whole_log()
