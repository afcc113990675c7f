"""Loading of plugins: each is imported, registered and checked alone, or listed with its reason."""

import inspect
import linecache
import logging
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

import pluggy
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import SchemaError

import seqd
from seqd.errors import NameTaken, PluginFault, schema_fault
from seqd.hookspecs import Model
from seqd.hookspecs.model import PROJECT
from seqd.local.process_states import RunDelay
from seqd.models.descriptions import check_model
from seqd.models.plugin_frames import frame_of, place_of, with_place
from seqd.models.task_schemas import check_publishable
from seqd.plugin.calls import OneProcess, text_of
from seqd.plugin.decorated import DecoratedPlugin, decorated_models
from seqd.validation import did_you_mean, listed
from seqd_schemas import MAX_MODELS, PluginState, PluginStatus

#: What stands in a table where a plugin came from no installed distribution.
UNPACKAGED: Final = "(none)"


class PluginSource(BaseModel):
    """A plugin by its address, and what has to be on `sys.path` for it.

    Any process can load it by that: it may be sent to another.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    #: `module` or `module:attribute`, as in an entry point.
    address: str = ""
    #: Folders that are to stand first on `sys.path`.
    import_folders: tuple[str, ...] = ()
    distribution: str = UNPACKAGED
    version: str = ""
    #: The folder of its `pyproject.toml`, or its file; '' for what is installed or in memory.
    path: str = ""
    #: Gives the plugin in the place of its address, in this process alone.
    loads: Callable[[], object] | None = Field(default=None, exclude=True)

    @property
    def module(self) -> str:
        """The module part of the address."""
        return self.address.partition(":")[0].strip()

    @property
    def package(self) -> str:
        """The outermost package of the module, or the module itself."""
        return self.module.partition(".")[0]

    @property
    def origin(self) -> str:
        """The distribution and its version, for messages."""
        return f"{self.distribution} {self.version}".strip()

    def load(self) -> object:
        """Import it and return what its address names. May raise anything."""
        if self.loads is not None:
            return self.loads()
        sys.path[:0] = [folder for folder in self.import_folders if folder not in sys.path]
        return EntryPoint(self.name, self.address, PROJECT).load()


def discover() -> tuple[PluginSource, ...]:
    """Find all installed plugins: those that ship with seqd first, then by name and distribution.

    So no other distribution can take the name of a model that ships with seqd: the first has it.
    `entry_points(group=...)` reads each distribution once even when `sys.path` has it twice,
    and keeps two distributions that use one name, so that the second can be refused.
    """
    found = (_installed(entry) for entry in entry_points(group=PROJECT))
    return tuple(sorted(found, key=_order))


def _order(candidate: PluginSource) -> tuple[bool, str, str, str]:
    is_foreign = candidate.distribution != PROJECT
    return is_foreign, candidate.name, candidate.distribution, candidate.address


def _installed(entry: EntryPoint) -> PluginSource:
    name, version = UNPACKAGED, ""
    if entry.dist is not None:
        name, version = entry.dist.name, entry.dist.version
    if name == PROJECT:  # what was installed editable may be another by now
        version = seqd.__version__
    return PluginSource(name=entry.name, address=entry.value, distribution=name, version=version)


#: Characters kept of a foreign exception's message; some carry a whole listing.
MESSAGE_CHARS = 1_000


def reason_for(error: BaseException, candidate: PluginSource) -> str:
    """Say in one line why the plugin is broken, and where. A PluginFault says itself what to do."""
    said = " ".join(text_of(error).split())[:MESSAGE_CHARS]
    if not isinstance(error, PluginFault):
        said = f"{type(error).__name__}: {said}" if said else type(error).__name__
        said = with_place(said.rstrip("."), error, candidate.package)
        return f"{said}. {_hint(error, candidate)}"
    place = place_of(error, candidate.package)
    return said if place is None else f"{said.rstrip('.')} ({place})."


def _hint(error: BaseException, candidate: PluginSource) -> str:
    if isinstance(error, SystemExit):
        return "It called sys.exit() while it was loaded; a plugin may only define things then."
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _hint_on_missing_module(error.name, candidate)
    if type(error).__name__ == "PluginValidationError":
        return "Compare its hooks with those in plugins/reference.md."
    if candidate.module:
        folders = os.pathsep.join(candidate.import_folders)
        path = f"PYTHONPATH={shlex.quote(folders)} " if folders else ""
        return f'Try it alone: {path}python -c "import {candidate.module}".'
    return "Its author has to mend it."


def _hint_on_missing_module(missing: str, candidate: PluginSource) -> str:
    if missing == candidate.module and _brings_its_module(candidate):
        return (
            f"This process does not find the module of its entry point: {candidate.distribution} "
            "was installed after the process had started, or its folder is gone or not on the "
            "path. `seqd workers restart` starts workers anew."
        )
    if missing == candidate.module:
        return f"Its entry point names a module that {candidate.distribution} does not bring."
    library = missing.partition(".")[0]
    install = f"Install {library} here; a daemon does without the plugin by "
    install += f"SEQD_DISABLED_PLUGINS={candidate.name}."
    return f"{_IMPORT_INSIDE.format(library)} {install}" if library in HEAVY else install


def _brings_its_module(candidate: PluginSource) -> bool:
    """Return True where the distribution has the module's file, or a .pth, as an editable one."""
    try:
        files = metadata.files(candidate.distribution) or []
    except (metadata.PackageNotFoundError, TypeError, ValueError):  # or its RECORD is none
        return False
    module = candidate.module.replace(".", "/")
    names = (f"{module}.", f"{module}/__init__.")
    return any(
        (file.as_posix().startswith(names) or file.suffix == ".pth")
        and Path(file.locate()).exists()
        for file in files
    )


