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

import broken_plugins
from checkout import python_path
from cli_builders import clean_environment, here
from seqd.local.endpoint import is_alive
from seqd.models.source_folders import read_source
from seqd.testing.checks.catalog import Part
from seqd.testing.checks.examples import PluginExamples
from seqd.testing.checks.report import CheckResult, CheckState, Report
from seqd.testing.checks.running import Run, check_plugin
from worker_fixtures import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

ZOO = broken_plugins.folder()

#: By which check each is found, the beginning of what was seen, and the function that is to blame.
FOUND = {
    "returns_too_few": ("B1", "classify returns 4 outcomes for 7 items", "classify"),
    "gives_nan": (
        "B1",
        "The model plugin gave a Classification that no result can hold: score is nan",
        "classify",
    ),
    "wrong_order": ("B4", "classify returns the outcome of another item in the pla", "classify"),
    "ignores_stop": ("S1", "classify of 3 items never asks context.stop_requested()", "classify"),
    "leaks": ("M2", "resident memory grows by 1", "classify"),
    "prints": ("E1", r"it prints 'classifying 5 texts\n'", "classify"),
    "reseeds": ("E2", "it draws from, or seeds, the shared state of random", "classify"),
    "forks": ("E4", "it leaves the process ", "classify"),
    "forks_and_returns": ("E4", "it forks this process, and the copy comes back", "classify"),
    "hangs_in_c": ("P1", "it hung for more than 15 s", "classify"),
}


SOUND = broken_plugins.sound_plugin("hello")

DECORATED = '''"""A decorated function."""

import random

from seqd.plugin import BadItem, Label, classifier


@classifier("hello", summary="Greets.", classes=["greeting", "other"])
def hello(text: str) -> Label:
    """Label a text."""
    {line}
    return Label("greeting" if "hello" in text.lower() else "other", score)
'''


def a_plugin(folder: Path, source: str) -> Path:
    """Write the plugin `hello` into a folder."""
    path = folder / "seqd_hello.py"
    path.write_text(source)
    return path


def results_of(path: Path, ids: set[str], limit_s: float = 240) -> dict[str, CheckResult]:
    """Run some checks of the plugin in a file."""
    (source,) = read_source(path)
    with Run(source, PluginExamples(), None, limit_s) as run:
        model = path.stem.removeprefix("seqd_")
        return {one.id: one for one in run.part(model, Part.BUILT_IN, ids)}


def failed_of(results: dict[str, CheckResult]) -> dict[str, CheckResult]:
    return {name: one for name, one in results.items() if one.state is CheckState.FAILED}


#: One for each way in which a check works is in `make test-all`: what comes back, a stop, memory,
#: copies of the process, and a call that never ends.
IN_CI = ("returns_too_few", "ignores_stop", "leaks", "forks_and_returns", "hangs_in_c")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in IN_CI else pytest.mark.long) for name in FOUND],
)
def test_a_plugin_that_misbehaves_is_found_by_the_check_with_its_line(name: str):
    check, seen, function = FOUND[name]

    result = results_of(ZOO / f"{name}.py", {check}, 15 if name == "hangs_in_c" else 240)[check]

    assert result.state is CheckState.FAILED
    assert result.seen.startswith(seen)
    assert result.cure.endswith(".")
    assert Path(result.place.file).name == f"{name}.py"
    assert result.place.function.endswith(function)
    if name == "hangs_in_c":
        innermost, outermost = result.stack
        assert innermost.endswith(", in match")
        assert "hangs_in_c.py:" in outermost and outermost.endswith(", in classify")


def test_a_version_that_was_saved_as_another_is_one_finding():
    report = check_plugin(read_source(ZOO / "saves_transposed.py")[0])

    (result,) = report.failed
    assert result.id == "V1"
    assert result.seen.startswith("What saves_transposed has saved is not what it has")
    assert result.place.function.endswith("load")
    reasons = {result.why for result in report.results if result.part == Part.TRAINED}
    assert reasons == {"V1 failed: what is saved is not what was trained"}


def test_a_plugin_whose_first_call_fails_is_checked_no_further():
    report = check_plugin(read_source(ZOO / "exits_at_run.py")[0])

    (result,) = report.failed
    assert (result.id, result.seen) == ("P1", "the process ended itself with exit status 3")
    assert result.cure.endswith(".")
    served = [result for result in report.results if result.part == Part.BUILT_IN]
    assert {result.why for result in served if result.id != "P1"} == {"P1 failed"}


