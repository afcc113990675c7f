"""Removes catalog entries of models that no worker serves any more, such as of a broken plugin.

Jobs for such a model would be accepted and wait for ever. With no worker up nothing is removed, so
that jobs can be sent while a fleet restarts; and a model keeps its entry for a while after its last
worker, which may just be restarted beside others that go on. A worker that has the model publishes
it again when it starts.
"""

import logging
from collections.abc import Collection
from time import monotonic
from typing import TYPE_CHECKING

from seqd.serving import serves

if TYPE_CHECKING:
    from seqd.ledger.fleet import Fleet

log = logging.getLogger(__name__)


class StaleEntries:
    """The models that nobody serves, and since when. Used by the worker that reconciles."""

    def __init__(self, fleet: "Fleet", own_models: Collection[str], grace_s: float) -> None:
        """`own_models` are those of this worker, which may not have published its record yet."""
        self._fleet = fleet
        self._own_models = frozenset(own_models)
        self._grace_s = grace_s
        self._unserved_since_s: dict[str, float] = {}

    def run_once(self) -> None:
        """Remove the entries of models that have not been served for the time of grace."""
        now_s, workers = monotonic(), self._fleet.workers()
        if not workers:
            self.forget()
            return
        self._unserved_since_s = {
            model: self._unserved_since_s.get(model, now_s)
            for model in self._fleet.published_models() - self._own_models
            if not any(serves(worker, model) for worker in workers)
        }
        long_unserved = [
            model
            for model, since_s in self._unserved_since_s.items()
            if now_s - since_s >= self._grace_s
        ]
        if long_unserved:
            self._remove(long_unserved)

    def forget(self) -> None:
        """Begin anew: another worker reconciles now, or nobody is up whom to ask."""
        self._unserved_since_s.clear()

    def _remove(self, models: Collection[str]) -> None:
        # A worker publishes what it has before it says that it is up.
        newest_ms = self._fleet.now_ms() - int(1_000 * self._grace_s)
        removed = self._fleet.remove_published(models, older_than_ms=newest_ms)
        if removed:
            log.warning(
                "removed from the catalog, since no worker has served them for %.0f s: %s",
                self._grace_s,
                ", ".join(removed),
            )