def as_plugin(loaded: object) -> object:
    """Return what an entry point names as a plugin object.

    That is the object itself or, of a function or class that `seqd.plugin` has decorated, and of a
    module of them, one that hands their models over and has the module's other hooks.
    """
    if hasattr(loaded, "seqd_register_models"):
        return loaded
    models = decorated_models(loaded)
    if not models:
        return loaded
    is_module = isinstance(loaded, ModuleType)
    hooks = {name: one for name, one in vars(loaded).items() if name.startswith("seqd_")}
    return DecoratedPlugin(models, hooks if is_module else {})


def check_markers(plugin: object, manager: pluggy.PluginManager) -> None:
    """Refuse a hook without its decorator, and a plugin without any hook. Raises PluginFault."""
    known = _known_hooks(manager)
    names = [name for name in dir(plugin) if name.startswith("seqd_")]
    for name in names:
        marked = manager.parse_hookimpl_opts(plugin, name) is not None
        if name in known and not marked and inspect.isroutine(getattr(plugin, name)):
            raise PluginFault(
                f"{name} is not marked as a hook. Put @hookimpl from seqd.hookspecs above it."
            )
    if all(manager.parse_hookimpl_opts(plugin, name) is None for name in dir(plugin)):
        raise PluginFault(
            f"it implements no hook of seqd, and nothing of it is decorated by seqd.plugin. Hooks: "
            f"{listed(known)}. Does its entry point name the right module?"
        )


def check_hook_names(plugin: object, manager: pluggy.PluginManager) -> None:
    """Refuse a registered plugin's hook that has no specification. Raises PluginFault.

    An implementation marked `optionalhook=True` may have none: so a plugin can be written for
    several versions of the daemon.
    """
    known = _known_hooks(manager)
    for caller in manager.get_hookcallers(plugin) or ():
        mine = [impl for impl in caller.get_hookimpls() if impl.plugin is plugin]
        if caller.name not in known and not all(impl.optionalhook for impl in mine):
            raise PluginFault(
                f"it implements the unknown hook {caller.name!r}{_defined_at(mine[0].function)}."
                f"{did_you_mean(caller.name, known)} Known hooks: {listed(known)}."
            )


def _defined_at(function: object) -> str:
    """Return where a function of a plugin is defined, in brackets; '' where it has no code."""
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    if not isinstance(code, CodeType):
        return ""
    frame = frame_of(code.co_filename, code.co_firstlineno, code.co_name)
    return f" ({frame.file}, line {frame.line})"


def _known_hooks(manager: pluggy.PluginManager) -> list[str]:
    callers = (value for value in vars(manager.hook).values() if hasattr(value, "spec"))
    return sorted(caller.name for caller in callers if caller.has_spec())


LOG = logging.getLogger(__name__)

#: Imports of one of these cost seconds and take the GPU before the slot is pinned (I1).
HEAVY: Final = frozenset({"keras", "tensorflow", "torch", "jax"})

_IMPORT_INSIDE: Final = (
    "Import {} inside load() or train(), not at the top of a module: it takes seconds and may take "
    "the GPU."
)

#: Seconds that a plugin's import may take before the log says so. Descriptions alone need
#: about 0.01 s; users of other hosts complain from 1 s on.
IMPORT_BUDGET_S: Final = 1.0

_RETURN_A_LIST: Final = "Return a list of models, such as [MyModel()]."


def load_plugin(
    candidate: PluginSource, manager: pluggy.PluginManager, owners: Mapping[str, PluginStatus]
) -> tuple[PluginStatus, Mapping[str, Model]]:
    """Load one plugin; return how it stands, and its models where it is ready.

    `owners` has the models that earlier plugins brought. Never raises, except KeyboardInterrupt. A
    refused plugin leaves nothing in `manager`.
    """
    registered = False
    plugin: object = None
    heavy_before = HEAVY.intersection(sys.modules)
    started, delay = time.perf_counter(), RunDelay()
    delay.since_last_s()
    try:
        with OneProcess():
            plugin = as_plugin(candidate.load())
            _register(candidate, plugin, manager)
            registered = True
            models = _models_of(plugin, manager, owners)
        _check_still_light(heavy_before, candidate.package)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  a plugin may also call sys.exit()
        if registered:
            manager.unregister(plugin)
        if isinstance(error, SchemaError):
            error = PluginFault(schema_fault(error)).with_traceback(error.__traceback__)
        return _broken(candidate, error, time.perf_counter() - started), {}
    seconds = time.perf_counter() - started
    return _ready(candidate, models, seconds, seconds - delay.since_last_s()), models


