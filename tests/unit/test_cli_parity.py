"""The commands have the options of the client: none of them can be forgotten."""

import inspect
from collections.abc import Iterable

import pytest
from typer.main import get_group

from seqd.cli.app import app
from seqd.client import Client, JobFilters

#: What a client's option is called in a shell, where not `--` and its name without its unit.
NAMES = {
    "parameters": "--param",
    "items": "file",
    "prompts": "texts",
    "states": "--state",
    "grid": "--set",
    "label_map": "--map-label",
    "task": "task",
    "plugin": "--as",  # a command takes the plugin's model, and names the new one by this
}
#: Options that no command has, and why.
NOT_IN_A_SHELL = {
    "output": "a command shows and writes what the task's schema says",
    "id_begins": "a shell completes the identifier of a job",
}

#: Methods that take `JobOptions` and have no command of their own, and why.
WITHOUT_A_COMMAND = {
    "classify_each": "a command hands one job in",
    "run_each": "a command hands one job in",
}

METHODS = ["classify", "generate", "run", "train", "sweep"]


def options_of(*command: str) -> set[str]:
    """Return what a command takes: its options as they are typed, its arguments by name."""
    found = get_group(app)
    with found.make_context("seqd", ["--help"], resilient_parsing=True) as context:
        for name in command:
            found = found.get_command(context, name)
    return {
        name
        for part in found.params
        for name in ([*part.opts] if part.param_type_name == "option" else [part.name])
    }


def in_a_shell(names: Iterable[str]) -> set[str]:
    def typed(name: str) -> str:
        return "--" + name.removesuffix("_s").replace("_", "-")

    return {NAMES.get(name, typed(name)) for name in names if name not in NOT_IN_A_SHELL}


def test_each_method_that_hands_work_in_has_a_command_or_a_reason():
    hands_in = {
        name
        for name, method in inspect.getmembers(Client, inspect.isfunction)
        if "idempotency_key" in inspect.signature(method).parameters
    }

    assert hands_in == {*METHODS, *WITHOUT_A_COMMAND}


@pytest.mark.parametrize("method", METHODS)
def test_a_command_has_all_options_of_the_client(method):
    options = {*inspect.signature(getattr(Client, method)).parameters} - {"self", "model"}

    missing = in_a_shell(options) - options_of(method)

    assert missing == set(), "give the command the option, or say in NOT_IN_A_SHELL why not"


def test_jobs_list_has_all_filters_of_the_client():
    expected = in_a_shell([*inspect.get_annotations(JobFilters), "limit", "model"])

    assert expected <= options_of("jobs", "list")


@pytest.mark.parametrize("command", METHODS)
def test_no_wait_is_another_name_of_detach(command):
    assert {"--detach", "--no-wait"} <= options_of(command)
