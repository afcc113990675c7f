"""Loads one plugin in isolation: import, register, validate, or roll back and say why.

Whatever the plugin does, the daemon goes on and the plugins before it keep working. What a
valid model is stands in `model_checks`. Called by `host` only.
"""

import logging
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import pluggy

from seqd.errors import PluginFault
from seqd.hookspecs import Model
from seqd.registry.candidates import Candidate
from seqd.registry.catalog import check_publishable
from seqd.registry.hook_checks import check_hook_names, check_markers
from seqd.registry.model_checks import check_model
from seqd.registry.reasons import reason_for
from seqd.validation import listed
from seqd_schemas import MAX_MODELS, PluginState, PluginStatus

LOG = logging.getLogger(__name__)

#: Imports of one of these cost seconds and take the GPU before the slot is pinned (I1).
HEAVY: Final = frozenset({"keras", "tensorflow", "torch", "jax"})

#: Seconds that a plugin's import may take before the log says so. Descriptions alone need
#: about 0.01 s; users of other hosts complain from 1 s on.
IMPORT_BUDGET_S: Final = 1.0

_RETURN_A_LIST: Final = "Return a list of models, such as [MyModel()]."


@dataclass(frozen=True, slots=True)
class Loaded:
    """One plugin's outcome; `models` is empty unless it is ready."""

    status: PluginStatus
    models: Mapping[str, Model]


def load_plugin(
    candidate: Candidate, manager: pluggy.PluginManager, owners: Mapping[str, PluginStatus]
) -> Loaded:
    """Load one plugin; `owners` has the models that earlier plugins brought.

    Never raises, except KeyboardInterrupt. A refused plugin leaves nothing in `manager`.
    """
    registered = False
    plugin: object = None
    heavy_before = HEAVY.intersection(sys.modules)
    started = time.perf_counter()
    try:
        plugin = candidate.load()
        _register(candidate, plugin, manager)
        registered = True
        models = _models_of(plugin, manager, owners)
        _check_still_light(heavy_before)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  a plugin may also call sys.exit()
        if registered:
            manager.unregister(plugin)
        return Loaded(_broken(candidate, error, time.perf_counter() - started), {})
    return Loaded(_ready(candidate, models, time.perf_counter() - started), models)


def status_of(
    candidate: Candidate, state: PluginState, reason: str = "", **more: object
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


def refuse(candidate: Candidate, reason: str, **more: object) -> PluginStatus:
    """List a candidate as broken and tell the log, once."""
    LOG.error("plugin %s (%s) is broken: %s", candidate.name, candidate.origin, reason)
    return status_of(candidate, PluginState.BROKEN, reason, **more)


def _register(candidate: Candidate, plugin: object, manager: pluggy.PluginManager) -> None:
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
    if not answers and _brings_models(plugin, manager):
        # pluggy leaves answers of None out
        raise PluginFault("seqd_register_models returned nothing. " + _RETURN_A_LIST)
    for answer in answers:
        for model in _each(answer):
            check_model(model)
            check_publishable(model)
            _check_name_is_free(model.name, models, owners)
            models[model.name] = model
            if len(models) > MAX_MODELS:
                raise PluginFault(f"it brings more than {MAX_MODELS} models. Split the plugin.")
    return dict(sorted(models.items()))


def _brings_models(plugin: object, manager: pluggy.PluginManager) -> bool:
    callers = manager.get_hookcallers(plugin) or ()
    return any(caller.name == "seqd_register_models" for caller in callers)


def _each(answer: object) -> Iterable[Model]:
    if not isinstance(answer, Iterable):
        raise PluginFault(f"seqd_register_models returned {answer!r:.80}. {_RETURN_A_LIST}")
    return answer


def _check_name_is_free(
    name: str, mine: Mapping[str, Model], owners: Mapping[str, PluginStatus]
) -> None:
    if name in mine:
        raise PluginFault(f"it brings two models named {name!r}. Rename one of them.")
    if name in owners:
        owner = owners[name]
        raise PluginFault(
            f"its model {name!r} is already brought by the plugin {owner.name!r} of "
            f"{owner.distribution}. Rename it, or disable one of the two plugins with "
            "SEQD_DISABLED_PLUGINS."
        )


def _check_still_light(heavy_before: frozenset[str]) -> None:
    loaded = HEAVY.intersection(sys.modules) - heavy_before
    if loaded:
        raise PluginFault(
            f"it imports {listed(loaded)} while it is loaded, which takes seconds and may take "
            "the GPU. Import it inside load() or train()."
        )


def _broken(candidate: Candidate, error: BaseException, seconds: float) -> PluginStatus:
    LOG.debug("plugin %s raised", candidate.name, exc_info=error)
    return refuse(candidate, reason_for(error, candidate), import_seconds=seconds)


def _ready(candidate: Candidate, models: Mapping[str, Model], seconds: float) -> PluginStatus:
    if seconds > IMPORT_BUDGET_S:
        LOG.warning(
            "plugin %s (%s) took %.1f s to load; a description must import nothing heavy",
            candidate.name,
            candidate.origin,
            seconds,
        )
    return status_of(
        candidate, PluginState.READY, models=tuple(sorted(models)), import_seconds=seconds
    )
