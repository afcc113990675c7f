"""The mutation script on a toy: it tells what a test notices from what none does, and goes on."""

import ast
from pathlib import Path

import pytest

from checkout import ROOT
from mutation.__main__ import PROJECT
from mutation.edits import Edit
from mutation.lua_edits import LuaSource
from mutation.places import Place
from mutation.project import Area, Project
from mutation.python_edits import PythonSource
from mutation.run import Outcome, Run
from seqd.local.redis_binaries import find_server_binaries

MODULE = '''
"""A toy."""

MAJORITY = 18

def is_adult(years):
    if years < MAJORITY:
        return False
    return True

def is_child(years):
    return not is_adult(years)
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
import pytest
from toy import is_adult

def test_age():
    assert is_adult(30) and not is_adult(3)

@pytest.mark.parametrize("argument", ["a word"])
def test_count(redis, argument):
    assert redis.eval(Path("code/toy.lua").read_text(), 1, "toy", argument) == 1
"""

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
markers = ["slow", "second_server", "smoke"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "toy"
    files = {"code/toy.py": MODULE, "code/toy.lua": SCRIPT, "test_toy.py": TESTS,
             "conftest.py": CONFTEST, "pyproject.toml": SETTINGS}  # fmt: skip
    (root / "code").mkdir(parents=True)
    for name, text in files.items():
        (root / name).write_text(text)
    return Project(root, {"toy": Area(("code/*.py", "code/*.lua"), ("test_*.py",))})


def edits(
    source: str, kind: type[PythonSource] | type[LuaSource] = PythonSource
) -> list[tuple[str, str, str]]:
    """Return the edits of a source as: what kind, what was there, what is there instead."""
    text = source.encode()
    found = kind(text).edits()
    return [(edit.rule, text[edit.start : edit.end].decode(), edit.new.decode()) for edit in found]


def place(project: Project, path: str, before: str, new: str) -> Place:
    """Return the place at which a text is replaced."""
    source = (project.root / path).read_bytes()
    start = source.index(before.encode())
    edit = Edit(start, start + len(before), new.encode(), "toy")
    return Place("toy", path, source, edit)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.processes
def test_what_a_test_notices_and_what_none_does_are_told_apart(
    project: Project, tmp_path: Path
) -> None:
    places = [
        place(project, "code/toy.py", "return True", "return None"),
        place(project, "code/toy.py", "years < ", "years <= "),
        place(project, "code/toy.lua", "return n", "return nil"),
        place(project, "code/toy.lua", "redis.call('SET', KEYS[1], 0)", ""),
    ]
    copies = [project.copy_to(tmp_path / name) for name in ("copy", "another")]
    verdicts_file = tmp_path / "verdicts.jsonl"

    verdicts = list(Run(copies, verdicts_file).over(places))

    assert sorted((verdict.outcome, verdict.by) for verdict in verdicts) == [
        (Outcome.CAUGHT, "test_toy.py::test_age"),
        (Outcome.CAUGHT, "test_toy.py::test_count[a word]"),
        (Outcome.SURVIVED, ""),
        (Outcome.SURVIVED, ""),
    ]
    for path in ("code/toy.py", "code/toy.lua"):
        for copy in copies:
            assert (copy.root / path).read_bytes() == (project.root / path).read_bytes()
    assert list(Run(copies, verdicts_file).over(places)) == []
    again = Run(copies, verdicts_file, again=True).over(places)
    assert {verdict.outcome for verdict in again} == {Outcome.SURVIVED}


def test_each_area_has_sources_and_tests_and_those_named_like_a_source_come_first() -> None:
    for area in PROJECT.areas:
        assert PROJECT.sources(area)
        assert PROJECT.tests_of(area, "")

    claim = PROJECT.tests_of("ledger-lua", "daemon/seqd/ledger/lua/claim.lua")

    assert claim[0] == "tests/integration/test_ledger_claim.py"
    assert claim[-1] == "tests/model/test_model.py"


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
    assert edits("if not a then\n  f(a, b)\n  return a, -1 -- 1\nend", LuaSource) == [
        ("negated condition", "not", ""),
        ("negated condition", "not a", "not (not a)"),
        ("removed statement", "f(a, b)", ""),
        ("swapped arguments", "a, b", "b, a"),
        ("return value", "a, -1", "nil"),
        ("constant", "1", "2"),
    ]


def test_every_module_and_script_can_be_broken_and_stay_a_program() -> None:
    daemon = ROOT / "daemon" / "seqd"
    source = (daemon / "ledger" / "work.py").read_bytes()

    for edit in PythonSource(source).edits()[::25]:
        ast.parse(edit.apply(source))
    for path in (daemon / "ledger" / "lua").rglob("*.lua"):
        assert LuaSource(path.read_bytes()).edits()
