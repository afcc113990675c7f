"""Commands that need no daemon: help, version, schema, models, plugins, and mistakes."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import typer
from typer.main import get_group

from cli_builders import Ended, here
from seqd.cli.app import app
from seqd_schemas import MAX_ERROR_RATE


def commands() -> Iterator[tuple[str, ...]]:
    """Yield the words of each command."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if hasattr(command, "list_commands"):
            context = typer.Context(command)
            for name in command.list_commands(context):
                yield from walk(command.get_command(context, name), (*words, name))
        else:
            yield words

    return walk(get_group(app), ())


@pytest.fixture(autouse=True)
def _own_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")


def first_error_line(ended: Ended) -> str:
    return ended.err.splitlines()[0]


def test_every_command_explains_itself_and_breaks_no_line_before_it_is_full(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    for command in commands():
        ended = here(capsys, *command, "--help")
        assert ended.status == 0
        assert f"Usage: seqd {' '.join(command)}" in ended.out
        told = ended.out.partition("\u256d")[0].splitlines()
        for line, after in pairwise(told):
            if line.strip() and after.strip() and "Usage:" not in line:
                first = after.split()[0]
                assert len(line.rstrip()) + len(first) >= 79, (command, line, after)


def test_the_bound_of_a_roll_out_that_is_not_given_is_told(capsys):
    told = here(capsys, "models", "promote", "--help").out

    assert f"[default: {MAX_ERROR_RATE:.0%}]" in told.replace("(", "").replace(")", "")


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("train",), ("generate", "markov", "--length", "many")]
)
def test_a_command_that_is_typed_wrong_exits_with_2(capsys, arguments):
    ended = here(capsys, *arguments)

    assert ended.status == 2
    assert "Usage: seqd" in ended.err


def test_the_version_is_printed(capsys):
    from seqd import __version__

    assert here(capsys, "--version").out == f"seqd {__version__}\n"


def test_the_parameters_of_a_model_of_this_machine_need_no_daemon(capsys):
    ended = here(capsys, "models", "params", "imdb_lstm", "--local", "--task", "classify")

    assert ended.status == 0
    assert ended.out.splitlines()[0] == "imdb_lstm classify"
    assert " ".join(ended.out.splitlines()[2].split()) == (
        "probabilities false True: the output has the probability of each class. "
        "Allowed: true or false."
    )


def test_a_model_without_states_shows_none(capsys):
    ended = here(capsys, "models", "show", "char_lstm", "--state", "a")

    assert ended.status == 2
    assert ended.out == ""
    assert first_error_line(ended) == (
        "error[invalid_request]: --state is 'a', but 'char_lstm' has no single states to look at; "
        "leave it away"
    )


def test_schemas_are_not_written_over_a_file(capsys, tmp_path):
    (tmp_path / "taken").write_text("")

    ended = here(capsys, "schema", "--out", str(tmp_path / "taken"))

    assert ended.status == 2
    assert "where no schema can be written (File exists). Name a folder" in first_error_line(ended)


@pytest.mark.parametrize("command", [("status",), ("jobs", "list"), ("jobs", "show", "j1")])
def test_without_a_server_a_command_says_how_to_start_one(capsys, command):
    ended = here(capsys, *command)

    assert ended.status == 2
    assert ended.err.startswith("error[redis_unreachable]: No Redis server runs for ")
    assert "start one with `seqd up`" in ended.err


def test_plugins_are_listed_without_a_daemon(capsys):
    ended = here(capsys, "plugins", "list")

    assert ended.status == 0
    assert any(line.split()[:2] == ["markov", "ready"] for line in ended.out.splitlines())
    assert "No daemon runs: `seqd up` starts one." in ended.out


def test_a_plugin_is_shown_with_the_range_of_each_parameter(capsys):
    ended = here(capsys, "plugins", "show", "char_lstm")

    lines = [line for line in ended.out.splitlines() if line.startswith("window ")]
    assert "char_lstm train" in ended.out
    assert len(lines) == 1
    assert lines[0].split()[:2] == ["window", "40"]
    assert "Allowed: 2 to 256." in lines[0]


@pytest.mark.parametrize("command", ["up", "demo", "jobs list"])
def test_a_server_that_is_given_but_away_is_named_without_its_password_before_anything_starts(
    capsys, monkeypatch, command
):
    monkeypatch.setenv("SEQD_REDIS_URL", "redis://:secret@127.0.0.1:1/0")

    ended = here(capsys, *command.split())

    assert ended.status == 2
    assert ended.err.startswith("error[redis_unreachable]: No answer from Redis at 127.0.0.1:1")
    assert "secret" not in ended.err
