"""What plugins print beside the JSON of a command: it goes to standard error, whoever writes it."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.main

from checkout import python_path
from cli_builders import Ended, clean_environment
from plugin_folders import install_plugin
from seqd.cli.app import app
from task_fixtures import PLUGIN as TASKS_PLUGIN
from up_builders import running_up
from worker_fixtures import PLUGIN, publish_file

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


def commands_with_json() -> set[str]:
    """Return the commands that take `--json`, by their words."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[str]:
        if hasattr(command, "list_commands"):
            context = typer.Context(command)
            for name in command.list_commands(context):
                yield from walk(command.get_command(context, name), (*words, name))
        elif any("--json" in option.opts for option in command.params):
            yield " ".join(words)

    return set(walk(typer.main.get_command(app), ()))


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


@pytest.mark.long
@pytest.mark.timeout(600)
def test_every_command_with_json_prints_json_alone_beside_such_a_plugin(
    tmp_path: Path, plugins: Path
) -> None:
    labelled = tmp_path / "data.jsonl"
    labelled.write_text('{"text": "good", "label": "good"}\n' * 3)
    with running_up(
        tmp_path,
        plugins="light,tasks",  # the chatty one is where the commands are
        plugin_folders=[PLUGIN, TASKS_PLUGIN],
        slots="all@cpu:0",
    ) as up:
        publish_file(up.settings.store_dir, "stars", "tasks.json", "{}")
        environment = clean_environment(
            SEQD_DATA_DIR=str(up.settings.data_dir),
            SEQD_ENABLED_PLUGINS="chatty,light,tasks",
            PYTHONPATH=python_path(plugins, PLUGIN, TASKS_PLUGIN),
        )
        data = str(labelled)
        weights = tmp_path / "weights"
        weights.mkdir()
        (weights / "echo.json").write_text('{"records": 7}')
        calls = {
            "classify": ("--model", "echo", "--text", "good", "--text", "raise"),
            "generate": ("echo", "abc"),
            "train": ("echo", "--data", data, "--set", "epochs=1"),
            "run": ("stars", "score", "--text", "good"),
            "sweep": ("echo", "--data", data, "--set", "epochs=1,2", "--no-plot"),
            "models evaluate": ("echo", "--data", data),
            "models compare": ("echo@1", "echo@2", "--data", data),
            "models promote": ("echo@2",),
            "models rollback": ("echo",),
            "models history": ("echo",),
            "models label": ("echo@3", "best"),
            "models export": ("echo@3", str(tmp_path / "echo.tar")),
            "models import": (str(tmp_path / "echo.tar"), "--as", "other"),
            "models add": (str(weights), "--plugin", "echo", "--as", "added"),
            "models rm": ("echo@4",),
            "models gc": ("echo", "--keep", "1"),
            "status": (),
            "doctor": (),
            "models list": (),
            "models show": ("echo",),
            "models params": ("echo",),
            "models place": (),
            "models pause": ("echo", "--reason", "a test"),
            "models disable": ("echo",),
            "models resume": ("echo",),
            "audit": (),
            "plugins list": (),
            "plugins check": ("chatty",),
            "plugins show": ("light",),
            "plugins try": ("echo", "classify", "good", "raise"),
            "jobs list": (),
            "failures list": (),
            "failures purge": ("--code", "too_long", "--yes"),
            "probe live": (),
            "probe ready": (),
            "queues": (),
            "redis acl": ("--role", "client"),
            "settings": (),
            "tenants list": (),
            "tenants show": ("default",),
            "tenants set": ("default", "--weight", "2"),
            "tenants usage": (),
            "workers list": (),
        }
        answers = {words: _json_of(environment, words, *calls[words]) for words in calls}
        failed = next(job["job_id"] for job in answers["jobs list"][0] if job["counts"]["errored"])
        # It runs until it is cancelled, and stops then: the retry behind it is waited for.
        held = ("--model", "echo", "--text", "held", "--detach")
        running = seqd(environment, "classify", *held).out.strip()
        of_jobs = {
            "explain": running,
            "jobs show": running,
            "jobs pause": running,
            "jobs resume": running,
            "jobs cancel": running,
            "jobs watch": failed,
            "logs": failed,
            "jobs retry": failed,
            "jobs rm": failed,
        }
        for words, job in of_jobs.items():
            _json_of(environment, words, job)
        letter = answers["failures list"][0]["groups"][0]["example_id"]
        of_failures = {"failures show": (letter,), "failures replay": (letter, "--dry-run")}
        for words, arguments in of_failures.items():
            _json_of(environment, words, *arguments)

    assert {*calls, *of_jobs, *of_failures} == commands_with_json()


def _json_of(environment: Mapping[str, str], words: str, *arguments: str) -> list[Any]:
    """Run a command with `--json`; return its values, one a line or one in all."""
    ended = seqd(environment, *words.split(), *arguments, "--json")
    assert ended.status in (0, 1, 2) and ended.out.strip(), (words, ended)
    try:
        return [json.loads(ended.out)]
    except ValueError:
        return [json.loads(line) for line in ended.out.splitlines()]
