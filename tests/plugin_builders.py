"""A plugin host with plugins that are at hand, as if entry points had named them."""

from collections.abc import Iterable

from seqd.models.loading import Candidate
from seqd.models.registry import Registry
from seqd.settings import Settings


def a_registry_of(
    plugins: Iterable[tuple[str, object]], settings: Settings | None = None
) -> Registry:
    """Load modules or objects under these names, and nothing else."""
    return Registry([_candidate(name, plugin) for name, plugin in plugins], settings or Settings())


def _candidate(name: str, plugin: object) -> Candidate:
    return Candidate(name=name, load=lambda: plugin, address=getattr(plugin, "__name__", ""))
