"""The broken-plugin zoo: each plugin is refused with its exact reason, and its neighbour serves."""

import importlib
import importlib.util
import re
import sys
from functools import partial

import pytest

import broken_plugins
import seqd
from faults_page import assert_said, rows_below
from plugin_builders import a_registry_of
from seqd.hookspecs import hookimpl
from seqd.models.loading import PluginSource
from seqd.models.registry import Registry
from seqd.settings import Settings
from seqd_schemas import PluginState

ZOO = broken_plugins.folder()

REASONS = {
    "raises_on_import": "RuntimeError: libfoo 2 is needed, found libfoo 1 "
    '(raises_on_import.py, line 3, in <module>). Try it alone: python -c "import '
    'raises_on_import".',
    "misses_a_module": "ModuleNotFoundError: No module named 'a_library_nobody_has' "
    "(misses_a_module.py, line 3, in <module>). Install a_library_nobody_has here; a daemon does "
    "without the plugin by SEQD_DISABLED_PLUGINS=misses_a_module.",
    "exits_on_import": "SystemExit: usage: exits_on_import FILE (exits_on_import.py, line 5, in "
    "<module>). It called sys.exit() while it was loaded; a plugin may only define things then.",
    "no_hooks": "it implements no hook of seqd, and nothing of it is decorated by seqd.plugin. "
    "Hooks: seqd_claim_device, seqd_job_finished, seqd_job_progress, seqd_job_started, "
    "seqd_register_models, seqd_worker_ready. Does its entry point name the right module?",
    "unmarked_hook": "seqd_register_models is not marked as a hook. Put @hookimpl from "
    "seqd.hookspecs above it.",
    "unknown_hook": "it implements the unknown hook 'seqd_register_model' (unknown_hook.py, line 6)"
    ". Did you mean 'seqd_register_models'? Known hooks: seqd_claim_device, seqd_job_finished, "
    "seqd_job_progress, seqd_job_started, "
    "seqd_register_models, seqd_worker_ready.",
    "wrong_argument": "PluginValidationError: Plugin 'wrong_argument' for hook 'seqd_job_started' "
    "hookimpl definition: seqd_job_started(job, slot) Argument(s) {'slot'} are declared in the "
    "hookimpl but can not be found in the hookspec. Compare its hooks with those in "
    "plugins/reference.md.",
    "register_raises": "FileNotFoundError: no file named /opt/models/list.json "
    "(register_raises.py, line 9, in seqd_register_models). Try it alone: "
    'python -c "import register_raises".',
    "register_returns_nothing": "seqd_register_models returned nothing. Return a list of models, "
    "such as [MyModel()].",
    "not_a_model": "seqd_register_models handed over 'imdb_lstm', of type str. A model is an "
    "instance of a subclass of seqd.hookspecs.Model.",
    "hands_over_a_class": "seqd_register_models handed over the class Classy. Hand over an "
    "instance: Classy().",
    "bad_name": "the model BadName has the name 'IMDB-LSTM'. A name is 1 to 40 lower case letters, "
    "digits and underscores, and begins with a letter.",
    "newer_api": "model 'newer' is written for version 2 of the plugin API; "
    f"seqd {seqd.__version__} offers 1.3. "
    "Install an older version of the plugin, or the seqd that it was written for.",
    "older_api": "model 'older' is written for version 0 of the plugin API; "
    f"seqd {seqd.__version__} offers 1.3. "
    "Install a newer version of the plugin, or the seqd that it was written for.",
    "taken_name": "its model 'sound' is already brought by the plugin 'sound' of zoo-sound. Rename "
    "it, or disable one of the two plugins with SEQD_DISABLED_PLUGINS.",
    "wrong_needs": "model 'wrong_needs' has the needs {'device': 'gpu'}. Use seqd.hookspecs.Needs.",
    "wrong_unit_items": "model 'wrong_unit_items', task classify: unit_items is '64'; allowed: "
    "1 to 65536.",
    "no_tasks": "model 'idle' has no tasks. Give it at least one of classify, generate, train, "
    "or one of its own.",
    "unbounded_text": "model 'unbounded_text', task classify: parameter 'prompt' is a text without "
    "max_length. Give it one.",
    "bad_preset": "preset 'tutorial' of bad_preset train: parameter 'epochs' is 0; "
    "allowed: 1 to 100.",
    "unknown_factor": "model 'unknown_factor', task generate: its bound names 'lenght', which is "
    "no parameter. Parameters: boldness, length.",
    "broken_factor": "model 'broken_factor', task generate: its bound multiplies parameter "
    "'boldness', which is no whole number.",
    "bound_by_a_number": "model 'bound_by_a_number', task generate: its output is 100 and its "
    "input None; allowed: neither, since those of generate are fixed. What one item can make it "
    "write is its `bound`, a seqd_schemas.OutputBound.",
    "cannot_train": "model 'cannot_train' has the task train but no method train().",
}
#: Members of the zoo that load, and so have tests of their own below.
LOADING = {"sound", "slow", "heavy", "observer_raises"}
#: Those that load without fault and misbehave when they are called; `test_plugin_checks.py` has
#: what the checks of plugins say of them.
MISBEHAVING = {
    "returns_too_few", "wrong_order", "gives_nan", "ignores_stop", "leaks", "prints", "reseeds",
    "hangs_in_c", "forks", "forks_and_returns", "exits_at_run", "saves_transposed",
}  # fmt: skip


