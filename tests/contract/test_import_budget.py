"""What a program pays for an import: no deep-learning library, no plugin, under half a second."""

import json
import os
import subprocess
import sys

import pytest

HEAVY = {"keras", "tensorflow", "torch", "jax", "onnxruntime"}
CLIENT_BUDGET_S = 0.5

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
    """Give the names of all modules that a fresh interpreter holds after a statement."""
    done = run(f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))")
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def modules_of_command(folder, *arguments):
    """Give the modules that a command took, and what it printed; no daemon runs in the folder."""
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


def test_the_client_is_imported_in_half_a_second():
    """Processor time, the best of three: other programs may be busy on the machine."""
    program = (
        "import time\nfrom seqd.client import Client\nprint(time.process_time())"  # from its start
    )

    seconds = [float(run(program).stdout) for _ in range(3)]

    assert min(seconds) < CLIENT_BUDGET_S


def test_registering_all_plugins_loads_no_deep_learning_library(plugin_packages):
    modules = modules_after(
        "from seqd.registry import Registry\n"
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
