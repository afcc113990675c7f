"""Every hook is documented with its exact signature, and tested."""

import ast
import inspect
import textwrap

import pytest

from seqd.hookspecs import SeqdHooks

HOOKS = {name: function for name, function in vars(SeqdHooks).items() if name.startswith("seqd_")}


def signature_of(name):
    """Write a hook as its implementation has it: `name(job: JobRecord) -> None`."""
    source = textwrap.dedent(inspect.getsource(HOOKS[name]))
    definition = ast.parse(source).body[0]
    arguments = definition.args
    arguments.args = arguments.args[1:]
    return f"{name}({ast.unparse(arguments)}) -> {ast.unparse(definition.returns)}"


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_a_hook_has_a_docstring_and_a_test_and_is_documented_with_its_exact_signature(name, root):
    guide = (root / "plugins" / "reference.md").read_text(encoding="utf-8")
    tests = "".join(path.read_text() for path in (root / "tests" / "unit").glob("test_registry*"))

    assert inspect.getdoc(HOOKS[name])
    assert f"def {name}(" in tests, f"no test implements {name}"
    assert signature_of(name) in guide, f"plugins/reference.md lacks `{signature_of(name)}`"
