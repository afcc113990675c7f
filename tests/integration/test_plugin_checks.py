"""Checks of plugins: each one that misbehaves is found by the right check, a sound one by none."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from checkout import python_path
from cli_builders import clean_environment, here
from seqd.local.endpoint import is_alive
from seqd.testing.checks import CheckResult, CheckState, PluginExamples, check_plugin
from seqd.testing.checks.catalog import Part, known_ids
from seqd.testing.checks.running import Run
from seqd.testing.checks.sources import sources_in
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

ZOO = Path(__file__).parent.parent / "broken_plugins"

#: By which check each is found, the beginning of what was seen, and the function that is to blame.
FOUND = {
    "returns_too_few": ("B1", "classify returns 4 outcomes for 7 items", "classify"),
    "gives_nan": (
        "B1",
        "The model plugin gave a Classification that no result can hold: score is nan",
        "classify",
    ),
    "wrong_order": (
        "B4",
        "classify returns the outcome of another item in the place of",
        "classify",
    ),
    "ignores_stop": (
        "S1",
        "classify of 3 items never asks context.stop_requested(), or goes on",
        "classify",
    ),
    "leaks": ("M2", "resident memory grows by 1", "classify"),
    "prints": ("E1", r"it prints 'classifying 5 texts\n'", "classify"),
    "saves_transposed": ("V1", "What saves_transposed has saved is not what it has", "load"),
    "reseeds": ("E2", "it draws from, or seeds, the shared state of random", "classify"),
    "forks": ("E4", "it leaves the process ", "classify"),
    "forks_and_returns": ("E4", "it forks this process, and the copy comes back", "classify"),
}

#: Those that are found in about a second and a half, and of which each is another way to be found.
QUICK = ("wrong_order", "saves_transposed")

SOUND = '''"""A plugin that greets, as its author would write it."""

from typing import ClassVar

from seqd.errors import Stopped
from seqd.hookspecs import LoadedModel, Model, PluginParameters, TaskSpec, hookimpl
from seqd_schemas import Classification, ItemError, ItemErrorCode


class Hello(Model):
    """A model without training."""

    name = "hello"
    summary = "Tells greetings from other texts."
    tasks: ClassVar = {"classify": TaskSpec(PluginParameters)}

    def load(self, artifact, device):
        return LoadedHello()


class LoadedHello(LoadedModel):
    memory_bytes = 1_000
    classes = ("greeting", "other")

    def warm_up(self):
        pass

    def classify(self, items, parameters, context):
        outcomes = []
        for item in items:
            if context.stop_requested():
                raise Stopped
            outcomes.append(one(item.text))
        return outcomes


def one(text):
    if any("\\ud800" <= character <= "\\udfff" for character in text):
        message = "The text has a lone surrogate, which is no character. Send valid text."
        return ItemError(code=ItemErrorCode.DECODE_ERROR, message=message)
    label = "greeting" if "hello" in text else "other"
    return Classification(label=label, score=1.0, truncated=False)


@hookimpl
def seqd_register_models():
    return [Hello()]
'''


def checked(name: str, check: str, limit_s: float = 20) -> CheckResult:
    """Run one check of a member of the zoo."""
    (source,) = sources_in(ZOO / f"{name}.py")
    with Run(source, PluginExamples(), None, limit_s) as run:
        results = run.part(name, Part.TRAINING if check == "V1" else Part.BUILT_IN, {check})
    return {result.id: result for result in results}[check]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in FOUND]
)
def test_a_plugin_that_misbehaves_is_found_by_the_check_with_its_line(name: str):
    check, seen, function = FOUND[name]

    result = checked(name, check)

    assert result.state is CheckState.FAILED
    assert result.seen.startswith(seen)
    assert result.cure.endswith(".")
    assert Path(result.place.file).name == f"{name}.py"
    assert result.place.function.endswith(function)


@pytest.mark.slow
def test_a_version_that_was_saved_as_another_is_one_finding(tmp_path: Path):
    (source,) = sources_in(ZOO / "saves_transposed.py")

    report = check_plugin(source)

    assert [result.id for result in report.failed] == ["V1"]
    reasons = {result.why for result in report.results if result.part == Part.TRAINED}
    assert reasons == {"V1 failed: what is saved is not what was trained"}


@pytest.mark.slow
def test_what_hangs_is_found_with_its_stack():
    result = checked("hangs_in_c", "P1", limit_s=3)

    assert (result.state, result.seen) == (CheckState.FAILED, "it hung for more than 3 s")
    assert result.cure.endswith(".")
    assert Path(result.place.file).name == "hangs_in_c.py"
    assert result.place.function.endswith("classify")
    innermost, outermost = result.stack
    assert innermost.endswith(", in match")
    assert "hangs_in_c.py:" in outermost
    assert outermost.endswith(", in classify")


def test_a_plugin_whose_first_call_fails_is_checked_no_further():
    (source,) = sources_in(ZOO / "exits_at_run.py")

    report = check_plugin(source)

    (result,) = report.failed
    assert (result.id, result.seen) == ("P1", "the process ended itself with exit status 3")
    assert result.cure.endswith(".")
    served = [result for result in report.results if result.part == Part.BUILT_IN]
    assert {result.why for result in served if result.id != "P1"} == {"P1 failed"}


@pytest.mark.slow
def test_a_function_that_python_compiles_for_the_first_time_with_a_short_reason_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """To compile it opens nothing, and a short reason of a bad item is enough."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    (tmp_path / "seqd_fresh.py").write_text(
        "from seqd.plugin import BadItem, classifier\n"
        "@classifier('fresh', summary='Fresh.')\n"
        "def fresh(text: str) -> str:\n"
        "    if not text.strip():\n"
        "        raise BadItem('It is blank.')\n"
        "    return 'x'\n"
    )

    report = check_plugin(sources_in(tmp_path / "seqd_fresh.py")[0])

    assert report.failed == []


