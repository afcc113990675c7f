"""Who may import whom. Each rule's message says where the thing belongs instead.

`[tool.importlinter]` in pyproject.toml holds the same rules, there over chains of imports;
the walk here also sees what import-linter does not: reads of the environment, eval, pickle.
"""

import ast
import subprocess
import sys
import tomllib

#: The author's door: all of ours that a plugin may import, besides its own modules.
DOOR = ("seqd_schemas", "seqd.hookspecs", "seqd.plugin", "seqd.errors", "seqd_modelkit")
QUEUE = ("celery", "kombu", "billiard")
DEEP = ("keras", "tensorflow", "tf_keras", "torch", "jax")
PICKLES = ("pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib")


def is_under(name, modules):
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def faults(sources, is_wrong):
    """Name each import that a rule refuses, as `file:line: imports NAME`."""
    return [
        f"{source.where(line)}: imports {name}"
        for source in sources
        for line, name in source.imports()
        if is_wrong(source, name)
    ]


def told(found, lesson):
    return "\n".join([lesson, *found])


def test_the_wire_contract_needs_pydantic_and_the_standard_library_only(sources):
    # pydantic brings typing_extensions.
    brought = ("pydantic", "pydantic_core", "typing_extensions")
    allowed = (*sys.stdlib_module_names, *brought, "seqd_schemas")

    found = faults(
        sources, lambda source, name: source.is_in("seqd_schemas") and not is_under(name, allowed)
    )

    assert not found, told(
        found, "A service installs seqd_schemas alone; move what needs more into daemon/seqd."
    )


def test_plugins_come_in_by_the_authors_door(sources, plugin_packages):
    def is_wrong(source, name):
        ours = is_under(name, ("seqd", "seqd_schemas", *plugin_packages))
        return source.is_in(*plugin_packages) and (
            (ours and not is_under(name, (*DOOR, source.package)))
            or is_under(name, (*QUEUE, "redis"))
        )

    found = faults(sources, is_wrong)

    assert not found, told(
        found,
        f"A plugin imports {', '.join(DOOR)} and itself; never another plugin, a queue or Redis. "
        "What it needs of the daemon comes through its context.",
    )


EXAMPLES = ("seqd_embed", "seqd_gru", "seqd_textcnn", "seqd_tfidf")


def test_the_examples_of_plugins_come_in_by_the_authors_door(sources):
    packages = [f"examples.{name}.{name}" for name in EXAMPLES]
    own = [source for source in sources if source.is_in(*packages)]

    found = faults(
        own,
        lambda source, name: is_under(name, ("seqd", *QUEUE, "redis")) and not is_under(name, DOOR),
    )

    assert len(own) >= 14
    assert not found, told(
        found, f"They show authors how: they import {', '.join(DOOR)} and themselves."
    )


ACCELERATOR = "seqd_modelkit.accelerator"
TORCH_STATE = "seqd_modelkit.torch_state"


def test_the_model_kit_knows_no_plugin_and_little_of_the_daemon(sources):
    libraries = ("numpy", "pydantic", "numba", "safetensors")
    allowed = (*sys.stdlib_module_names, *libraries, *DOOR)

    found = faults(
        sources,
        lambda source, name: (
            source.is_in("seqd_modelkit")
            and not is_under(name, allowed)
            and not (source.is_in(ACCELERATOR) and is_under(name, DEEP))
            and not (source.is_in(TORCH_STATE) and is_under(name, ("torch",)))
        ),
    )

    assert not found, told(found, "It is a library: hand in what it needs of the plugin.")


def test_the_daemon_never_imports_a_plugin_by_name(sources, plugin_packages):
    packages = (*plugin_packages, "seqd_modelkit")

    found = faults(
        sources,
        lambda source, name: source.is_in("seqd", "seqd_schemas") and is_under(name, packages),
    )

    assert not found, told(found, "Ask seqd.models for the model by its name.")


def test_celery_stays_behind_the_worker(sources):
    found = faults(
        sources, lambda source, name: is_under(name, QUEUE) and not source.is_in("seqd.worker")
    )

    assert not found, told(found, "Work is in the ledger; notify by seqd.ledger.wakeup.")