def import_from_zoo(name: str) -> object:
    spec = importlib.util.spec_from_file_location(name, ZOO / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def caged(name: str) -> PluginSource:
    load = partial(import_from_zoo, name)
    return PluginSource(
        name=name, loads=load, distribution=f"zoo-{name}", version="1.0", address=name
    )


def registry_of(*names: str, **settings: object) -> Registry:
    return Registry([caged(name) for name in names], Settings(**settings))


def test_every_member_of_the_zoo_is_tested():
    members = {path.stem for path in ZOO.glob("*.py")}

    assert members == REASONS.keys() | LOADING | MISBEHAVING


@pytest.mark.parametrize("name", sorted(REASONS))
def test_a_broken_plugin_is_listed_with_its_reason_and_the_others_serve(name):
    registry = registry_of("sound", name)

    status = {status.name: status for status in registry.statuses}[name]
    assert status.state is PluginState.BROKEN
    assert status.reason == REASONS[name]
    assert (status.distribution, status.version, status.models) == (f"zoo-{name}", "1.0", ())
    assert list(registry.models) == ["sound"]


@pytest.mark.parametrize("name", sorted(rows_below("When a plugin is loaded")))
def test_the_page_on_faults_has_the_reason(name):
    assert_said(REASONS[name], rows_below("When a plugin is loaded")[name][1])


def test_ctrl_c_during_an_import_ends_the_loading():
    def interrupted() -> object:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Registry([PluginSource(name="slow", loads=interrupted)], Settings())


def test_a_broken_plugins_other_hooks_are_never_called():
    finished = []

    class HalfBroken:
        @hookimpl
        def seqd_register_models(self):
            return ["no model"]

        @hookimpl
        def seqd_job_finished(self, job):
            finished.append(job)

    registry = a_registry_of([("half", HalfBroken())])
    registry.notify_job_finished("j1")

    assert registry.statuses[0].state is PluginState.BROKEN
    assert finished == []


def test_one_object_under_two_names_is_loaded_once_and_stays_loaded():
    plugin = import_from_zoo("sound")

    registry = a_registry_of([("first", plugin), ("second", plugin)])

    states = {status.name: (status.state, status.reason) for status in registry.statuses}
    assert states["first"] == (PluginState.READY, "")
    assert states["second"] == (
        PluginState.BROKEN,
        "it is the same object as the plugin 'first'. One entry point for each plugin is enough: "
        "remove one of the two.",
    )
    assert registry.plugin_of("sound").name == "first"


def test_a_slow_import_is_measured_and_warned_about_over_the_budget(caplog, monkeypatch):
    monkeypatch.setattr("seqd.models.loading.IMPORT_BUDGET_S", 0.01)

    (status,) = registry_of("slow").statuses

    assert (status.state, status.models) == (PluginState.READY, ("slow",))
    assert status.import_seconds >= 0.05
    (message,) = caplog.messages
    # On a busy machine it takes longer than it sleeps.
    assert re.fullmatch(
        r"plugin slow \(zoo-slow 1\.0\) took \d+\.\d+ s to load; a description must import nothing "
        r"heavy \(I2\)",
        message,
    )


#: Modules of a plugin, what stands for `jax`, and why the plugin is refused.
HEAVY = {
    "named line": (
        '"""Eager."""\n\nfrom jax import *\n',
        "it imports jax while it is loaded (seqd_of_test.py, line 3), which takes seconds and may "
        "take the GPU. Import it inside load() or train().",
    ),
    "missing": (
        "import jax.numpy\n",
        "Import jax inside load() or train(), not at the top of a module: it takes seconds and may "
        "take the GPU. Install jax here; a daemon does without the plugin by "
        "SEQD_DISABLED_PLUGINS=early.",
    ),
    "no plugin": (
        "from seqd.plugin import classifier\n\n\n"
        '@classifier("silent", summary="Says nothing.")\n'
        "def silent(text: str) -> None: ...\n",
        "seqd_of_test.silent gives None. A classifier of str gives Label (seqd_of_test.py, line 4, "
        "in <module>).",
    ),
}


@pytest.mark.parametrize("kind", HEAVY)
def test_what_a_module_does_while_it_is_loaded_is_told_with_what_to_do(kind, tmp_path, monkeypatch):
    source, reason = HEAVY[kind]
    (tmp_path / "seqd_of_test.py").write_text(source)
    (tmp_path / "jax.py").write_text('"""A stub."""\n')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "seqd_of_test", raising=False)
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    if kind == "missing":
        monkeypatch.setitem(sys.modules, "jax", None)

    def load() -> object:
        importlib.import_module("seqd_of_test")
        return import_from_zoo("sound")

    registry = Registry(
        [PluginSource(name="early", loads=load, address="seqd_of_test")], Settings()
    )
    if kind != "missing":
        sys.modules.pop("jax", None)

    (status,) = registry.statuses
    assert status.state is PluginState.BROKEN
    assert status.reason.endswith(reason)


