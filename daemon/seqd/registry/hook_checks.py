"""What pluggy lets pass and we do not: hooks that would be registered and never be called.

pluggy itself refuses a wrong argument. Called by `loading`, before and after registration.
"""

import inspect

import pluggy

from seqd.errors import PluginFault
from seqd.validation import did_you_mean, listed


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
            f"it implements no hook of seqd. Hooks: {listed(known)}. "
            "Does its entry point name the right module?"
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
                f"it implements the unknown hook {caller.name!r}.{did_you_mean(caller.name, known)}"
                f" Known hooks: {listed(known)}."
            )


def _known_hooks(manager: pluggy.PluginManager) -> list[str]:
    callers = (value for value in vars(manager.hook).values() if hasattr(value, "spec"))
    return sorted(caller.name for caller in callers if caller.has_spec())
