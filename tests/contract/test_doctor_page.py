"""The page on `seqd doctor` and the code have the same findings, severities and runbook pages."""

import ast
import re
from pathlib import Path

from seqd.doctor.findings import KINDS

#: The pages of the runbook, docker/RUNBOOK.md.
RUNBOOK = {
    "failover", "redis-read-only", "redis-full", "redis-gone", "host-cut-off", "sick-gpu", "poison",
    "hang", "out-of-memory", "disk-full", "clock", "corrupt-model", "crash-loop", "mixed-versions",
    "plugin-missing", "noisy-tenant", "slow-consumer", "backlog-grows",
}  # fmt: skip


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
    anchors |= set(re.findall(r'UnfitCode\.\w+: "([a-z-]+)",', fleet))

    assert anchors <= RUNBOOK


def test_each_kind_is_found_by_some_check(root: Path) -> None:
    named = {
        node.value
        for path in (root / "daemon" / "seqd" / "doctor").glob("*.py")
        if path.name != "findings.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }

    assert set(KINDS) - named == set()
