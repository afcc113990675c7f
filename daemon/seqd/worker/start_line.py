"""The first line of a worker's log: who it is, what it serves, and from where."""

import platform

from seqd import __version__
from seqd.local.gpus import PinnedGpu
from seqd.masking import without_password
from seqd.models.registry import Registry
from seqd.settings import Settings
from seqd.worker.context import Identity
from seqd_schemas import PluginState

#: Plugins that the line names at most.
_MOST_PLUGINS = 50


def start_line(identity: Identity, settings: Settings, registry: Registry) -> str:
    """Return the line."""
    slot, redis = identity.slot, settings.redis_url or ""
    fields = {
        "worker": identity.name,
        "slot": slot.name,
        "host": identity.host,
        "device": _device(slot.gpu),
        "threads": slot.threads,
        "tasks": ",".join(slot.tasks),
        "seqd": __version__,
        "python": platform.python_version(),
        "plugins": _plugins(registry),
        "serves": ",".join(settings.serves or ()) or "all",
        "store": settings.store_dir,
        "redis": without_password(redis),
        "prefix": settings.prefix,
        "data_dir": settings.data_dir,
        "log": settings.log_format,
    }
    return f"worker starts: {' '.join(f'{name}={value}' for name, value in fields.items())}"


def _device(gpu: PinnedGpu | None) -> str:
    return "cpu" if gpu is None else f"{gpu.name}({gpu.uuid})"


def _plugins(registry: Registry) -> str:
    """Return the plugins with their versions, those that are not ready with their state."""
    named = [
        f"{one.name}@{one.version}"
        if one.state is PluginState.READY
        else f"{one.name}@{one.version}({one.state})"
        for one in registry.statuses
    ]
    rest = len(named) - _MOST_PLUGINS
    return ",".join(named[:_MOST_PLUGINS]) + (f",… {rest} more" if rest > 0 else "") or "none"
