"""The mutation script on a toy: it tells what a test notices from what none does, and goes on."""

import ast
from pathlib import Path

import pytest

from checkout import ROOT
from mutation.coverage import Coverage, Measured
from mutation.edits import Edit
from mutation.lua_edits import LuaSource
from mutation.places import Place, all_places, draw
from mutation.project import Project, run_tests
from mutation.python_edits import PythonSource
from mutation.report import show
from mutation.run import Outcome, Run, Verdict
from seqd.local.redis_binaries import find_server_binaries

MODULE = '''
"""A toy."""

def is_adult(years):
    if years < 18:
        return False
    return True
'''

SCRIPT = """
-- A toy.
local n = redis.call('INCR', KEYS[1])
if n > 2 and ARGV[1] ~= '' then
  redis.call('SET', KEYS[1], 0)
end
return n
"""

#: Nobody asks for 17 and 18 years, nor for what is counted beyond two.
TESTS = """
from pathlib import Path
from toy import is_adult

def test_age():
    assert is_adult(30) and not is_adult(3)

def test_count(redis):
    assert redis.eval(Path("code/toy.lua").read_text(), 1, "toy", "a") == 1
"""

#: Of its tests: of the module, and of the script.
NAMES = ("test_age", "test_count")

#: A server without the tests' fixtures, whose imports take longer than all else here.
CONFTEST = f"""
import subprocess, time
import hypothesis, pytest
from redis import Redis

hypothesis.settings.register_profile("quick")

@pytest.fixture
def redis(tmp_path):
    server = subprocess.Popen(
        [{str(find_server_binaries()[0].path)!r}, "--port", "0", "--unixsocket", "socket",
         "--logfile", "redis.log"], cwd=tmp_path)
    while not (tmp_path / "socket").exists():
        time.sleep(0.01)
    with Redis(unix_socket_path=str(tmp_path / "socket")) as client:
        yield client
    server.terminate()
    server.wait()
"""