def status_of(
    candidate: PluginSource, state: PluginState, reason: str = "", **more: object
) -> PluginStatus:
    """Make the table's line for a candidate, its texts cut to what the wire takes."""
    fields = {
        "name": candidate.name[:128],
        "distribution": candidate.distribution[:128],
        "version": candidate.version[:64],
        "state": state,
        "reason": reason[:4_096],
    }
    return PluginStatus.model_validate(fields | more)


def refuse(candidate: PluginSource, reason: str, **more: object) -> PluginStatus:
    """List a candidate as broken and tell the log, once."""
    LOG.error("plugin %s (%s) is broken: %s", candidate.name, candidate.origin, reason)
    return status_of(candidate, PluginState.BROKEN, reason, **more)


def _register(candidate: PluginSource, plugin: object, manager: pluggy.PluginManager) -> None:
    """Register the plugin, or leave `manager` as it was.

    pluggy >= 1.7 validates before it changes anything, but accepts a hook without a
    specification, an implementation without its decorator, and a plugin without any hook.
    """
    check_markers(plugin, manager)
    if manager.is_registered(plugin):
        raise PluginFault(
            f"it is the same object as the plugin {manager.get_name(plugin)!r}. One entry point "
            "for each plugin is enough: remove one of the two."
        )
    manager.register(plugin, name=candidate.name)
    try:
        check_hook_names(plugin, manager)
    except PluginFault:
        manager.unregister(plugin)
        raise


def _models_of(
    plugin: object, manager: pluggy.PluginManager, owners: Mapping[str, PluginStatus]
) -> dict[str, Model]:
    others = [other for other in manager.get_plugins() if other is not plugin]
    caller = manager.subset_hook_caller("seqd_register_models", remove_plugins=others)
    models: dict[str, Model] = {}
    answers = caller()
    if not answers and implements(manager, plugin, "seqd_register_models"):
        # pluggy leaves answers of None out
        raise PluginFault("seqd_register_models returned nothing. " + _RETURN_A_LIST)
    for answer in answers:
        if not isinstance(answer, Iterable):
            raise PluginFault(f"seqd_register_models returned {answer!r:.80}. {_RETURN_A_LIST}")
        for model in answer:
            check_model(model)
            check_publishable(model)
            _check_name_is_free(model.name, models, owners)
            models[model.name] = model
            if len(models) > MAX_MODELS:
                raise PluginFault(f"it brings more than {MAX_MODELS} models. Split the plugin.")
    return dict(sorted(models.items()))


def implements(manager: pluggy.PluginManager, plugin: object, hook: str) -> bool:
    """Return True for a plugin that has an implementation of a hook."""
    return any(caller.name == hook for caller in manager.get_hookcallers(plugin) or ())


def _check_name_is_free(
    name: str, mine: Mapping[str, Model], owners: Mapping[str, PluginStatus]
) -> None:
    if name in mine:
        raise PluginFault(f"it brings two models named {name!r}. Rename one of them.")
    if name in owners:
        owner = owners[name]
        raise NameTaken(
            f"its model {name!r} is already brought by the plugin {owner.name!r} of "
            f"{owner.distribution}. Rename it, or disable one of the two plugins with "
            "SEQD_DISABLED_PLUGINS."
        )


def _check_still_light(heavy_before: frozenset[str], package: str) -> None:
    loaded = HEAVY.intersection(sys.modules) - heavy_before
    if loaded:
        raise PluginFault(
            f"it imports {listed(loaded)} while it is loaded{_imported_at(loaded, package)}, which "
            "takes seconds and may take the GPU. Import it inside load() or train()."
        )


def _imported_at(libraries: Iterable[str], package: str) -> str:
    """Return which line of the plugin imports one of the libraries, in brackets; '' where none."""
    line = re.compile(rf"(?:import|from)\s+(?:{'|'.join(sorted(libraries))})\b")
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is None or name.partition(".")[0] != package:
            continue
        for number, text in enumerate(linecache.getlines(file), 1):
            if line.match(text):
                frame = frame_of(file, number, "")
                return f" ({frame.file}, line {frame.line})"
    return ""


def _broken(candidate: PluginSource, error: BaseException, seconds: float) -> PluginStatus:
    LOG.debug("plugin %s raised", candidate.name, exc_info=error)
    code = error.code if isinstance(error, PluginFault) else "import_failed"
    return refuse(candidate, reason_for(error, candidate), code=code, import_seconds=seconds)


def _ready(
    candidate: PluginSource, models: Mapping[str, Model], seconds: float, own_s: float
) -> PluginStatus:
    # Without its waits for a processor: on a busy machine a light plugin has longer ones than this.
    if own_s > IMPORT_BUDGET_S:
        LOG.warning(
            "plugin %s (%s) took %.1f s to load; a description must import nothing heavy (I2)",
            candidate.name,
            candidate.origin,
            seconds,
        )
    return status_of(
        candidate, PluginState.READY, models=tuple(sorted(models)), import_seconds=seconds
    )
