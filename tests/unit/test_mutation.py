"""The mutation script on a toy: it tells what a test notices from what none does, and goes on."""

import ast

import pytest

from checkout import ROOT
from mutation.__main__ import PROJECT
from mutation.edits import Edit
from mutation.lua_edits import LuaSource
from mutation.places import Place
from mutation.project import Area, Project
from mutation.python_edits import PythonSource
from mutation.run import Outcome, Run

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


#: Nobody asks for 17 and 18 years.
TESTS = """
import pytest
from toy import is_adult, is_child

def test_age():
    assert is_adult(30) and not is_adult(3)

@pytest.mark.parametrize("argument", ["a word"])
def test_child(argument):
    assert is_child(3)
"""

CONFTEST = """
import hypothesis
hypothesis.settings.register_profile("quick")
"""

SETTINGS = """
[tool.pytest.ini_options]
pythonpath = ["code"]
addopts = "--strict-markers"
markers = ["slow", "second_server", "smoke"]
"""


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "toy"
    files = {"code/toy.py": MODULE, "test_toy.py": TESTS,
             "conftest.py": CONFTEST, "pyproject.toml": SETTINGS}  # fmt: skip
    (root / "code").mkdir(parents=True)
    for name, text in files.items():
        (root / name).write_text(text)
    return Project(root, {"toy": Area(("code/*.py",), ("test_*.py",))})


def edits(
    source: str, kind: type[PythonSource] | type[LuaSource] = PythonSource
) -> list[tuple[str, str, str]]:
    """Return the edits of a source as: what kind, what was there, what is there instead."""
    text = source.encode()
    found = kind(text).edits()
    return [(edit.rule, text[edit.start : edit.end].decode(), edit.new.decode()) for edit in found]


def place(before: str, new: str) -> Place:
    """Return the place at which a text of the toy is replaced."""
    start = MODULE.index(before)
    edit = Edit(start, start + len(before), new.encode(), "toy")
    return Place("toy", "code/toy.py", MODULE.encode(), edit)


@pytest.mark.slow
@pytest.mark.long
def test_what_a_test_notices_and_what_none_does_are_told_apart(project, tmp_path):
    places = [
        place("return True", "return None"),
        place("years < ", "years <= "),
        place("return not is_adult", "return is_adult"),
        place("18", "17"),
    ]
    copies = [project.copy_to(tmp_path / name) for name in ("copy", "another")]
    verdicts_file = tmp_path / "verdicts.jsonl"

    verdicts = list(Run(copies, verdicts_file).over(places))

    assert sorted((verdict.outcome, verdict.by) for verdict in verdicts) == [
        (Outcome.CAUGHT, "test_toy.py::test_age"),
        (Outcome.CAUGHT, "test_toy.py::test_child[a word]"),
        (Outcome.SURVIVED, ""),
        (Outcome.SURVIVED, ""),
    ]
    for copy in copies:
        assert (copy.root / "code/toy.py").read_text() == MODULE
    assert list(Run(copies, verdicts_file).over(places)) == []
    again = Run(copies, verdicts_file, again=True).over(places)
    assert {verdict.outcome for verdict in again} == {Outcome.SURVIVED}


def test_each_area_has_sources_and_tests_and_those_named_like_a_source_come_first():
    for area in PROJECT.areas:
        assert PROJECT.sources(area)
        assert PROJECT.tests_of(area, "")

    claim = PROJECT.tests_of("ledger-lua", "daemon/seqd/ledger/lua/claim.lua")

    assert claim[0] == "tests/integration/test_ledger_claim.py"
    assert claim[-1] == "tests/model/test_model.py"


def test_a_module_is_broken_as_somebody_might_break_it():
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


def test_words_for_people_are_left_alone():
    assert (
        edits('"""A module."""\nlog.info("a %d", 1)\ndef f(a: int = None) -> "b":\n    "c"\n') == []
    )


def test_a_script_is_broken_as_somebody_might_break_it():
    assert edits("if not a then\n  f(a, b)\n  return a, -1 -- 1\nend", LuaSource) == [
        ("negated condition", "not", ""),
        ("negated condition", "not a", "not (not a)"),
        ("removed statement", "f(a, b)", ""),
        ("swapped arguments", "a, b", "b, a"),
        ("return value", "a, -1", "nil"),
        ("constant", "1", "2"),
    ]


def test_every_module_and_script_can_be_broken_and_stay_a_program():
    daemon = ROOT / "daemon" / "seqd"
    source = (daemon / "ledger" / "work.py").read_bytes()

    for edit in PythonSource(source).edits()[::25]:
        ast.parse(edit.apply(source))
    for path in (daemon / "ledger" / "lua").rglob("*.lua"):
        assert LuaSource(path.read_bytes()).edits()