def test_a_plugin_of_the_zoo_that_imports_a_deep_learning_library_is_refused_alone(
    tmp_path, monkeypatch
):
    (tmp_path / "jax.py").write_text('"""A stub."""\n')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "jax", raising=False)

    registry = registry_of("heavy", "sound", "observer_raises")
    sys.modules.pop("jax")
    registry.notify_job_finished(None)

    status = {status.name: status for status in registry.statuses}["heavy"]
    assert status.state is PluginState.BROKEN
    assert status.reason.startswith("it imports jax while it is loaded, which takes seconds ")
    assert list(registry.models) == ["sound"]


A_DATA_SET = "in its datasets. A data set's name has two parts, such as 'keras:imdb'."
A_PRESET = (
    "in its presets. A preset's name is 1 to 40 lower case letters, digits, underscores and "
    "dashes, and begins with a letter."
)


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("datasets", ("IMDB",), f"names 'IMDB' {A_DATA_SET}"),
        ("datasets", (3,), f"names 3 {A_DATA_SET}"),
        ("presets", {"Bad Name": {}}, f"names 'Bad Name' {A_PRESET}"),
        (
            "datasets",
            tuple(f"keras:set{number}" for number in range(65)),
            "cannot be published: datasets is ('keras:set0', ",
        ),
    ],
)
def test_a_model_that_the_wire_does_not_take_is_refused(field, value, fault):
    plugin = import_from_zoo("bad_preset")
    plugin.BadPreset.presets = {}
    setattr(plugin.BadPreset, field, value)

    registry = a_registry_of([("sets", plugin)])

    reason = registry.statuses[0].reason
    assert reason.startswith(f"model 'bad_preset' {fault}")
    assert reason.endswith(".")
