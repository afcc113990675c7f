"""Every Python that the project starts leaves the working folder off its path (`-P`, or `-I`)."""

import ast
import re
from pathlib import Path


def test_each_python_that_a_module_starts_is_told_so(sources):
    unsafe = [
        source.where(node.lineno)
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.List)
        and node.elts
        and ast.unparse(node.elts[0]) == "sys.executable"
        if not {"'-P'", "'-I'"} & {ast.unparse(part) for part in node.elts[1:]}
    ]

    assert unsafe == []


def test_each_module_that_the_makefile_runs_in_the_environment_is_run_so(root: Path):
    lines = (root / "Makefile").read_text(encoding="utf-8").splitlines()

    calls = [line for line in lines if re.search(r"\$\(BIN\)/python .*-m ", line)]

    assert len(calls) > 5
    assert [line for line in calls if "$(BIN)/python -P -m " not in line] == []
