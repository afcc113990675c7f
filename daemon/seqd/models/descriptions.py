"""Checks of a model's description, made without loading the model.

What the wire alone refuses, such as a name of a data set, `task_schemas.check_publishable` tells.
"""

from collections.abc import Mapping

from seqd import __version__
from seqd.errors import PluginFault
from seqd.hookspecs import PLUGIN_API_VERSION, Model, Needs, PluginParameters, TaskSpec
from seqd.kinds import KINDS, TRAIN, kind_of_task
from seqd.models.schema_checks import check_parameters_class, check_preset, check_run_task
from seqd.parameters import fields_of, schema_of
from seqd.validation import MODEL_NAME, did_you_mean, listed
from seqd_schemas import MAX_RUN_TASKS, RESERVED_TASKS, OutputBound


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
    if not isinstance(name, str) or not MODEL_NAME.fullmatch(name):
        raise PluginFault(
            f"the model {type(model).__name__} has the name {name!r:.80}. A name is 1 to 40 lower "
            "case letters, digits and underscores, and begins with a letter."
        )


def _check_api(model: Model) -> None:
    major, minor = PLUGIN_API_VERSION
    if model.api_major == major:
        return
    is_newer = isinstance(model.api_major, int) and model.api_major > major
    other = "an older" if is_newer else "a newer"
    raise PluginFault(
        f"model {model.name!r} is written for version {model.api_major!r} of the plugin API; "
        f"seqd {__version__} offers {major}.{minor}. Install {other} version of the plugin, or the "
        "seqd that it was written for."
    )


def _check_texts(model: Model) -> None:
    summary = getattr(model, "summary", None)
    if not isinstance(summary, str) or not 1 <= len(summary.strip()) <= 4_096:
        raise PluginFault(
            f"model {model.name!r} has the summary {summary!r:.80}. Say in a sentence what it is."
        )
    if not isinstance(model.needs, Needs):
        raise PluginFault(
            f"model {model.name!r} has the needs {model.needs!r:.80}. Use seqd.hookspecs.Needs."
        )


def _check_tasks(model: Model) -> None:
    tasks = getattr(model, "tasks", None)
    if not isinstance(tasks, Mapping) or not tasks:
        raise PluginFault(
            f"model {model.name!r} has no tasks. Give it at least one of {_named_tasks()}, or one "
            "of its own."
        )
    own = [task for task in tasks if not _has_kind(task)]
    if len(own) > MAX_RUN_TASKS:
        raise PluginFault(
            f"model {model.name!r} has {len(own)} tasks of its own; allowed: {MAX_RUN_TASKS}."
        )
    for task, spec in tasks.items():
        _check_task_name(model.name, task)
        _check_task(f"model {model.name!r}, task {task}", spec)
        if task in own:
            _check_own_task(model.name, task, spec)
        elif spec.output is not None or spec.input is not None:
            raise PluginFault(
                f"model {model.name!r}, task {task}: its output is {spec.output!r:.80} and its "
                f"input {spec.input!r:.80}; allowed: neither, since those of {task} are fixed. "
                "What one item can make it write is its `bound`, a seqd_schemas.OutputBound."
            )
    if TRAIN in tasks and type(model).train is Model.train:
        raise PluginFault(f"model {model.name!r} has the task train but no method train().")


def _named_tasks() -> str:
    return listed({kind.task for kind in KINDS.values() if kind.task is not None})


def _has_kind(task: object) -> bool:
    return isinstance(task, str) and kind_of_task(task).task is not None


def _check_task_name(model: str, task: object) -> None:
    if not isinstance(task, str) or not MODEL_NAME.fullmatch(task) or task in RESERVED_TASKS:
        raise PluginFault(
            f"model {model!r} has a task with the name {task!r:.80}. A name is 1 to 40 lower case "
            f"letters, digits and underscores, begins with a letter, and is none of "
            f"{listed(RESERVED_TASKS)}."
        )


def _check_own_task(model: str, task: str, spec: TaskSpec) -> None:
    if spec.output is None:
        meant = did_you_mean(task, {kind.task for kind in KINDS.values() if kind.task})
        raise PluginFault(
            f"model {model!r} has the task {task!r:.80}, which states no output.{meant} Tasks with "
            f"an output of their own: {_named_tasks()}. Any other states one: TaskSpec(output=...)."
        )
    if not isinstance(spec.summary, str) or len(spec.summary) > 4_096:
        raise PluginFault(
            f"model {model!r}, task {task}: its summary is {spec.summary!r:.80}. Say in a sentence "
            "what it does."
        )
    check_run_task(f"model {model!r}, task {task}", spec)


def _check_task(where: str, spec: object) -> None:
    if not isinstance(spec, TaskSpec):
        raise PluginFault(f"{where} is {spec!r:.80}. Use seqd.hookspecs.TaskSpec.")
    if not isinstance(spec.unit_items, int) or not 1 <= spec.unit_items <= 65_536:
        raise PluginFault(f"{where}: unit_items is {spec.unit_items!r:.80}; allowed: 1 to 65536.")
    check_parameters_class(where, spec.parameters)
    if spec.bound is not None:
        _check_bound(where, spec.bound, spec.parameters)


def _check_bound(where: str, output: object, parameters: type[PluginParameters]) -> None:
    """Check that what bounds a task's output are parameters of it (clause O2)."""
    if not isinstance(output, OutputBound):
        raise PluginFault(f"{where}: its bound is {output!r:.80}. Use seqd_schemas.OutputBound.")
    fields = fields_of(schema_of(parameters))
    for name in (*output.factors, *output.lists):
        if name not in fields:
            raise PluginFault(
                f"{where}: its bound names {name!r}, which is no parameter. "
                f"Parameters: {listed(fields)}."
            )
    for name in output.factors:
        if fields[name].get("type") != "integer":
            raise PluginFault(
                f"{where}: its bound multiplies parameter {name!r}, which is no whole number."
            )


def _check_presets(model: Model) -> None:
    if not model.presets:
        return
    if TRAIN not in model.tasks:
        raise PluginFault(
            f"model {model.name!r} has presets but no task train. Presets are for training."
        )
    for preset, values in model.presets.items():
        check_preset(model.name, preset, values, model.tasks[TRAIN].parameters)
