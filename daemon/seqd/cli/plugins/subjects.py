"""What the commands for authors are given, a plugin's name or the path of its source, and why not.

Names come first: a folder that is called as an installed plugin is given as `./NAME`.
"""

import json
import logging
import os
from collections.abc import Collection, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

from seqd.authoring.messages import Load, Loaded
from seqd.authoring.reloading import Watched
from seqd.cli import options
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.stdout import keep_stdout_from_plugins
from seqd.errors import InvalidInput, InvalidRequest, UnknownPlugin
from seqd.inputs.items import ItemRules, task_rules
from seqd.kinds import kind_of_task
from seqd.models.loading import PluginSource, discover
from seqd.models.source_folders import chosen, read_source, taken_names
from seqd.parameters import check_parameters
from seqd.validation import did_you_mean, listed
from seqd_schemas import CatalogEntry, Item, ParameterValue, RefusedItem, TaskSchema


def order_of(
    subject: str, *, plugin: str = "", model: str = "", version: str = "", slot: str = "cpu:0"
) -> Load:
    """Return what a child is to load.

    Raises UnknownPlugin, and InvalidRequest where a source has several plugins.
    """
    if version and Path(version).is_dir():
        version = str(Path(version).absolute())
    if (path := path_of(subject)) is not None:
        source = chosen(read_source(path), plugin)
        return Load(source=source, model=model, version=version, slot=slot)
    installed = {one.name: one for one in reversed(discover())}
    if subject not in installed:
        plugin, model, named = _of_model(subject, installed)
        return Load(source=installed[plugin], model=model, version=version or named, slot=slot)
    return Load(source=installed[subject], model=model, version=version, slot=slot)


def sources_of(subject: str) -> list[PluginSource]:
    """Return an installed plugin, by its name or a model's, or all of a source. Raises as above."""
    path = path_of(subject)
    return [order_of(subject).source] if path is None else read_source(path)


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


def warn_of_taken_names(order: Load, loaded: Loaded) -> None:
    """Say on stderr which names of a plugin in a folder or file other installed plugins have."""
    if not order.source.path:
        return
    for taken, cure in names_taken_from(order.source, {loaded.entry.model}).items():
        Screen(to_stderr=True).say(f"warning: {taken}. {cure}", "yellow")


def names_taken_from(mine: PluginSource, models: Collection[str]) -> dict[str, str]:
    """Return which names others have, with the cure; they are loaded here without a word."""
    keep_stdout_from_plugins()
    logging.disable(logging.CRITICAL)  # a broken one among them is no matter of this plugin
    try:
        return taken_names(mine, models, discover())
    finally:
        logging.disable(logging.NOTSET)


def _of_model(name: str, plugins: Collection[str]) -> tuple[str, str, str]:
    """Return the plugin of a model, what it is made with, and the version that its name means.

    All plugins are loaded here for it. Raises UnknownPlugin.
    """
    local = options.open_local_models(options.read_settings())
    made_with = local.store.plugin_of(name)
    if made_with not in local.registry.models:
        known = sorted({*plugins, *local.registry.models})
        raise UnknownPlugin(
            f"no plugin or model named {name!r}, and no folder or .py file of that name. Plugins "
            f"here: {listed(plugins)}.{did_you_mean(name, known)}"
        )
    plugin = local.registry.plugin_of(made_with).name
    return plugin, made_with, "" if made_with == name else name


def watched_of(order: Load) -> Watched:
    """Return the files that a plugin's source has. Raises UnknownPlugin for one that has none."""
    if path := Path(order.source.path) if order.source.path else None:
        return Watched(path.parent, is_recursive=False) if path.suffix == ".py" else Watched(path)
    return Watched(_place_of(order.source.module))


def _place_of(module: str) -> Path:
    """Return the folder of a package, or the file of a module, without importing it."""
    spec = find_spec(module.partition(".")[0])
    if spec is None or spec.origin is None:
        raise UnknownPlugin(f"the source of {module} is not to be found. Give its folder.")
    path = Path(spec.origin)
    return path.parent if path.name == "__init__.py" else path


def task_of_entry(entry: CatalogEntry, task: str) -> TaskSchema:
    """Return what a task takes and gives. Raises InvalidRequest, which lists the tasks."""
    tasks = entry.all_tasks
    if task not in tasks:
        raise InvalidRequest(
            f"{entry.model} has no task {task!r}. Its tasks: {listed(tasks)}."
            f"{did_you_mean(task, tasks)}"
        )
    return tasks[task]


def checked_parameters(
    entry: CatalogEntry, task: str, values: Mapping[str, ParameterValue]
) -> dict[str, ParameterValue]:
    """Return the parameters of a task. Raises InvalidParameters, as a client does."""
    schema = task_of_entry(entry, task)
    check_parameters(schema.parameters, values, model=entry.model, task=task)
    return dict(values)


def entries_of(
    entry: CatalogEntry, task: str, texts: Iterable[str]
) -> tuple[Item | RefusedItem, ...]:
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
