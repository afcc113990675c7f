"""Whatever a test starts runs the code that the test stands beside, not what is installed."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import ROOT, AnotherCheckout, python_path, require_checkout


def test_a_process_that_would_import_another_seqd_is_refused(tmp_path: Path):
    package = tmp_path / "seqd"
    package.mkdir()
    (package / "__init__.py").write_text("")
    shadowed = os.environ | {"PYTHONPATH": python_path(tmp_path)}

    with pytest.raises(AnotherCheckout) as refusal:
        require_checkout(shadowed)

    assert str(refusal.value) == (
        f"a process that is to be started imports seqd from {package / '__init__.py'}, and the "
        f"tests stand in {ROOT}. Start it with PYTHONPATH=checkout.python_path(…), or run the "
        "tests of that checkout."
    )


def test_a_run_in_which_another_seqd_has_been_imported_is_refused(tmp_path: Path):
    (tmp_path / "seqd").mkdir()
    (tmp_path / "seqd" / "__init__.py").write_text("")
    program = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; import seqd; "
        f"sys.path[:0] = [{str(ROOT / 'tests')!r}]; import checkout; checkout.use_checkout()"
    )

    ended = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True)

    assert ended.returncode == 1
    assert f"AnotherCheckout: this process imports seqd from {tmp_path}" in ended.stderr


def test_each_path_that_a_test_hands_to_a_process_has_the_checkout_on_it(sources_of_tests):
    """A path of a test's own would hide the checkout's code behind what is installed."""
    given = [
        (source.where(value.lineno), ast.unparse(value))
        for source in sources_of_tests
        if "PYTHONPATH" in source.text
        for node in source.nodes
        for value in _python_paths(node)
    ]

    assert len(given) > 5
    assert [(where, text) for where, text in given if "python_path(" not in text] == []


def _python_paths(node: ast.AST) -> list[ast.expr]:
    """Return what some source gives as PYTHONPATH: in a dict, a call or an assignment."""
    if isinstance(node, ast.Dict):
        keys = zip(node.keys, node.values, strict=True)
        return [value for key, value in keys if _is_name(key)]
    if isinstance(node, ast.Call):
        return [keyword.value for keyword in node.keywords if keyword.arg == "PYTHONPATH"]
    if isinstance(node, ast.Assign):
        targets = [target for target in node.targets if isinstance(target, ast.Subscript)]
        return [node.value for target in targets if _is_name(target.slice)]
    return []


def _is_name(key: ast.expr | None) -> bool:
    return isinstance(key, ast.Constant) and key.value == "PYTHONPATH"
