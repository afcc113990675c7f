"""Operators' rules on models: which workers serve each.

They stand in one small hash until they are removed, so they hold while workers are down, and before
a model is made. A number beside them counts their changes: whoever looks often reads that alone.
"""

from typing import cast

from redis import Redis

from seqd.errors import InvalidRequest
from seqd.ledger.fleet import readable
from seqd.ledger.redis import redis_errors
from seqd.ledger.scripts import as_int, as_list
from seqd.ledger.transport import Transport
from seqd_schemas import MAX_PLACEMENTS, Keys, PlacementRule, to_stored

_VERSION = ":version"


class Placements:
    """The rules on one server under one key prefix."""

    def __init__(self, redis: Redis, transport: Transport, keys: Keys) -> None:
        self._redis = redis
        self._transport = transport
        self._key = keys.placements()

    def version(self) -> bytes | None:
        """Return what changes with each change of the rules; None before the first."""
        with redis_errors(self._redis):
            return cast(bytes | None, self._redis.hget(self._key, _VERSION))

    def rules(self) -> dict[str, PlacementRule]:
        """Return the rules that stand, by model, in alphabetical order.

        One that a later version has written, or somebody by hand, is left out with a warning.
        """
        with redis_errors(self._redis):
            rows = cast(dict[bytes, bytes], self._redis.hgetall(self._key))
        rows.pop(_VERSION.encode(), None)
        found = sorted(readable(PlacementRule, rows.values()), key=lambda rule: rule.model)
        return {rule.model: rule for rule in found}

    def place(self, rule: PlacementRule) -> bool:
        """Set the rule of a model, in the place of the one before; False where it stood already.

        Raises InvalidRequest where too many models would be placed.
        """
        stand, changed = self._call(rule.model, to_stored(rule))
        if stand < 0:
            raise InvalidRequest(
                f"{changed} models would be placed; allowed: {MAX_PLACEMENTS}. Remove those that "
                "need no placement any more: `seqd models place` lists all, `seqd models place "
                "NAME --anywhere` removes one."
            )
        return changed == 1

    def remove(self, model: str) -> bool:
        """Remove the rule of a model; False where it had none."""
        return self._call(model, "")[1] == 1

    def _call(self, model: str, rule: str | bytes) -> tuple[int, int]:
        stand, changed = as_list(self._transport.call("place", MAX_PLACEMENTS, model, rule))
        return as_int(stand), as_int(changed)