SETTINGS = """
[tool.pytest.ini_options]
pythonpath = ["code"]
addopts = "--strict-markers"
markers = ["slow", "serial", "network", "second_server", "smoke"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "toy"
    files = {"code/toy.py": MODULE, "code/toy.lua": SCRIPT, "test_toy.py": TESTS,
             "conftest.py": CONFTEST, "pyproject.toml": SETTINGS}  # fmt: skip
    (root / "code").mkdir(parents=True)
    for name, text in files.items():
        (root / name).write_text(text)
    return Project(root, {"toy": "code"}, "code", ("test_*.py",))


def edits(source: str) -> list[tuple[str, str, str]]:
    """Return the edits of a module as: what kind, what was there, what is there instead."""
    text = source.encode()
    found = PythonSource(text).edits()
    return [(edit.rule, text[edit.start : edit.end].decode(), edit.new.decode()) for edit in found]


def edits_of_script(source: str) -> list[tuple[str, str, str]]:
    text = source.encode()
    found = LuaSource(text).edits()
    return [(edit.rule, text[edit.start : edit.end].decode(), edit.new.decode()) for edit in found]


def place(project: Project, path: str, before: str, new: str) -> Place:
    """Return the place at which a text is replaced."""
    source = (project.root / path).read_bytes()
    start = source.index(before.encode())
    edit = Edit(start, start + len(before), new.encode(), "toy")
    return Place("toy", path, source, edit)


@pytest.mark.slow
@pytest.mark.processes
def test_what_a_test_notices_and_what_none_does_are_told_apart(
    project: Project, tmp_path: Path
) -> None:
    places = [
        place(project, "code/toy.py", "return True", "return None"),
        place(project, "code/toy.lua", "n > 2", "n > 1"),
    ]
    coverage = Coverage(project, tmp_path)
    entered = {block: [f"test_toy.py::{test}"] for place, test in zip(places, NAMES, strict=True)
               for block in place.blocks()}  # fmt: skip
    seconds = {f"test_toy.py::{test}": 0.1 for test in NAMES}
    coverage.files = {"test_toy.py": Measured("", seconds, False, entered)}
    copy = project.copy_to(tmp_path / "copy")

    verdicts = list(Run(copy, coverage, tmp_path / "verdicts.jsonl").over(places))

    assert [(verdict.outcome, verdict.by) for verdict in verdicts] == [
        (Outcome.CAUGHT, "test_toy.py::test_age"),
        (Outcome.SURVIVED, ""),
    ]


@pytest.mark.slow
@pytest.mark.processes
def test_the_tests_of_a_place_are_found_by_what_they_enter_and_no_place_is_broken_twice(
    project: Project, tmp_path: Path
) -> None:
    coverage = Coverage(project, tmp_path)
    assert list(coverage.measure()) == ["test_toy.py"]
    places = [
        place(project, "code/toy.py", "< 18", "<= 18"),
        place(project, "code/toy.lua", "return n", "return nil"),
        place(project, "code/toy.lua", "redis.call('SET', KEYS[1], 0)", ""),
    ]
    copy = project.copy_to(tmp_path / "copy")

    verdicts = list(Run(copy, coverage, tmp_path / "verdicts.jsonl").over(places))

    assert [(verdict.outcome, verdict.by, verdict.related) for verdict in verdicts] == [
        (Outcome.SURVIVED, "", 1),
        (Outcome.CAUGHT, "test_toy.py::test_count", 1),
        (Outcome.UNREACHED, "", 0),
    ]
    for path in ("code/toy.py", "code/toy.lua"):
        assert (copy.root / path).read_bytes() == (project.root / path).read_bytes()
    assert list(Coverage(project, tmp_path).measure()) == []
    assert list(Run(copy, coverage, tmp_path / "verdicts.jsonl").over(places)) == []


def test_a_module_is_broken_as_somebody_might_break_it() -> None:
    assert edits("def f(a, b):\n    if a < b and not b:\n        g(a, b, key=1)\n") == [
        ("negated condition", "a < b and not b", "not (a < b and not b)"),
        ("boundary", "<", "<="),
        ("and/or", "and", "or"),
        ("removed statement", "g(a, b, key=1)", "pass"),
        ("swapped arguments", "a, b", "b, a"),
        ("dropped argument", "key=1", ""),
        ("constant", "1", "0"),
        ("constant", "1", "2"),
    ]


def test_words_for_people_are_left_alone() -> None:
    assert (
        edits('"""A module."""\nlog.info("a %d", 1)\ndef f(a: int = None) -> "b":\n    "c"\n') == []
    )


def test_a_script_is_broken_as_somebody_might_break_it() -> None:
    assert edits_of_script("if not a then\n  f(a, b)\n  return a, -1 -- 1\nend") == [
        ("negated condition", "not", ""),
        ("negated condition", "not a", "not (not a)"),
        ("removed statement", "f(a, b)", ""),
        ("swapped arguments", "a, b", "b, a"),
        ("return value", "a, -1", "nil"),
        ("constant", "1", "2"),
    ]


def test_the_same_seed_draws_the_same_places_and_more_begin_with_them(project: Project) -> None:
    lines = all_places(project)

    few, more, same, other = (
        [place.id for place in draw(lines, count, seed)]
        for count, seed in ((2, 4), (5, 4), (5, 4), (5, 5))
    )

    assert more[:2] == few
    assert more == same
    assert more != other


def test_every_module_and_script_can_be_broken_and_stay_a_program() -> None:
    daemon = ROOT / "daemon" / "seqd"
    source = (daemon / "ledger" / "work.py").read_bytes()

    for edit in PythonSource(source).edits()[::25]:
        ast.parse(edit.apply(source))
    for path in (daemon / "ledger" / "lua").rglob("*.lua"):
        assert LuaSource(path.read_bytes(), is_shared=path.parent.name == "shared").edits()


@pytest.mark.slow
@pytest.mark.processes
def test_tests_that_take_too_long_are_ended_with_all_that_they_have_started(
    project: Project, tmp_path: Path
) -> None:
    (project.root / "test_toy.py").write_text(
        "import os, subprocess, time\n"
        "def test_slow(redis):\n"
        "    child = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        f"    open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "    time.sleep(60)\n"
    )

    ended = run_tests(project.root, ["test_toy.py"], 8.0)

    assert ended.status is None
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()


def test_the_report_has_the_share_that_was_caught_and_each_survivor_with_its_reason() -> None:
    def verdict(path: str, outcome: Outcome, by: str = "") -> Verdict:
        return Verdict(
            "1", "ledger", path, 7, "constant", "n > 2", "n > 3", outcome, by, 1, 2, 1.0, ""
        )

    verdicts = [verdict("a.py", Outcome.CAUGHT, "t"), verdict("b.lua", Outcome.SURVIVED)]

    text = show(verdicts, {("b.lua", "n > 2", "n > 3"): "two is never seen"})

    lines = text.splitlines()
    assert lines[0].startswith("area ")
    assert lines[0].endswith(
        "places  caught  timed out  survived  unreached  accepted  share caught"
    )
    assert [line.split() for line in lines[1:4]] == [
        ["ledger", "1", "1", "0", "0", "0", "0", "100%"],
        ["ledger,", "Lua", "1", "0", "0", "1", "0", "1", "0%"],
        ["all", "2", "1", "0", "1", "0", "1", "50%"],
    ]
    assert text.endswith(
        "b.lua:7 survived (constant; 1 of 2 tests) - two is never seen\n  - n > 2\n  + n > 3"
    )
