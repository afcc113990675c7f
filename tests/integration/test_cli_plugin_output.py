"""What plugins print beside the JSON of a command: it goes to standard error, whoever writes it."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from checkout import python_path
from cli_builders import Ended, clean_environment
from plugin_folders import install_plugin
from worker_fixtures import PLUGIN

pytestmark = [pytest.mark.processes, pytest.mark.slow]

#: A plugin that writes to standard output in every way, when it is imported, called, and later.
CHATTY = r"""
import atexit, ctypes, os, subprocess, sys, threading, time, warnings
from sys import stdout
from seqd.hookspecs import hookimpl

def say(when):
    print(f"by print {when}\x1b[2J")
    sys.stdout.write(f"by stdout.write {when}\n")
    stdout.write(f"by stdout that was kept {when}\n")
    os.write(1, f"by os.write {when}\n".encode())
    ctypes.CDLL(None).puts(f"by C {when}".encode())
    subprocess.run(["echo", f"by a process {when}"])
    warnings.warn(f"by a warning {when}")

def later():
    time.sleep(0.01)
    while True:
        print("by a thread")
        time.sleep(0.001)

say("at import")
threading.Thread(target=later, daemon=True).start()
atexit.register(say, "at exit")

@hookimpl
def seqd_register_models():
    say("when called")
    return []
"""

WAYS = ("print", "stdout.write", "stdout that was kept", "os.write", "C", "a process", "a warning")


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """The path of the chatty plugin and of the light one."""
    install_plugin(tmp_path / "plugins", "chatty", CHATTY)
    return tmp_path / "plugins"


def seqd(environment: Mapping[str, str], *arguments: str) -> Ended:
    program = subprocess.run(
        [sys.executable, "-m", "seqd", *arguments],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return Ended(program.returncode, program.stdout, program.stderr)


def test_whatever_a_plugin_prints_goes_to_standard_error_beside_json_and_tables(
    tmp_path: Path, plugins: Path
) -> None:
    environment = clean_environment(
        SEQD_DATA_DIR=str(tmp_path),
        SEQD_ENABLED_PLUGINS="chatty,light",
        PYTHONPATH=python_path(plugins, PLUGIN),
    )

    listed = seqd(environment, "plugins", "list", "--json")
    shown = seqd(environment, "plugins", "show", "echo")

    assert (listed.status, shown.status) == (0, 0), listed.err + shown.err
    found = {plugin["name"]: plugin["state"] for plugin in json.loads(listed.out)["here"]}
    assert found["chatty"] == found["light"] == "ready"
    said = {f"by {way} {when}" for way in WAYS for when in ("at import", "when called", "at exit")}
    assert [words for words in said if words not in listed.err] == []
    assert "by a thread" in listed.err
    assert "Gives every text back; for tests." in shown.out
    assert not any(f"by {way} " in shown.out for way in (*WAYS, "a thread"))
    assert "by a thread" not in shown.out
