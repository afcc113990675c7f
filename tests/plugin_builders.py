"""A plugin host with plugins that are at hand, as if entry points had named them."""

from collections.abc import Iterable
from pathlib import Path

from seqd.models.loading import PluginSource
from seqd.models.registry import Registry
from seqd.settings import Settings
from seqd.testing.in_process.worker import ThreadWorker


def a_registry_of(
    plugins: Iterable[tuple[str, object]], settings: Settings | None = None
) -> Registry:
    """Load modules or objects under these names, and nothing else."""
    return Registry([_candidate(name, plugin) for name, plugin in plugins], settings or Settings())


def a_worker_of(name: str, plugin: object, settings: Settings) -> ThreadWorker:
    """Return a worker of the test's process with one plugin; start it, and close it."""
    return ThreadWorker(settings, a_registry_of([(name, plugin)], settings))


def place(file: Path, code: str, function: str) -> str:
    """Return how a message names the one line of a plugin's file that begins with `code`."""
    lines = enumerate(file.read_text().splitlines(), 1)
    (line,) = [at for at, text in lines if text.lstrip().startswith(code)]
    return f"({file.name}, line {line}, in {function})"


def _candidate(name: str, plugin: object) -> PluginSource:
    return PluginSource(name=name, loads=lambda: plugin, address=getattr(plugin, "__name__", ""))
