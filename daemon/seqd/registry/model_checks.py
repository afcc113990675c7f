"""What a model description must be before the daemon offers it, checked without loading it.

Each check says what the plugin handed over and what it should hand over. The parameter
classes have a file of their own, `parameter_checks`. Called by `loading`.
"""

import re
from collections.abc import Mapping
from typing import get_args

from seqd import __version__
from seqd.errors import PluginFault
from seqd.hookspecs import PLUGIN_API_VERSION, Model, Needs, TaskSpec
from seqd.registry.parameter_checks import check_parameters_class, check_preset
from seqd.validation import listed
from seqd_schemas import Task

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_DATASET = re.compile(r"[a-z][a-z0-9_]{0,39}:[a-z0-9_]{1,40}")


def check_model(model: object) -> None:
    """Check one description that `seqd_register_models` handed over.

    Raises PluginFault at the first thing that is wrong.
    """
    _check_type(model)
    assert isinstance(model, Model)
    _check_name(model)
    _check_api(model)
    _check_texts(model)
    _check_tasks(model)
    _check_presets(model)


def _check_type(model: object) -> None:
    if isinstance(model, type) and issubclass(model, Model):
        raise PluginFault(
            f"seqd_register_models handed over the class {model.__name__}. "
            f"Hand over an instance: {model.__name__}()."
        )
    if not isinstance(model, Model):
        raise PluginFault(
            f"seqd_register_models handed over {model!r:.80}, of type {type(model).__name__}. "
            "A model is an instance of a subclass of seqd.hookspecs.Model."
        )


def _check_name(model: Model) -> None:
    name = getattr(model, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PluginFault(
            f"the model {type(model).__name__} has the name {name!r:.80}. A name is 1 to 40 lower "
            "case letters, digits and underscores, and begins with a letter."
        )


def _check_api(model: Model) -> None:
    major, minor = PLUGIN_API_VERSION
    if model.api_major == major:
        return
    older_or_newer = "an older" if _is_newer(model.api_major) else "a newer"
    raise PluginFault(
        f"model {model.name!r} is written for version {model.api_major!r} of the plugin API; "
        f"seqd {__version__} offers {major}.{minor}. Install {older_or_newer} version of the "
        "plugin, or the seqd that it was written for."
    )


def _is_newer(api_major: object) -> bool:
    return isinstance(api_major, int) and api_major > PLUGIN_API_VERSION[0]


def _check_texts(model: Model) -> None:
    summary = getattr(model, "summary", None)
    if not isinstance(summary, str) or not 1 <= len(summary.strip()) <= 4_096:
        raise PluginFault(
            f"model {model.name!r} has the summary {summary!r:.80}. Say in a sentence what it is."
        )
    for name in model.datasets:
        if not isinstance(name, str) or not _DATASET.fullmatch(name):
            raise PluginFault(
                f"model {model.name!r} names the data set {name!r:.80}. A data set's name has two "
                "parts, such as 'keras:imdb'."
            )
    if not isinstance(model.needs, Needs):
        raise PluginFault(
            f"model {model.name!r} has the needs {model.needs!r:.80}. Use seqd.hookspecs.Needs."
        )


def _check_tasks(model: Model) -> None:
    tasks = getattr(model, "tasks", None)
    if not isinstance(tasks, Mapping) or not tasks:
        raise PluginFault(
            f"model {model.name!r} has no tasks. Give it at least one of {listed(get_args(Task))}."
        )
    for task, spec in tasks.items():
        if task not in get_args(Task):
            raise PluginFault(
                f"model {model.name!r} has the unknown task {task!r:.80}. "
                f"Tasks: {listed(get_args(Task))}."
            )
        _check_task(f"model {model.name!r}, task {task}", spec)
    if "train" in tasks and type(model).train is Model.train:
        raise PluginFault(f"model {model.name!r} has the task train but no method train().")


def _check_task(where: str, spec: object) -> None:
    if not isinstance(spec, TaskSpec):
        raise PluginFault(f"{where} is {spec!r:.80}. Use seqd.hookspecs.TaskSpec.")
    if not isinstance(spec.unit_items, int) or not 1 <= spec.unit_items <= 65_536:
        raise PluginFault(f"{where}: unit_items is {spec.unit_items!r:.80}; allowed: 1 to 65536.")
    check_parameters_class(where, spec.parameters)


def _check_presets(model: Model) -> None:
    if not model.presets:
        return
    if "train" not in model.tasks:
        raise PluginFault(
            f"model {model.name!r} has presets but no task train. Presets are for training."
        )
    for preset, values in model.presets.items():
        if not isinstance(preset, str) or not _LABEL.fullmatch(preset):
            raise PluginFault(
                f"model {model.name!r} names a preset {preset!r:.80}. A preset's name is 1 to 40 "
                "lower case letters, digits, underscores and dashes, and begins with a letter."
            )
        check_preset(model.name, preset, values, model.tasks["train"].parameters)