@pytest.mark.slow
def test_a_plugin_that_hangs_while_it_is_imported_is_found(tmp_path: Path):
    (tmp_path / "hello.py").write_text("import time\ntime.sleep(600)\n")

    report = check_plugin(sources_in(tmp_path / "hello.py")[0], limit_s=2)

    (result,) = report.results
    assert (result.id, result.seen) == ("L1", "it hung for more than 2 s")
    assert (Path(result.place.file).name, result.place.line) == ("hello.py", 2)


@pytest.mark.parametrize("line", ["time.sleep(1.5)", "while time.process_time() < 2: pass"])
def test_an_import_that_waits_or_works_for_long_has_its_line(tmp_path: Path, line: str):
    (tmp_path / "hello.py").write_text(f"import time\n{line}\n{SOUND}")

    with Run(sources_in(tmp_path / "hello.py")[0], PluginExamples(), None, 20) as run:
        results = {result.id: result for result in run.describe().results}

    assert results["I2"].state is CheckState.FAILED
    assert re.fullmatch(r"it takes [123]\.\d s(; most of it: .*)?", results["I2"].seen)
    assert (Path(results["I2"].place.file).name, results["I2"].place.line) == ("hello.py", 2)


def test_a_failure_is_printed_as_soon_as_it_is_found(tmp_path: Path):
    may_end = tmp_path / "may_end"
    waits = f"""
    def cost_tokens(self, text):
        import pathlib, time
        while not pathlib.Path({str(may_end)!r}).exists():
            time.sleep(0.02)
        return 1
"""
    wrong = SOUND.replace('"greeting" if "hello"', '"farewell" if True or "hello"')
    (tmp_path / "hello.py").write_text(
        wrong.replace("    def warm_up", f"{waits}\n    def warm_up")
    )
    command = subprocess.Popen(
        [sys.executable, "-m", "seqd", "plugins", "check", str(tmp_path / "hello.py")],
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    with command:
        first = command.stdout.readline()  # comes while M1 waits: its limit is 30 s
        is_at_work = command.poll() is None and not may_end.exists()
        may_end.touch()
        rest = command.stdout.read()

    assert first.startswith("B1  hello (built-in): ")
    assert is_at_work
    assert "the label 'farewell'" in rest
    assert first not in rest


def test_outcomes_of_chance_are_told_by_their_cause_and_the_line_that_draws(tmp_path: Path):
    module = tmp_path / "hello.py"
    layer = "def layer():\n    value = random.random()\n    return value\n"
    source = SOUND.replace("score=1.0", "score=layer()")
    module.write_text(f"import random\n\n{layer}\n{source}")

    with Run(sources_in(module)[0], PluginExamples(), None, 20) as run:
        ids = {"D1", "B2", "B3", "B4", "W1", "D2", "E2"}
        results = run.part("hello", Part.BUILT_IN, ids)

    failed = [result for result in results if result.state is CheckState.FAILED]
    assert [result.id for result in failed] == ["D1", "E2"]
    assert {result.why for result in results if not result.ran} == {"D1 failed"}
    assert failed[0].seen == "classify gives other outcomes when it is called a second time"
    assert (failed[1].place.line, failed[1].place.function) == (4, "layer")
    assert "(seed=, random_state=)" in failed[1].cure


DECORATED = '''"""A decorated function."""

import os
import random

from seqd.plugin import Label, classifier

IN_COPY = False


@classifier("decorated", summary="Greets.", classes=["greeting", "other"])
def decorated(text: str) -> Label:
    """Label a text."""
    {line}
    return Label("greeting" if "hello" in text.lower() else "other", score)
'''


@pytest.mark.parametrize(
    ("line", "cures"),
    [
        (
            "score = random.random()",
            {
                "D1": "Take chance from a parameter annotated seqd.plugin.Random, or give ",
                "E2": "or draw from a parameter annotated seqd.plugin.Random.",
            },
        ),
        (
            'return Label("farewell")',
            {"B1": "Give one of the classes that the model names, or name this label, too."},
        ),
    ],
)
def test_a_cure_is_one_that_a_decorated_function_can_follow(
    tmp_path: Path, line: str, cures: dict[str, str]
):
    (tmp_path / "decorated.py").write_text(DECORATED.format(line=line))

    with Run(sources_in(tmp_path / "decorated.py")[0], PluginExamples(), None, 20) as run:
        results = run.part("decorated", Part.BUILT_IN, {"B1", "D1", "E2"})

    failed = {one.id: one.cure for one in results if one.state is CheckState.FAILED}
    assert failed.keys() == cures.keys()
    assert all(cure in failed[check] for check, cure in cures.items())


@pytest.mark.slow
def test_a_decorated_function_that_forks_for_each_text_is_one_finding(tmp_path: Path):
    """A copy that is called again ends, so that they are few where they go on.

    M2 and S2 have it fork thousands of times, within a time, and are left out.
    """
    again = tmp_path / "again"
    line = f"""global IN_COPY
    if IN_COPY:
        open({str(again)!r}, "w").close()
        os._exit(0)
    IN_COPY, score = os.fork() == 0, 1.0"""
    (tmp_path / "decorated.py").write_text(DECORATED.format(line=line))

    with Run(sources_in(tmp_path / "decorated.py")[0], PluginExamples(), None, 20) as run:
        results = run.part("decorated", Part.BUILT_IN, known_ids() - {"M2", "S2"})

    assert [one.id for one in results if one.state is CheckState.FAILED] == ["E4"]
    assert not again.exists()


@pytest.mark.parametrize("where", ["import", "classify"])
def test_a_child_ends_with_a_check_that_is_killed(tmp_path: Path, where: str):
    told = tmp_path / "pid"
    hangs = f"import os, pathlib, time; pathlib.Path({str(told)!r}).write_text(f'{{os.getpid()}}.')"
    hangs += "; time.sleep(600)"
    texts = {
        "import": f"{hangs}\n{SOUND}",
        "classify": SOUND.replace("        outcomes = []\n", f"        {hangs}\n"),
    }
    (tmp_path / "hello.py").write_text(texts[where])
    with (tmp_path / "printed").open("wb") as printed:
        command = subprocess.Popen(
            [sys.executable, "-m", "seqd", "plugins", "check", str(tmp_path / "hello.py")],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
        )
    try:
        wait_until(lambda: told.exists() and told.read_text().endswith("."), "the plugin hangs")
        child = int(told.read_text().removesuffix("."))
    finally:
        command.kill()
        command.wait()

    try:
        wait_until(lambda: not is_alive(child), "the child has ended", timeout_s=10)
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


@pytest.mark.slow
def test_what_a_model_declares_for_its_checks_is_read_or_refused(tmp_path: Path):
    line = '    summary = "Tells greetings from other texts."\n'
    path = tmp_path / "seqd_hello.py"

    def with_checks(declared: str) -> list[CheckResult]:
        printing = SOUND.replace(
            "        outcomes = []\n", "        print()\n        outcomes = []\n"
        )
        path.write_text(printing.replace(line, f"{line}    checks: ClassVar = {declared}\n"))
        report = check_plugin(sources_in(path)[0])
        return [one for one in report.results if one.state is not CheckState.DID_NOT_APPLY]

    expected = with_checks('{"texts": ["hello", "bye", "good"], "expected_failures": {"E1": "so"}}')
    (refused,) = with_checks('{"txets": []}')

    states = {result.id: (result.state, result.why) for result in expected}
    assert states.pop("E1") == (CheckState.EXPECTED_FAILURE, "so")
    assert {state for state, _ in states.values()} == {CheckState.PASSED}
    assert refused.id == "L1"
    assert refused.seen.startswith("model 'hello': its `checks` cannot be read: txets")


@pytest.mark.slow
def test_a_sound_plugin_without_training_passes_all_checks_that_apply(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "seqd_hello.py").write_text(SOUND)

    ended = here(capsys, "plugins", "check", str(tmp_path / "seqd_hello.py"))

    assert ended.status == 0, ended.out + ended.err
    assert ended.out == (
        "hello: 23 checks ran: 23 passed, 0 failed; 14 did not apply (no task of its own, it "
        "streams nothing, no task has a bound, no files, no train)\n"
    )


#: What a busy machine does: a process has to wait for a processor, once.
WAITS = """
    late = [0.5]

    def cost_tokens(self, text):
        if len(text) > 500_000 and self.late:
            time.sleep(self.late.pop())
        return len(text)

    def warm_up"""


def test_what_a_plugin_waits_for_a_processor_is_no_cost_of_its_own(tmp_path: Path):
    path = tmp_path / "seqd_hello.py"
    path.write_text("import time\n" + SOUND.replace("\n    def warm_up", WAITS))
    (source,) = sources_in(path)

    with Run(source, PluginExamples(), None, 20) as run:
        results = run.part("hello", Part.BUILT_IN, {"M4"})

    assert {result.id: (result.state, result.seen) for result in results} == {
        "P1": (CheckState.PASSED, ""),
        "M4": (CheckState.PASSED, ""),
    }


@pytest.mark.slow
def test_a_cost_that_takes_a_third_of_the_limit_each_time_is_told_as_too_long(tmp_path: Path):
    path = tmp_path / "seqd_hello.py"
    slow = WAITS.replace("self.late.pop()", "2.5")
    path.write_text("import time\n" + SOUND.replace("\n    def warm_up", slow))
    (source,) = sources_in(path)

    with Run(source, PluginExamples(), None, 6) as run:
        results = run.part("hello", Part.BUILT_IN, {"M4"})

    seen = {result.id: result.seen for result in results}
    said = r"cost_tokens takes \d\.\d\d s for a text of a million characters"
    assert re.fullmatch(said, seen["M4"]), seen


@pytest.mark.slow
def test_a_model_that_needs_files_is_checked_with_those_that_are_given(tmp_path: Path):
    source = SOUND.replace('    name = "hello"\n', '    name = "hello"\n    needs_weights = True\n')
    (tmp_path / "seqd_hello.py").write_text(source)
    files = tmp_path / "files"
    files.mkdir()
    (files / "words.json").write_text("[]")
    plugin = sources_in(tmp_path / "seqd_hello.py")[0]

    without = check_plugin(plugin)
    given = check_plugin(plugin, version_folder=files)

    reasons = {result.why for result in without.results if result.part == Part.FOLDER}
    assert reasons == {"no version to serve: give its folder with --version-folder"}
    served = {one.id: one.state for one in given.results if one.part == Part.FOLDER}
    assert served["V1"] is served["B1"] is CheckState.PASSED
    assert given.failed == []


def test_a_plugin_that_cannot_be_loaded_fails_with_its_line_and_status_1(
    capsys: pytest.CaptureFixture[str],
):
    path = ZOO / "raises_on_import.py"

    ended = here(capsys, "plugins", "check", str(path), "--json")

    assert ended.status == 1, ended.err
    (report,) = json.loads(ended.out)["reports"]
    (result,) = report["results"]
    assert (result["id"], result["state"], result["place"]["line"]) == ("L1", "failed", 3)
    assert result["seen"].startswith(
        "RuntimeError: libfoo 2 is needed, found libfoo 1 (raises_on_import.py, line 3, in "
        "<module>)."
    )
    assert report["summary"] == "1 check ran: 0 passed, 1 failed"


def test_what_names_no_plugin_is_a_mistake_of_the_caller(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    unknown = here(capsys, "plugins", "check", "markow")
    folder = here(capsys, "plugins", "check")

    assert (unknown.status, unknown.out) == (2, "")
    assert unknown.err.startswith(
        "error[unknown_plugin]: no plugin or model named 'markow', and no folder or .py file of "
        "that name. Plugins here: "
    )
    assert unknown.err.endswith("Did you mean 'markov'?\n")
    assert (folder.status, folder.err) == (
        2,
        f"error[unknown_plugin]: {tmp_path} has no pyproject.toml. `seqd plugins new NAME` writes "
        "a plugin with one; a plugin in one file is given by that file.\n",
    )


AUTHORS_TEST = '''"""An author's test."""

import seqd_hello

from seqd.testing import PluginChecks


class TestHello(PluginChecks):
    plugin = seqd_hello
    expected_failures = {"E1": "it greets"}
'''


@pytest.mark.slow
def test_an_authors_test_has_a_test_for_each_check_with_skips_and_expected_failures(
    tmp_path: Path,
):
    greeting = SOUND.replace(
        "        outcomes = []\n", '        print("hello")\n        outcomes = []\n'
    )
    (tmp_path / "seqd_hello.py").write_text(greeting)
    (tmp_path / "test_hello.py").write_text(AUTHORS_TEST)

    program = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-rxs", "-p", "no:cacheprovider", "."],
        cwd=tmp_path,
        env=clean_environment(PYTHONPATH=python_path(tmp_path)),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert program.returncode == 0, program.stdout
    assert "22 passed, 14 skipped, 1 xfailed" in program.stdout
    assert "XFAIL test_hello.py::TestHello::test_plugin[hello-built-in-E1] - it greets" in (
        program.stdout
    )
    assert "no train" in program.stdout
