"""Tells observer plugins what happens, one plugin at a time, so that none hides it from another.

pluggy's own call would stop at the first plugin that raises. One that raises is logged with
its traceback and called again next time. Cannot help against one that blocks. Called by `host`.
"""

import logging

import pluggy

LOG = logging.getLogger(__name__)


def notify(manager: pluggy.PluginManager, hook: str, **arguments: object) -> None:
    """Call one observer hook on each plugin that implements it, in the order of their names.

    SystemExit passes through: it is how a worker is told to go.
    """
    for name, plugin in sorted(manager.list_name_plugin()):
        if plugin is None or not _implements(manager, plugin, hook):
            continue
        others = [other for other in manager.get_plugins() if other is not plugin]
        try:
            manager.subset_hook_caller(hook, remove_plugins=others)(**arguments)
        except Exception:
            LOG.exception("plugin %s raised in %s; the work goes on", name, hook)


def observers_of(manager: pluggy.PluginManager, hook: str) -> list[str]:
    """Name the plugins that implement a hook, sorted."""
    return [
        name
        for name, plugin in sorted(manager.list_name_plugin())
        if plugin is not None and _implements(manager, plugin, hook)
    ]


def _implements(manager: pluggy.PluginManager, plugin: object, hook: str) -> bool:
    return any(caller.name == hook for caller in manager.get_hookcallers(plugin) or ())
