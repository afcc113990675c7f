"""What a command does with a standard output that takes nothing, is closed, or is not UTF-8."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli_builders import clean_environment
from seqd.standard_output import opened


def run(
    command: str, tmp_path: Path, redirection: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *("/bin/sh", "-c", f'exec "$@" {redirection}', "sh"),
            *(sys.executable, "-P", "-m", "seqd", *command.split()),
        ],
        env=clean_environment(SEQD_DATA_DIR=str(tmp_path), **variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "redirection", "reason"),
    [
        ("--help", ">/dev/full", "No space left on device"),
        ("settings", ">&-", "Bad file descriptor"),
    ],
    ids=["full", "closed"],
)
def test_an_output_that_takes_nothing_is_an_error_in_one_sentence(
    command, redirection, reason, tmp_path
):
    ended = run(command, tmp_path, redirection)

    assert (ended.returncode, ended.stderr) == (
        2,
        f"error[output_unwritable]: standard output cannot be written ({reason}): give it to a "
        "file or a program that takes it\n",
    )


def test_an_output_that_nobody_reads_ends_a_command_without_a_word(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "seqd", "settings"],
            env=clean_environment(SEQD_DATA_DIR=str(tmp_path)),
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        os.close(writer)

    assert ended.stderr == ""


def test_an_output_that_is_not_utf_8_gets_escapes(tmp_path):
    with (tmp_path / "out").open("w", encoding="ascii") as file:
        stream = opened(file.fileno(), file, by_line=False)
        print(json.dumps({"text": "caf\u00e9 \u4e2d \U0001f600"}, ensure_ascii=False), file=stream)
        stream.flush()

    written = (tmp_path / "out").read_text(encoding="ascii")
    assert written == '{"text": "caf\\u00e9 \\u4e2d \\ud83d\\ude00"}\n'
    assert json.loads(written) == {"text": "caf\u00e9 \u4e2d \U0001f600"}


def test_a_command_prints_to_an_ascii_stream(tmp_path):
    ended = run("--help", tmp_path, "", PYTHONIOENCODING="ascii", LANG="C")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.isascii()
