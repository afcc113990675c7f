"""The page on `seqd doctor` and the code have the same findings, severities and runbook pages."""

import ast
import re
from pathlib import Path

from seqd.doctor.findings import KINDS

#: What the runbook has in backticks with hyphens, and is no finding: settings of Redis.
NO_FINDINGS = {"min-replicas-to-write", "down-after-milliseconds"}


def runbook(root: Path) -> str:
    return (root / "docker" / "RUNBOOK.md").read_text(encoding="utf-8")


def test_the_page_has_each_finding_as_the_code_has_it(root: Path) -> None:
    page = (root / "docker" / "doctor.md").read_text(encoding="utf-8")
    row = r"^\| `([a-z0-9-]+)` \| (\w+) \| .+ \| (.+) \| .+ \| (?:`([a-z-]+)`)? ?\|$"

    told = {found[0]: found[1:] for found in re.findall(row, page, re.M)}

    assert told == {
        name: (str(kind.severity), kind.why.rstrip("."), kind.anchor)
        for name, kind in KINDS.items()
    }


def test_each_page_of_the_runbook_that_a_finding_names_is_one_that_there_is(root: Path) -> None:
    anchors = {kind.anchor for kind in KINDS.values()} - {""}
    fleet = (root / "daemon" / "seqd" / "doctor" / "fleet.py").read_text(encoding="utf-8")
    anchors |= set(re.findall(r'(?:UnfitCode|DeathCause)\.\w+: "([a-z-]+)",', fleet))

    pages = {
        title.lower().replace(" ", "-") for title in re.findall("^## (.+)$", runbook(root), re.M)
    }
    assert anchors <= pages


def test_each_page_of_the_runbook_says_what_one_sees_how_it_is_named_and_what_to_do(root: Path):
    pages = re.findall(r"^## .+\n((?:(?!^## ).*\n)*)", runbook(root), re.M)

    for page in pages:
        for part in ("**You see**", "**Name the cause**", "**Do**", "**By itself**"):
            assert page.count(part) == 1, page
        (cause,) = re.findall(r"\*\*Name the cause\*\*.*?(?=\n- )", page, re.S)
        assert "`seqd " in cause, page
    assert len(pages) > 15


def test_each_finding_that_the_runbook_names_is_one_that_there_is(root: Path) -> None:
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", runbook(root))) - NO_FINDINGS

    assert len(named) > 15
    assert named <= KINDS.keys()


def test_each_kind_is_found_by_some_check(root: Path) -> None:
    named = {
        node.value
        for path in (root / "daemon" / "seqd" / "doctor").glob("*.py")
        if path.name != "findings.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }

    assert set(KINDS) - named == set()