def test_deep_learning_libraries_stay_in_the_plugins_network_modules(sources, plugin_packages):
    # Keras has no words for what it is held to on a device, so one module asks its backends.
    networks = (
        ACCELERATOR,
        TORCH_STATE,
        *(f"{package}.network" for package in plugin_packages),
        *(
            f"examples.{name}.{name}.{part}"
            for name in EXAMPLES
            for part in ("network", "training")
        ),
    )

    found = faults(
        sources, lambda source, name: is_under(name, DEEP) and not source.is_in(*networks)
    )

    assert not found, told(
        found, "Only network.py of a plugin imports Keras, and others import network.py late."
    )


def test_pluggy_stays_behind_the_hooks_and_the_registry(sources):
    found = faults(
        sources,
        lambda source, name: (
            is_under(name, ("pluggy",)) and not source.is_in("seqd.hookspecs", "seqd.models")
        ),
    )

    assert not found, told(found, "Use the typed methods of seqd.models.registry.Registry.")


def test_nothing_that_runs_code_from_data_is_used(sources):
    found = faults(sources, lambda source, name: is_under(name, PICKLES))
    for source in sources:
        for node in ast.walk(source.tree):
            name = node.func.id if isinstance(node, ast.Call) and hasattr(node.func, "id") else ""
            if name in ("eval", "exec"):
                found.append(f"{source.where(node.lineno)}: calls {name}")

    assert not found, told(found, "Weights are safetensors, all else is JSON.")


def test_a_benchmarks_peers_are_what_a_user_would_write_instead(sources_of_tests, plugin_packages):
    ours = ("seqd", "seqd_schemas", "seqd_modelkit", *plugin_packages)
    peers = [source for source in sources_of_tests if source.path.parent.name == "peers"]

    found = faults(
        peers,
        lambda source, name: (
            is_under(name, ours)
            or (is_under(name, ("bench",)) and not is_under(name, ("bench.peers",)))
        ),
    )

    assert len(peers) >= 7
    assert not found, told(found, "A peer imports nothing of seqd: it is measured beside it.")


def test_folders_are_not_import_names(sources, sources_of_tests):
    found = faults(
        (*sources, *sources_of_tests),
        lambda source, name: is_under(name, ("daemon", "plugins", "schemas")),
    )

    assert not found, told(found, "Import seqd, seqd_schemas or the plugin's package instead.")


def test_only_the_settings_read_the_environment(sources):
    # Slots also see what the machine's own tools set, such as CUDA_VISIBLE_DEVICES, and workers
    # where Numba keeps what it compiles.
    local = [f"seqd.local.{name}" for name in ("kernel_folder", "pinning", "supervisor")]
    readers = ("seqd.settings", *local, ACCELERATOR)
    found = []
    for source in sources:
        if source.is_in(*readers):
            continue
        for node in ast.walk(source.tree):
            text = ast.unparse(node) if isinstance(node, ast.Call | ast.Subscript) else ""
            reads = text.startswith(("os.getenv(", "os.environ.get("))
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
                reads = reads or text.startswith("os.environ[")
            if reads:
                found.append(f"{source.where(node.lineno)}: {text:.60}")

    assert not found, told(found, "Give seqd.settings.Settings a field, and take a Settings.")


def test_the_import_linter_contracts_hold(root):
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()",
         "pyproject.toml", "--no-cache"],
        cwd=root, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_the_import_linter_contract_for_plugins_names_every_package_of_the_daemon(root):
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    packages = {
        f"seqd.{path.stem}"
        for path in (root / "daemon" / "seqd").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    } - {"seqd.__init__", "seqd.__main__", "seqd.hookspecs", "seqd.plugin", "seqd.errors"}

    (plugins,) = [contract for contract in contracts if contract["name"].startswith("Plugins and")]

    assert packages <= set(plugins["forbidden_modules"])


def test_no_module_imports_itself_through_others(sources):
    """Every import counts: those inside functions and those for types alone, too."""
    modules = {source.module: source for source in sources}
    imports = {
        name: {
            found if found in modules else found.rpartition(".")[0] for _, found in source.imports()
        }
        & modules.keys() - {name}
        for name, source in modules.items()
    }

    # Take away, again and again, what imports nothing that is left: circles remain.
    left = dict(imports)
    while leaves := [name for name, found in left.items() if not found & left.keys()]:
        for name in leaves:
            del left[name]
    # And what nobody of the rest imports only leads to a circle.
    while roots := [name for name in left if all(name not in left[other] for other in left)]:
        for name in roots:
            del left[name]

    assert not left, told(sorted(left), "Move what both need into a module below them.")
