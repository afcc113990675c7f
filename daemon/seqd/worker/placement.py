"""What rules ask of a worker: which models it serves and keeps in memory, and whether it claims.

By SEQD_SERVES, SEQD_REQUIRED_MODELS and operators' rules. Those stand in the ledger; what was seen
last holds while Redis is away.
"""

import logging
from collections.abc import Collection, Mapping

from seqd.ledger.rules import Cordons, Placements
from seqd.targets import Place, is_placed_on, rule_for, serves_model, targets_in_words
from seqd_schemas import CordonRule, PlacementRule

log = logging.getLogger(__name__)


class Placement:
    """What one worker may do. Used by the thread that works and the one that looks."""

    def __init__(
        self,
        place: Place,
        served: Collection[str] = (),
        required: Collection[str] = (),
        rules: Placements | None = None,
        cordons: Cordons | None = None,
    ) -> None:
        """`served` is all that the worker may serve, everything where it is empty."""
        self._place = place
        self._served = frozenset(served)
        self._required = frozenset(required)
        self._source = rules
        self._rules: Mapping[str, PlacementRule] = {}
        self._cordons = cordons
        #: The rule that keeps it from claiming; None while it may.
        self.cordon: CordonRule | None = None

    def look_at_cordons(self) -> bool:
        """Read the rules on workers; True where this one's has changed."""
        if self._cordons is None:
            return False
        before, self.cordon = self.cordon, rule_for(self._cordons.rules(), self._place)
        return before != self.cordon

    def look(self) -> bool:
        """Read the rules on models; True where they have changed."""
        if self._source is None:
            return False
        before, self._rules = self._rules, dict(self._source.rules())
        for model in sorted(before.keys() | self._rules.keys()):
            if before.get(model) != self._rules.get(model):
                log.info("placed model=%s: %s", model, self._told(model))
        return before != self._rules

    def serves(self, model: str) -> bool:
        """Return True where this worker serves the items of a model."""
        return serves_model(model, self._served, self._rules, self._place)

    def is_kept(self, model: str) -> bool:
        """Return True for a model that is loaded at the start and unloaded after all others.

        It is one that settings name for this worker, or that a rule places here.
        """
        if model in self._served | self._required:
            return self.serves(model)
        rule = self._rules.get(model)
        return rule is not None and is_placed_on(rule, self._place) and self.serves(model)

    def _told(self, model: str) -> str:
        rule = self._rules.get(model)
        if rule is None:
            return "anywhere"
        why = f": {rule.reason}" if rule.reason else ""
        return f"{targets_in_words(rule.targets)} by {rule.by or 'somebody'}{why}"
