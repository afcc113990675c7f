"""Operators' rules: who is cordoned, drained or to be restarted, and which workers serve a model.

Rules of a kind stand in one small hash until they are removed, so they hold while a worker is down,
and before it first starts. A number beside them counts their changes: whoever looks often reads
that alone.
"""

from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar, cast

from seqd.errors import InvalidRequest
from seqd.ledger.fleet import readable
from seqd.ledger.redis import redis_errors
from seqd.ledger.scripts import as_int, as_list
from seqd.ledger.transport import Connected
from seqd_schemas import (
    MAX_CORDON_RULES,
    MAX_PLACEMENTS,
    CordonAction,
    CordonRule,
    PlacementRule,
    to_stored,
)

_Rule = TypeVar("_Rule", CordonRule, PlacementRule)


class _Rules(Generic[_Rule]):
    """The rules of a kind on one server under one key prefix."""

    #: What one of them is, the end of the key, and its field that counts the changes.
    kind: type[_Rule]
    name: str
    version_field: str

    def __init__(self, ledger: Connected) -> None:
        self._redis = ledger.redis
        self._transport = ledger.transport
        self._key = f"{ledger.keys.prefix}:{self.name}"

    def version(self) -> bytes | None:
        """Return what changes with each change of the rules; None before the first."""
        with redis_errors(self._redis):
            return cast(bytes | None, self._redis.hget(self._key, self.version_field))

    def _stored(self) -> list[_Rule]:
        """Return the rules that stand; one that a later version has written is left out."""
        with redis_errors(self._redis):
            rows = cast(dict[bytes, bytes], self._redis.hgetall(self._key))
        rows.pop(self.version_field.encode(), None)
        return readable(self.kind, rows.values())

    def _change(self, most: int, pairs: Iterable[tuple[str, str]]) -> tuple[int, int]:
        """Set rules by field, '' removes one; return how many changed, how many are too many."""
        arguments = [part for pair in pairs for part in pair]
        called = self._transport.call("set_rules", self.name, self.version_field, most, *arguments)
        stand, *changed = as_list(called)
        return (0, as_int(changed[0])) if as_int(stand) < 0 else (len(changed), 0)


class Cordons(_Rules[CordonRule]):
    """The rules on workers."""

    kind = CordonRule
    name = "cordons"
    version_field = "version"

    def rules(self) -> list[CordonRule]:
        """Return the rules that stand, the oldest first."""
        return sorted(self._stored(), key=lambda rule: rule.at_ms)

    def change(self, *, add: Sequence[CordonRule] = (), remove: Iterable[CordonRule] = ()) -> int:
        """Add rules, in the place of those with the same target, and remove others: all or none.

        Returns how many of them this has changed. Raises InvalidRequest where too many would stand.
        """
        pairs = [(_field_of(rule), to_stored(rule)) for rule in add]
        pairs += [(_field_of(rule), "") for rule in remove]
        changed, too_many = self._change(MAX_CORDON_RULES, pairs)
        if too_many:
            raise InvalidRequest(
                f"{too_many} rules would stand; allowed: {MAX_CORDON_RULES}. Remove those that are "
                "not needed any more (`seqd workers list` shows them, `seqd workers uncordon` "
                "removes them), or mean many workers by one --label."
            )
        return changed


class Placements(_Rules[PlacementRule]):
    """The rules on models."""

    kind = PlacementRule
    name = "placements"
    version_field = ":version"  # a name that no model can have

    def rules(self) -> dict[str, PlacementRule]:
        """Return the rules that stand, by model, in alphabetical order."""
        return {rule.model: rule for rule in sorted(self._stored(), key=lambda rule: rule.model)}

    def place(self, rule: PlacementRule) -> bool:
        """Set the rule of a model, in the place of the one before; False where it stood already.

        Raises InvalidRequest where too many models would be placed.
        """
        changed, too_many = self._change(MAX_PLACEMENTS, [(rule.model, to_stored(rule))])
        if too_many:
            raise InvalidRequest(
                f"{too_many} models would be placed; allowed: {MAX_PLACEMENTS}. Remove those that "
                "need no placement any more: `seqd models place` lists all, `seqd models place "
                "NAME --anywhere` removes one."
            )
        return changed == 1

    def remove(self, model: str) -> bool:
        """Remove the rule of a model; False where it had none."""
        return self._change(MAX_PLACEMENTS, [(model, "")])[0] == 1


def _field_of(rule: CordonRule) -> str:
    return f"restart:{rule.target}" if rule.action is CordonAction.RESTART else rule.target
