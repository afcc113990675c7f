"""Loaded models, least recently used first to go when their memory exceeds the budget.

TensorFlow gives GPU memory back only when its process ends, so the budget is what a slot can
hold at once; a model that alone is larger than the budget still loads, alone.
"""

import logging
from collections import OrderedDict
from time import monotonic

from seqd.hookspecs import Device, LoadedModel
from seqd.models import ModelStore, Registry

log = logging.getLogger(__name__)


class ModelCache:
    """Model versions in memory; used by one thread."""

    def __init__(
        self, registry: Registry, store: ModelStore, device: Device, budget_bytes: int
    ) -> None:
        self._registry = registry
        self._store = store
        self._device = device
        self._budget_bytes = budget_bytes
        self._loaded: OrderedDict[tuple[str, int], LoadedModel] = OrderedDict()

    def get(self, name: str, version: int) -> LoadedModel:
        """Give a version, loaded, checked and warmed up.

        Raises UnknownModel, ArtifactDamaged, or whatever the plugin raises while it loads.
        """
        key = (name, version)
        if key in self._loaded:
            self._loaded.move_to_end(key)
            return self._loaded[key]
        began = monotonic()
        model = self._registry.model(name).load(self._store.open(name, version), self._device)
        self._make_room(model.memory_bytes)
        model.warm_up()
        self._loaded[key] = model
        log.info("loaded model=%s@%d seconds=%.2f", name, version, monotonic() - began)
        return model

    def names(self) -> tuple[str, ...]:
        """List what is loaded, as `name@version`."""
        return tuple(f"{name}@{version}" for name, version in list(self._loaded))

    def _make_room(self, wanted_bytes: int) -> None:
        while self._loaded:
            held_bytes = sum(model.memory_bytes for model in self._loaded.values())
            if held_bytes + wanted_bytes <= self._budget_bytes:
                return
            (name, version), _ = self._loaded.popitem(last=False)
            log.info("unloaded model=%s@%d", name, version)
