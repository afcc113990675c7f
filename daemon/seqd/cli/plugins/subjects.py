"""What the commands for authors are given, a plugin's name or the path of its source, and why not.

Names come first: a folder that is called as an installed plugin is given as `./NAME`.
"""

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seqd.authoring.messages import Load
from seqd.authoring.watching import Watched
from seqd.cli import options
from seqd.cli.ui.screen import Screen
from seqd.errors import InvalidInput, InvalidRequest, UnknownPlugin
from seqd.inputs.items import ItemRules, task_rules
from seqd.kinds import kind_of_task
from seqd.models.loading import Candidate, discover
from seqd.models.source_folders import read_source
from seqd.parameters import check_parameters
from seqd.validation import did_you_mean, listed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from seqd.authoring.messages import Loaded
    from seqd_schemas import CatalogEntry, Item, ParameterValue, RefusedItem, TaskSchema


def order_of(
    subject: str, *, plugin: str = "", model: str = "", version: str = "", slot: str = "cpu:0"
) -> Load:
    """Return what a child is to load.

    Raises UnknownPlugin, and InvalidRequest where a source has several plugins.
    """
    order = Load(plugin=plugin, model=model, version=_whole(version), slot=slot)
    if (path := path_of(subject)) is not None:
        chosen = read_source(path).chosen(plugin)
        return order.model_copy(update={"source": str(path), "plugin": chosen})
    names = [candidate.name for candidate in discover()]
    if subject in names:
        return order.model_copy(update={"plugin": subject})
    return _of_model(subject, order, names)


def path_of(subject: str) -> Path | None:
    """Return the path of a plugin's source; None for a name, that of an installed plugin first."""
    if any(candidate.name == subject for candidate in discover()):
        return None
    is_path = os.sep in subject or subject.startswith((".", "~")) or subject.endswith(".py")
    if not is_path and not Path(subject).exists():
        return None
    return Path(subject).expanduser().absolute()


def tell_of_folder(subject: str) -> None:
    """Say on stderr where a folder is passed over for an installed plugin of its name."""
    if path_of(subject) is None and (Path(subject) / "pyproject.toml").is_file():
        Screen(to_stderr=True).say(
            f"{subject} is the installed plugin. The folder is ./{subject}", "yellow"
        )


def warn_of_taken_names(order: Load, loaded: "Loaded") -> None:
    """Say on stderr which names of a plugin in a folder or file other installed plugins have."""
    if order.source is None:
        return
    candidate = read_source(Path(order.source)).candidate(order.plugin)
    for taken, cure in names_taken_from(candidate, {loaded.entry.model}).items():
        Screen(to_stderr=True).say(f"warning: {taken}. {cure}", "yellow")


def names_taken_from(mine: Candidate, models: "Collection[str]") -> dict[str, str]:
    """Return which names others have, with the cure; they are loaded here without a word."""
    from seqd.cli.ui.stdout import keep_stdout_from_plugins
    from seqd.models.source_folders import taken_names

    keep_stdout_from_plugins()
    logging.disable(logging.CRITICAL)  # a broken one among them is no matter of this plugin
    try:
        return taken_names(mine, models, discover())
    finally:
        logging.disable(logging.NOTSET)


def _whole(version: str) -> str:
    return str(Path(version).absolute()) if version and Path(version).is_dir() else version


def _of_model(name: str, order: Load, plugins: Sequence[str]) -> Load:
    """Return the order for a model's name, for which all plugins are loaded here."""
    local = options.open_local_models(options.read_settings())
    made_with = local.store.plugin_of(name)
    if made_with not in local.registry.models:
        known = sorted({*plugins, *local.registry.models})
        raise UnknownPlugin(
            f"no plugin, model or folder named {name!r}. Plugins here: {listed(plugins)}."
            f"{did_you_mean(name, known)}"
        )
    version = order.version or ("" if made_with == name else name)
    plugin = local.registry.plugin_of(made_with).name
    return order.model_copy(update={"plugin": plugin, "model": made_with, "version": version})


def watched_of(order: Load) -> Watched:
    """Return the files that a plugin's source has. Raises UnknownPlugin for one that has none."""
    if order.source is not None:
        path = Path(order.source)
        return Watched(path.parent, is_recursive=False) if path.suffix == ".py" else Watched(path)
    (module,) = {found.module for found in discover() if found.name == order.plugin}
    return Watched(_place_of(module))


def _place_of(module: str) -> Path:
    """Return the folder of a package, or the file of a module, without importing it."""
    from importlib.util import find_spec

    spec = find_spec(module.partition(".")[0])
    if spec is None or spec.origin is None:
        raise UnknownPlugin(f"the source of {module} is not to be found. Give its folder.")
    path = Path(spec.origin)
    return path.parent if path.name == "__init__.py" else path


def task_of_entry(entry: "CatalogEntry", task: str) -> "TaskSchema":
    """Return what a task takes and gives. Raises InvalidRequest, which lists the tasks."""
    tasks = entry.all_tasks
    if task not in tasks:
        raise InvalidRequest(
            f"{entry.model} has no task {task!r}. Its tasks: {listed(tasks)}."
            f"{did_you_mean(task, tasks)}"
        )
    return tasks[task]


def checked_parameters(
    entry: "CatalogEntry", task: str, values: "Mapping[str, ParameterValue]"
) -> "dict[str, ParameterValue]":
    """Return the parameters of a task. Raises InvalidParameters, as a client does."""
    schema = task_of_entry(entry, task)
    check_parameters(schema.parameters, values, model=entry.model, task=task)
    return dict(values)


def entries_of(
    entry: "CatalogEntry", task: str, texts: "Iterable[str]"
) -> "tuple[Item | RefusedItem, ...]":
    """Return texts as the items of a task, those of a task that takes records as records.

    Raises InvalidInput for a text that is no record.
    """
    schema, kind = task_of_entry(entry, task), kind_of_task(task)
    if kind.task is not None:
        rules = ItemRules(allow_empty=kind.allows_empty)
    else:
        rules = task_rules(schema)
    values = texts if schema.input is None else (_record(text, task, rules) for text in texts)
    return tuple(rules.item(value, number) for number, value in enumerate(values, 1))


def _record(text: str, task: str, rules: ItemRules) -> object:
    import json

    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        return value
    raise InvalidInput(
        f"{text[:40]!r} is no record; {task} takes JSON with the fields "
        f"{', '.join(rules.fields or ())}"
    )
