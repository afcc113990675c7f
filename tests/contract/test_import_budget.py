"""What a program pays for an import: no deep-learning library, no plugin, under half a second."""

import json
import os
import subprocess
import sys

import pytest

from seqd.local.heartbeat import Heartbeat
from seqd.local.readiness import ModelReadiness, Readiness, write_readiness
from seqd.local.run_files import HEARTBEAT, READINESS, RunFolder

HEAVY = {"keras", "tensorflow", "torch", "jax", "onnxruntime"}

#: Times what the import of its two libraries takes, 0.15 s of a processor: half a second in all.
CLIENT_BUDGET = 3.0

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
        capture_output=True, text=True, timeout=60, check=False, env=os.environ | environment,
    )  # fmt: skip


def modules_after(statement):
    """Return the names of all modules that a fresh interpreter holds after a statement."""
    done = run(f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))")
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def modules_of_command(folder, *arguments):
    """Return the modules that a command took, and what it printed; no daemon runs in the folder."""
    done = run(COMMAND, *arguments, SEQD_DATA_DIR=str(folder))
    assert "Traceback" not in done.stderr, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1])), done.stdout


def test_the_client_loads_no_deep_learning_library_and_no_plugin(plugin_packages):
    modules = modules_after("from seqd.client import Client")

    assert not modules & (HEAVY | set(plugin_packages))
    assert "seqd.client" in modules


def test_the_client_loads_neither_celery_nor_what_only_the_command_line_needs():
    modules = modules_after("from seqd.client import Client")

    assert not modules & {"celery", "kombu", "jsonschema", "typer", "rich", "numpy"}


#: What a command that hands a job in and prints its result to a pipe can do without.
NOT_FOR_A_SUBMIT = {
    "celery", "kombu", "billiard", "amqp", "pluggy", "rich", "jsonschema", "numpy",
    "seqd.cli.demo.script", "seqd.hookspecs", "seqd.models", "seqd.local.supervisor",
    "seqd.worker", "seqd.ledger.work", "seqd.inputs.datasets",
    "seqd.local.redis_server", "seqd.cli.jobs", "seqd.cli.models.app",
}  # fmt: skip


def test_a_program_that_imports_the_client_takes_only_what_a_call_needs():
    modules = modules_after("from seqd.client import Client")

    assert not modules & (NOT_FOR_A_SUBMIT | {"seqd.settings", "pydantic_settings", "typer"})
    assert not {"seqd_schemas.events", "seqd_schemas.manifests", "seqd_schemas.fleet"} & modules


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
    assert not modules & {"typer", "click", "rich", "pydantic", "redis", "seqd.cli"}


def test_help_imports_no_library_but_that_of_the_command_line(tmp_path):
    modules, _ = modules_of_command(tmp_path, "--help")

    listed = {"rich", "seqd.cli.jobs", "seqd.cli.models.app"}
    assert listed <= modules
    assert not modules & (NOT_FOR_A_SUBMIT - listed | {"pydantic", "redis", "seqd_schemas.base"})


def test_a_probe_of_a_worker_that_has_not_started_imports_no_library(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQD_WORKER", "w1")

    modules, _ = modules_of_command(tmp_path, "probe", "live")

    assert "seqd.local.probes" in modules
    assert not modules & {"typer", "pydantic", "redis"}


@pytest.mark.parametrize("probe", [("live",), ("ready",), ("model", "echo")])
def test_a_probe_imports_no_library_at_all(tmp_path, monkeypatch, probe):
    """It runs every few seconds beside each worker, where the command line's take 0.2 s a call."""
    folder = RunFolder(tmp_path)
    folder.path.mkdir()
    folder.file("w1", HEARTBEAT).write_text(str(Heartbeat.now()))
    echo = ModelReadiness(serves=True, trains=False, in_service=1, loaded=(1,))
    said = Readiness(1, "ready", 30.0, required=(), models={"echo": echo}, unfit=())
    write_readiness(folder.file("w1", READINESS), said, is_ready=True)
    monkeypatch.setenv("SEQD_WORKER", "w1")

    modules, printed = modules_of_command(tmp_path, "probe", *probe)

    assert printed.startswith("Worker w1")
    libraries = {"typer", "click", "rich", "pydantic", "pydantic_settings", "redis", "platformdirs"}
    assert not modules & (NOT_FOR_A_SUBMIT | libraries)
    assert not {"seqd.settings", "seqd.cli.app", "seqd_schemas.base"} & modules


def processor_s(statement):
    """Return the processor time of a fresh interpreter that has run a statement, all told."""
    program = f"import time\n{statement}\nprint(time.process_time())"
    # What is compiled by the first is kept for the next, also where the environment forbids it.
    done = run(program, PYTHONDONTWRITEBYTECODE="")
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.slow
def test_the_client_is_imported_in_half_a_second():
    """As a share of what its libraries take: a second of a busy processor does less."""
    libraries_s, client_s = zip(
        *(
            (processor_s("import pydantic, redis"), processor_s("from seqd.client import Client"))
            for _ in range(4)
        ),
        strict=True,
    )

    assert min(client_s) < CLIENT_BUDGET * min(libraries_s)


def test_registering_all_plugins_loads_no_deep_learning_library(plugin_packages):
    modules = modules_after(
        "from seqd.models.registry import Registry\n"
        "from seqd.settings import Settings\n"
        "registry = Registry.load(Settings())\n"
        "reasons = {s.name: s.reason for s in registry.statuses if s.state != 'ready'}\n"
        "assert not reasons, reasons"
    )

    assert set(plugin_packages) <= modules
    assert not modules & HEAVY
    assert not {f"{package}.network" for package in plugin_packages} & modules


@pytest.mark.parametrize(
    ("arguments", "shown"), [(("--help",), "classify"), (("plugins", "list"), "markov")]
)
def test_a_light_command_loads_no_deep_learning_library(arguments, shown, tmp_path):
    modules, printed = modules_of_command(tmp_path, *arguments)

    assert not modules & HEAVY
    assert shown in printed


def test_help_loads_no_plugin(plugin_packages, tmp_path):
    modules, _ = modules_of_command(tmp_path, "--help")

    assert not modules & set(plugin_packages)
