"""Packages that import their modules on first use: what they offer is what a type checker sees."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ["seqd.client", "seqd.testing", "seqd_schemas"]

#: What modules of a package share among themselves, and what mypy asks for.
NOT_OFFERED = {"is_tag", "MYPY", "texts_below_fields"}


def names_for_a_type_checker(package: str) -> set[str]:
    """Return what a package imports; of a module that it imports as a whole, what that defines."""
    tree = ast.parse(Path(str(importlib.import_module(package).__file__)).read_text())
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    names = set()
    for node in block.body:
        if isinstance(node, ast.ImportFrom):
            listed = {alias.name for alias in node.names}
            names |= defined_in(str(node.module)) if listed == {"*"} else listed
    return names


def defined_in(module: str) -> set[str]:
    tree = ast.parse(Path(str(importlib.import_module(module).__file__)).read_text())
    names = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_gives_each_name_that_it_lists(package: str) -> None:
    module = importlib.import_module(package)

    given = {name: getattr(module, name) for name in module.__all__}

    seen = names_for_a_type_checker(package) - NOT_OFFERED
    assert seen == set(given) <= set(dir(module))
    modules = [name for name, value in given.items() if type(value) is type(sys)]
    assert modules == [], "a module hides the name"
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'Clinet'"):
        module.Clinet  # noqa: B018


#: Threads meet at the first use of one record in twelve, in a program that has used none.
FIRST_USE = """
import sys, threading
import seqd_schemas
sys.setswitchinterval(1e-6)
names = [n for n in seqd_schemas.__all__ if hasattr(getattr(seqd_schemas, n), "model_validate")]
names = names[::12]
barrier, wrong = threading.Barrier(4), []

def use():
    for name in names:
        kind = getattr(seqd_schemas, name)
        barrier.wait()
        try:
            kind.model_validate_json('{"no_such_field": 1}')
        except ValueError as error:
            if error.title != name:
                wrong.append((name, error.title))
        except BaseException as error:
            wrong.append((name, repr(error)))
        if kind.model_json_schema()["title"] != name:
            wrong.append((name, "schema"))

threads = [threading.Thread(target=use) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(names) > 4, names
assert not wrong, wrong[:3]
"""


def test_threads_that_use_a_record_first_at_the_same_time_get_its_own_validator() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIRST_USE], capture_output=True, text=True, timeout=100, check=False
    )

    assert done.returncode == 0, done.stderr