def test_a_sound_plugin_passes_all_checks_that_apply(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """That Python compiles it for the first time opens nothing; a short reason is enough."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    short = 'score = 1.0\n    if not text.strip():\n        raise BadItem("It is blank.")'
    (tmp_path / "decorated").mkdir()
    decorated = a_plugin(tmp_path / "decorated", DECORATED.format(line=short))

    ended = here(capsys, "plugins", "check", str(a_plugin(tmp_path, SOUND)))

    assert ended.status == 0, ended.out + ended.err
    assert ended.out == (
        "hello: 22 checks ran: 22 passed, 0 failed; 13 did not apply (no task of its own, it "
        "streams nothing, no task has a bound, no files, no train)\n"
    )
    assert check_plugin(read_source(decorated)[0]).failed == []


def test_an_import_that_works_for_long_has_its_line(tmp_path: Path):
    path = a_plugin(tmp_path, f"import time\nwhile time.process_time() < 2: pass\n{SOUND}")

    with Run(read_source(path)[0], PluginExamples(), None, 60) as run:
        results = {result.id: result for result in run.describe().results}

    assert results["I2"].state is CheckState.FAILED
    assert re.fullmatch(r"it takes \d+\.\d s(; most of it: .*)?", results["I2"].seen)
    assert (Path(results["I2"].place.file).name, results["I2"].place.line) == ("seqd_hello.py", 2)


def test_a_failure_is_printed_as_soon_as_it_is_found(tmp_path: Path):
    may_end = tmp_path / "may_end"
    waits = f"""    def cost_tokens(self, text):
        while not os.path.exists({str(may_end)!r}):
            time.sleep(0.02)
        return 1

    def warm_up"""
    wrong = SOUND.replace('"long" if', '"farewell" if True or').replace("    def warm_up", waits)
    command = subprocess.Popen(
        [sys.executable, "-m", "seqd", "plugins", "check", str(a_plugin(tmp_path, wrong))],
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


@pytest.mark.parametrize(
    ("check", "sound", "mistake", "seen"),
    [
        (
            "B3",
            "one(item.text)",
            "one(item.text + ' ' * len(items))",
            r"classify of '.+' gives .+ in a batch of \d, and .+ in one of 9",
        ),
        (
            "S2",
            "if context",
            "if item is items[0] and context",
            r"classify of [\d,]+ items asks context\.stop_requested\(\) 1 times",
        ),
    ],
)
def test_a_call_that_differs_by_its_batch_or_asks_once_is_found(
    tmp_path: Path, check: str, sound: str, mistake: str, seen: str
):
    path = a_plugin(tmp_path, SOUND.replace(sound, mistake))

    result = results_of(path, {check})[check]

    assert result.state is CheckState.FAILED
    assert re.fullmatch(seen, result.seen)
    assert result.place.function.endswith("classify")


def test_a_call_that_asks_by_time_and_is_quicker_the_second_time_is_sound(tmp_path: Path):
    source = SOUND.replace(
        "outcomes = []", "outcomes = []; pace = next(paces) if len(items) > 1_000 else 1"
    ).replace("for item in items:", "for number, item in enumerate(items):")
    source = source.replace("if context", "if number % pace == 0 and context")
    paces = "paces = itertools.chain([1], itertools.repeat(20))\n\n\nclass Lengths"
    source = source.replace("class Lengths", f"import itertools\n\n{paces}")
    path = a_plugin(tmp_path, source)

    result = results_of(path, {"S2"})["S2"]

    assert result.state is CheckState.PASSED


def test_a_parameter_without_a_default_wants_a_value_to_check_with(tmp_path: Path):
    field = "pydantic.Field(max_length=3, description='A level.')"
    needing = (
        f"import pydantic\n\n\nclass Needing(PluginParameters):\n    level: str = {field}\n\n\n"
    )
    source = SOUND.replace("TaskSpec(PluginParameters)", "TaskSpec(Needing)")
    path = a_plugin(tmp_path, source.replace("class Lengths", f"{needing}class Lengths"))

    results = check_plugin(read_source(path)[0]).results

    (failed,) = [one for one in results if one.state is CheckState.FAILED]
    assert failed.seen == "classify needs the parameter 'level', which has no default"
    assert "{'parameters': {'classify': {'level': ...}}}" in failed.cure


def test_outcomes_of_chance_are_told_by_their_cause_and_the_line_that_draws(tmp_path: Path):
    layer = "def layer():\n    value = random.random()\n    return value\n"
    source = (
        f"import random\n\n{layer}\n{SOUND.replace('score=1 / (1 + len(text))', 'score=layer()')}"
    )

    (tmp_path / "space").mkdir()  # a namespace package, and no module of the entry point's
    (tmp_path / "space" / "models.py").write_text(source)
    path = a_plugin(tmp_path, "from space.models import seqd_register_models\n")

    results = results_of(path, {"D1", "B2", "B3", "B4", "W1", "D2", "E2"})

    failed = failed_of(results)
    assert list(failed) == ["D1", "E2"]
    assert {result.why for result in results.values() if not result.ran} == {"D1 failed"}
    assert Path(failed["D1"].place.file).name == "models.py"
    assert failed["D1"].seen == "classify gives other outcomes when it is called a second time"
    assert (failed["E2"].place.line, failed["E2"].place.function) == (4, "layer")
    assert "(seed=, random_state=)" in failed["E2"].cure


@pytest.mark.parametrize(("by", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_child_ends_with_a_check_that_is_killed_or_interrupted_and_is_no_finding(
    tmp_path: Path, by: signal.Signals, status: int
):
    told, printed = tmp_path / "pid", tmp_path / "printed"
    hangs = f"open({str(told)!r}, 'w').write(f'{{os.getpid()}}.'); time.sleep(600)"
    path = a_plugin(tmp_path, SOUND.replace("outcomes = []", hangs))
    with printed.open("wb") as output:
        command = subprocess.Popen(
            [sys.executable, "-m", "seqd", "plugins", "check", path],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: told.exists() and told.read_text().endswith("."), "the plugin hangs")
        child = int(told.read_text().removesuffix("."))
    finally:
        command.send_signal(by)
        ended = command.wait()

    assert (ended, printed.read_text()) == (status, "")
    try:
        wait_until(lambda: not is_alive(child), "the child has ended")
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def test_what_a_model_declares_for_its_checks_is_read_or_refused(tmp_path: Path):
    def with_checks(declared: str) -> Report:
        printing = SOUND.replace("outcomes = []", "outcomes = []; print()")
        declaring = printing.replace("    tasks =", f"    checks = {declared}\n    tasks =")
        return check_plugin(read_source(a_plugin(tmp_path, declaring))[0])

    expected = with_checks('{"texts": ["hello", "bye", "good"], "expected_failures": {"E1": "so"}}')
    (refused,) = with_checks('{"txets": []}').results

    states = {
        result.id: (result.state, result.why)
        for result in expected.results
        if result.state is not CheckState.DID_NOT_APPLY
    }
    assert "21 passed, 0 failed, 1 failed as expected; 13 did" in expected.closing_line()
    assert states.pop("E1") == (CheckState.EXPECTED_FAILURE, "so")
    assert {state for state, _ in states.values()} == {CheckState.PASSED}
    assert refused.id == "L1"
    assert refused.seen.startswith("model 'hello': its `checks` cannot be read: txets")
    assert "Known names: texts, records, data, parameters, expected_failures." in refused.seen


def test_a_cost_that_takes_a_third_of_the_limit_is_too_long(tmp_path: Path):
    costs = """    def cost_tokens(self, text):
        if len(text) > 500_000:
            time.sleep(2.5)
        return len(text)

    def warm_up"""

    path = a_plugin(tmp_path, SOUND.replace("    def warm_up", costs))

    results = results_of(path, {"M4"}, 6)

    assert results["P1"].state is CheckState.PASSED
    assert results["M4"].state is CheckState.FAILED
    seen = r"cost_tokens takes \d+\.\d\d s for a text of a million characters"
    assert re.fullmatch(seen, results["M4"].seen)


def test_a_model_that_needs_files_is_checked_with_those_that_are_given(tmp_path: Path):
    needs = SOUND.replace("    tasks =", "    needs_weights = True\n    tasks =")
    plugin = read_source(a_plugin(tmp_path, needs))[0]
    files = tmp_path / "files"
    files.mkdir()
    (files / "words.json").write_text("[]")

    without = check_plugin(plugin)
    given = check_plugin(plugin, version_folder=files, limit_s=240.0)

    assert given.failed == []
    reasons = {result.why for result in without.results if result.part == Part.FOLDER}
    assert reasons == {"no version to serve: give its folder with --version-folder"}
    served = {one.id: one.state for one in given.results if one.part == Part.FOLDER}
    assert served["V1"] is served["B1"] is CheckState.PASSED


def test_a_plugin_that_cannot_be_loaded_fails_with_its_line_and_status_1(
    capsys: pytest.CaptureFixture[str],
):
    ended = here(capsys, "plugins", "check", str(ZOO / "raises_on_import.py"), "--json")

    assert ended.status == 1, ended.err
    (report,) = json.loads(ended.out)["reports"]
    (result,) = report["results"]
    assert (result["id"], result["state"], result["place"]["line"]) == ("L1", "failed", 3)
    assert result["seen"].startswith("RuntimeError: libfoo 2 is needed, found libfoo 1 (raises_on")
    assert report["summary"] == "1 check ran: 0 passed, 1 failed"


AUTHORS_TEST = '''"""An author's test."""

import seqd_hello

from seqd.testing import PluginChecks


class TestHello(PluginChecks):
    plugin = seqd_hello
    expected_failures = {"E1": "it greets"}
'''


def authors_tests(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run the author's tests of the plugin in a folder."""
    (folder / "test_hello.py").write_text(AUTHORS_TEST)
    return subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-rxs", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env=clean_environment(PYTHONPATH=python_path(folder)),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


CHANGING = (
    DECORATED.format(line='score = 1.0; print("hello")')
    + '''

import sys

if "pytest" in sys.modules:

    @classifier("extra", summary="Is there in some processes.")
    def extra(text: str) -> Label:
        """Label a text."""
        return Label("extra")
'''
)


def test_an_authors_test_expects_failures_and_fails_for_a_check_that_was_not_run(tmp_path: Path):
    a_plugin(tmp_path, CHANGING)

    program = authors_tests(tmp_path, "-k", "extra-description or hello-built-in-E1")

    assert program.returncode == 1, program.stdout
    assert "was not run: the process of the checks found no model 'extra'" in program.stdout
    assert "XFAIL test_hello.py::TestHello::test_plugin[hello-built-in-E1] - it greets" in (
        program.stdout
    )
