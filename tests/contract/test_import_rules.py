"""Who may import whom. Each rule's message says where the thing belongs instead.

`[tool.importlinter]` in pyproject.toml has the rules between packages, over chains of imports. The
walk here has what import-linter does not see: all that is not on a list, what is no package of
ours, reads of the environment, eval, pickle.
"""

import ast
import re
import subprocess
import sys
import tomllib

import pytest

from contract.conftest import is_under

#: The author's door: all of ours that a plugin may import, besides its own modules.
DOOR = ("seqd_schemas", "seqd.hookspecs", "seqd.plugin", "seqd.errors", "seqd_modelkit")
DEEP = ("keras", "tensorflow", "tf_keras", "torch", "jax")
PICKLES = ("pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib")
#: What of the kit may import a deep-learning library.
DEEP_IN_KIT = ("seqd_modelkit.accelerator", "seqd_modelkit.keras_training")

EXAMPLES = tuple(
    f"examples.{name}.{name}" for name in ("seqd_embed", "seqd_gru", "seqd_onnx", "seqd_tfidf")
)

# pydantic brings typing_extensions.
OF_THE_WIRE = ("pydantic", "pydantic_core", "typing_extensions", "seqd_schemas")
OF_THE_KIT = (*DOOR, "numpy", "pydantic", "numba", "safetensors")

#: What each rule refuses, and the lesson.
RULES = {
    "the wire contract needs pydantic and the standard library only": (
        lambda source, name: (
            source.is_in("seqd_schemas")
            and not is_under(name, (*sys.stdlib_module_names, *OF_THE_WIRE))
        ),
        "A service installs seqd_schemas alone; move what needs more into daemon/seqd.",
    ),
    "plugins come in by the author's door": (
        lambda source, name: (
            source.is_in(*EXAMPLES, "seqd_markov", "seqd_char_lstm", "seqd_imdb_lstm")
            and is_under(name, ("seqd", "celery", "kombu", "billiard", "redis"))
            and not is_under(name, DOOR)
        ),
        f"Plugins import {', '.join(DOOR)} and themselves; their context has the rest.",
    ),
    "the model kit needs few libraries": (
        lambda source, name: (
            source.is_in("seqd_modelkit")
            and not is_under(name, (*sys.stdlib_module_names, *OF_THE_KIT))
            and not (source.is_in(*DEEP_IN_KIT) and is_under(name, DEEP))
        ),
        "It is a library: hand in what it needs of the plugin.",
    ),
    "pluggy is behind the hooks and the registry": (
        lambda source, name: (
            is_under(name, ("pluggy",)) and not source.is_in("seqd.hookspecs", "seqd.models")
        ),
        "Use the typed methods of seqd.models.registry.Registry.",
    ),
    "nothing that runs code from data is imported": (
        lambda source, name: is_under(name, PICKLES),
        "Weights are safetensors, all else is JSON.",
    ),
    "a benchmark's peer is what a user would write instead": (
        lambda source, name: (
            source.path.parent.name == "peers"
            and is_under(name, ("seqd", "seqd_schemas", "seqd_modelkit", "bench"))
            and not is_under(name, ("bench.peers",))
        ),
        "A peer imports nothing of seqd: it is measured beside it.",
    ),
}


@pytest.mark.parametrize(("is_wrong", "lesson"), RULES.values(), ids=list(RULES))
def test_an_import_keeps_each_rule(sources, sources_of_tests, is_wrong, lesson):
    peers = [source for source in sources_of_tests if source.path.parent.name == "peers"]
    found = [
        f"{source.where(line)}: imports {name}"
        for source in (*sources, *peers)
        for line, name in source.imports()
        if is_wrong(source, name)
    ]

    assert len(peers) >= 7
    assert len([source for source in sources if source.is_in(*EXAMPLES)]) >= 4
    assert not found, "\n".join([lesson, *found])


def test_no_text_is_run_as_code(sources):
    found = [
        source.where(node.lineno)
        for source in sources
        if "eval(" in source.text or "exec(" in source.text
        for node in source.nodes
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("eval", "exec")
    ]

    assert not found


def test_only_the_settings_read_the_environment(sources):
    # Slots also see what the machine's own tools set, such as CUDA_VISIBLE_DEVICES, and workers
    # where Numba keeps what it compiles; and Ray names its cluster there.
    local = [f"seqd.local.{name}" for name in ("kernel_folder", "pinning", "supervisor")]
    readers = ("seqd.settings", *local, "seqd.batch.on_ray", "seqd_modelkit.accelerator")
    found = []
    for source in sources:
        if source.is_in(*readers) or not re.search("environ|getenv", source.text):
            continue
        for node in source.nodes:
            text = ast.unparse(node) if isinstance(node, ast.Call | ast.Subscript) else ""
            reads = text.startswith(("os.getenv(", "os.environ.get("))
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
                reads = reads or text.startswith("os.environ[")
            if reads:
                found.append(f"{source.where(node.lineno)}: {text:.60}")

    assert not found, "\n".join(["Give Settings a field, and take a Settings.", *found])


def test_the_import_linter_contracts_hold_and_that_for_plugins_names_every_package(root):
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()",
         "pyproject.toml", "--no-cache"],
        cwd=root, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (plugins,) = [contract for contract in contracts if contract["name"].startswith("Plugins and")]
    packages = {
        f"seqd.{path.stem}"
        for path in (root / "daemon" / "seqd").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    } - {"seqd.__init__", "seqd.__main__", "seqd.hookspecs", "seqd.plugin", "seqd.errors"}
    assert packages <= set(plugins["forbidden_modules"])


def test_no_module_imports_itself_through_others(sources):
    """Every import counts: those inside functions and those for types alone, too."""
    modules = {source.module: source for source in sources}
    left = {
        name: {
            found if found in modules else found.rpartition(".")[0] for _, found in source.imports()
        }
        & modules.keys() - {name}
        for name, source in modules.items()
    }

    # Take away, again and again, what imports nothing that is left: circles remain.
    while leaves := [name for name, found in left.items() if not found & left.keys()]:
        for name in leaves:
            del left[name]
    # And what nobody of the rest imports only leads to a circle.
    while roots := [name for name in left if all(name not in left[other] for other in left)]:
        for name in roots:
            del left[name]

    assert not left, f"Move what both need into a module below them: {sorted(left)}"
