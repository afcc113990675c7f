"""The plugins and the model store of this machine, for commands that need no daemon.

Nothing here loads a model: descriptions, manifests and what a plugin's `inspect` shows.
"""

import time
from dataclasses import dataclass

from seqd.models import ModelStore, Registry, catalog_entry
from seqd.settings import Settings
from seqd_schemas import CatalogEntry


@dataclass(frozen=True, slots=True)
class Workshop:
    """This machine's plugins and versions."""

    registry: Registry
    store: ModelStore

    def catalog(self) -> dict[str, CatalogEntry]:
        """Describe the models that are ready here, as a worker would."""
        now_ms = time.time_ns() // 1_000_000
        return {
            name: catalog_entry(model, self.registry.plugin_of(name), self.store, now_ms)
            for name, model in self.registry.models.items()
        }


def open_workshop(settings: Settings) -> Workshop:
    """Load the plugins of this machine and open its store; runs no model."""
    registry = Registry.load(settings)
    starters = {
        name: model.starter for name, model in registry.models.items() if model.starter is not None
    }
    return Workshop(registry, ModelStore(settings.store_dir, starters))
