"""The exit status of every error, and how an error is told."""

import signal
import subprocess
import sys

import pytest
from redis import ResponseError

from seqd.cli.exits import run
from seqd.errors import (
    ArtifactDamaged,
    JobFailed,
    PluginFault,
    RedisFull,
    RedisUnreachable,
    UnknownModel,
)
from seqd_schemas import Failure
from shell_fixtures import on_a_terminal


def a_failed_job(code: str, message: str = "it broke") -> JobFailed:
    return JobFailed("j1", Failure(code=code, message=message))


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (UnknownModel("no such model"), 2, "error[unknown_model]: no such model"),
        (RedisUnreachable("no answer"), 2, "error[redis_unreachable]: no answer"),
        (PluginFault("it raised"), 1, "error[plugin_fault]: it raised"),
        (ArtifactDamaged("wrong digest"), 2, "error[artifact_damaged]: wrong digest"),
        (RedisFull("full"), 2, "error[redis_full]: full"),
        # A failed job has the status of what made it fail.
        (a_failed_job("invalid_data"), 2, "error[invalid_data]: job j1 failed: it broke"),
        (a_failed_job("plugin_fault"), 1, "error[plugin_fault]: job j1 failed: it broke"),
        (a_failed_job("redis_full"), 2, "error[redis_full]: job j1 failed: it broke"),
        (a_failed_job("of_a_later_one"), 1, "error[of_a_later_one]: job j1 failed: it broke"),
        # Somebody has written a key over; redis-py says which command met it.
        (
            ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
            2,
            "error[key_damaged]: A key of Redis has a value of another type than seqd writes: "
            "WRONGTYPE Operation against a key holding the wrong kind of value. Find out who "
            "writes to this Redis, and remove the key: redis-cli del KEY",
        ),
        # It obeys nothing, and shows no password.
        (
            a_failed_job("plugin_fault", "\x1b[2J\x9b1m at redis://:s/t@h\n line 2\u202e"),
            1,
            "error[plugin_fault]: job j1 failed: \\x1b[2J\\x9b1m at redis://:***@h\n line 2\\u202e",
        ),
    ],
    ids=repr,
)
def test_an_error_is_told_with_its_code_and_has_the_status_of_its_class(
    capsys, error, status, said
):
    def fails() -> None:
        raise error

    ended = run(fails)

    printed = capsys.readouterr()
    assert (ended, printed.out, printed.err) == (status, "", f"{said}\n")


def test_an_unforeseen_error_of_a_command_obeys_nothing():
    script = (
        "import logging, sys; from seqd.cli.exits import escape_stderr; escape_stderr()\n"
        "logging.getLogger('seqd').error('broken: %s', 'x\\n\\x1b[2J')\n"
        "raise ValueError('a\\x1b[31m\\x9b1m')"
    )

    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert ended.returncode == 1
    assert ended.stderr.startswith("broken: x\\n\\x1b[2J\nTraceback (most recent call last):\n")
    assert ended.stderr.endswith("\nValueError: a\\x1b[31m\\x9b1m\n")


INTERRUPTED_AT_AN_IMPORT = """
import runpy, signal, sys
at = sys.argv.pop(1)

def interrupt(event, arguments):
    if event == "import" and arguments[0] == at:
        signal.raise_signal(signal.SIGINT)

sys.addaudithook(interrupt)
runpy.run_module("seqd", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("at", ["seqd.standard_output", "seqd.cli.app", "typer"])
def test_ctrl_c_while_a_command_imports_ends_it_with_130_and_without_a_word(at):
    command = [sys.executable, "-c", INTERRUPTED_AT_AN_IMPORT, at, "settings"]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


LOSES_INTERRUPTS = """
import signal, sys, time
from seqd.cli.exits import run, send_lost_interrupts_again

class Freed:
    def __del__(self):
        signal.raise_signal(int(sys.argv[1]))
        for _ in range(1_000_000): pass  # where Python handles it

def command():
    Freed()
    print("goes on", flush=True)
    time.sleep(60)

send_lost_interrupts_again()
run(command)
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, -2), (signal.SIGTERM, 143)])
def test_an_interrupt_that_python_ignores_is_sent_again(number, status):
    ended = subprocess.run(
        [sys.executable, "-c", LOSES_INTERRUPTS, str(int(number))],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ended.returncode == status, ended.stderr
    assert ended.stdout == "goes on\n"
    assert "Exception ignored" not in ended.stderr


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_an_error_is_broken_between_words_on_a_terminal(tmp_path, term):
    shown = on_a_terminal(
        tmp_path, "logs", "j1", columns=60, SEQD_DATA_DIR=str(tmp_path), TERM=term
    )

    lines = shown.splitlines()
    assert lines[0].startswith("error[no_logs]: The logs in")
    assert len(lines) > 4
    assert all(len(line) <= 60 for line in lines if str(tmp_path) not in line), shown
    assert "Any other worker logs to its output: `journalctl -u" in " ".join(lines)
