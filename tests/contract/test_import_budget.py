"""What a program pays for an import: no deep-learning library, no plugin, under half a second."""

import json
import os
import subprocess
import sys

import pytest

from seqd.local.run_files import (
    HEARTBEAT,
    READINESS,
    Heartbeat,
    Readiness,
    RunFolder,
    write_readiness,
)

HEAVY = {"keras", "tensorflow", "torch", "jax", "onnxruntime"}


#: What a command that hands a job in and prints its result to a pipe can do without.
NOT_FOR_A_SUBMIT = {
    "celery", "kombu", "billiard", "amqp", "pluggy", "rich", "jsonschema", "numpy",
    "seqd.cli.demo.script", "seqd.hookspecs", "seqd.models", "seqd.local.supervisor",
    "seqd.worker", "seqd.ledger.work", "seqd.inputs.datasets",
    "seqd.local.redis_server", "seqd.cli.jobs", "seqd.cli.models",
}  # fmt: skip
LIBRARIES = {"typer", "click", "rich", "pydantic", "pydantic_settings", "redis", "platformdirs"}

#: Runs the command line in this interpreter and reports the modules it took, on stderr.
COMMAND = """
import json, sys
from seqd.__main__ import main
try:
    main()
except SystemExit:
    pass
print("\\n" + json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def run(program, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True, text=True, timeout=120, check=False, env=os.environ | environment,
    )  # fmt: skip


def modules_after(statement):
    """Return the names of all modules that a fresh interpreter holds after a statement."""
    done = run(f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))")
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def modules_of_command(folder, *arguments):
    """Return the modules that a command took, and what it printed; no daemon runs in the folder."""
    done = run(COMMAND, *arguments, SEQD_DATA_DIR=str(folder), SEQD_WORKER="w1")
    assert "Traceback" not in done.stderr, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1])), done.stdout


def test_a_program_that_imports_the_client_takes_only_what_a_call_needs(plugin_packages):
    modules = modules_after("from seqd.client import Client")

    assert "seqd.client" in modules
    assert not modules & (HEAVY | set(plugin_packages) | NOT_FOR_A_SUBMIT)
    assert not modules & {"seqd.settings", "pydantic_settings", "typer"}
    assert not modules & {"seqd_schemas.events", "seqd_schemas.manifests", "seqd_schemas.fleet"}


def test_naming_a_package_imports_none_of_its_modules():
    modules = modules_after("import seqd.client, seqd.local, seqd.inputs, seqd_schemas")

    assert not modules & {"pydantic", "redis", "seqd.client.client", "seqd_schemas.base"}


def test_no_record_is_built_before_it_is_used():
    program = (
        "import seqd_schemas\n"
        "names = [getattr(seqd_schemas, name) for name in seqd_schemas.__all__]\n"
        "built = [k.__name__ for k in names if getattr(k, '__pydantic_complete__', False)]\n"
        "assert not built, built"
    )

    assert "seqd_schemas.events" in modules_after(program)


def test_the_version_is_printed_without_any_library(tmp_path):
    modules, printed = modules_of_command(tmp_path, "--version")

    assert printed.startswith("seqd ")
    assert not modules & (LIBRARIES | {"seqd.cli"})


def test_help_imports_no_library_but_that_of_the_command_line_and_no_plugin(
    tmp_path, plugin_packages
):
    modules, printed = modules_of_command(tmp_path, "--help")

    assert "classify" in printed
    assert not modules & (NOT_FOR_A_SUBMIT - {"rich"} | {"pydantic", "redis", "seqd_schemas.base"})
    assert not modules & (HEAVY | set(plugin_packages))


@pytest.mark.parametrize("probe", [("live",), ("ready",), ("none", "live")])
def test_a_probe_imports_no_library_at_all_of_a_worker_that_is_there_or_not(tmp_path, probe):
    """It runs every few seconds beside each worker, where the command line's take 0.2 s a call."""
    folder = RunFolder(tmp_path)
    if probe[0] != "none":
        folder.path.mkdir()
        folder.file("w1", HEARTBEAT).write_text(str(Heartbeat.now()))
        said = Readiness(30.0, why_not="", required=(), warm={"echo": "echo@1"}, cold={})
        write_readiness(folder.file("w1", READINESS), said, is_ready=True)

    modules, printed = modules_of_command(tmp_path, "probe", *probe[probe[0] == "none" :])

    assert printed.startswith("Worker w1") or probe[0] == "none"
    assert "seqd.local.probes" in modules
    assert not modules & (NOT_FOR_A_SUBMIT | LIBRARIES)
    assert not modules & {"seqd.settings", "seqd.cli.app", "seqd_schemas.base"}


def test_registering_and_listing_all_plugins_loads_no_deep_learning_library(
    plugin_packages, tmp_path
):
    modules, printed = modules_of_command(tmp_path, "plugins", "list", "--json")

    assert set(plugin_packages) <= modules
    assert not modules & HEAVY
    assert not {f"{package}.network" for package in plugin_packages} & modules
    assert "ready" in printed and "broken" not in printed
