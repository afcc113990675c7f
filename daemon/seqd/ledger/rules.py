"""Operators' rules: who is cordoned, drained or to be restarted, and which workers serve a model.

Rules of a kind stand in one small hash until they are removed, so they hold while a worker is down,
and before it first starts. A number beside them counts their changes: whoever looks often reads
that alone. A notice has workers look at once.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from seqd.errors import InvalidRequest
from seqd.ledger.exchange import Exchange, Part, command, exchange, script
from seqd.ledger.fleet import readable
from seqd.ledger.scripts import as_int, as_list
from seqd_schemas import (
    MAX_CORDON_RULES,
    MAX_PLACEMENTS,
    CordonAction,
    CordonRule,
    PlacementRule,
    to_stored,
)

if TYPE_CHECKING:
    from seqd_schemas import WireModel

_Rule = TypeVar("_Rule", bound="WireModel")


class Rules(Part):
    """The rules of a kind on one server under one key prefix."""

    #: The end of the key, and its field that counts the changes, '' for none.
    name: str
    version_field = ""

    @property
    def key(self) -> str:
        """The hash with the rules."""
        return f"{self._keys.prefix}:{self.name}"

    @exchange
    def version(self) -> Exchange[bytes | None]:
        """Return what changes with each change of the rules; None before the first."""
        return cast(bytes | None, (yield from command("HGET", self.key, self.version_field)))

    def stored(self, kind: type[_Rule]) -> Exchange[list[_Rule]]:
        """Return the rules that stand; one that a later version has written is left out."""
        rows = cast(dict[bytes, bytes], (yield from command("HGETALL", self.key)))
        rows.pop(self.version_field.encode(), None)
        return readable(kind, [rows[name] for name in sorted(rows)])

    def change_stored(
        self, most: int, pairs: Iterable[tuple[str, str]], too_many: str
    ) -> Exchange[int]:
        """Set rules by field, '' removes one: all or none; return how many this has changed.

        Raises InvalidRequest where too many would stand, with what is to be said of that number.
        """
        arguments = [part for pair in pairs for part in pair]
        called = yield from script("set_rules", self.name, self.version_field, most, *arguments)
        stand, *changed = as_list(called)
        if as_int(stand) < 0:
            raise InvalidRequest(f"{as_int(changed[0])} {too_many}")
        return len(changed)


class Cordons(Rules):
    """The rules on workers."""

    name = "cordons"
    version_field = "version"

    @exchange
    def rules(self) -> Exchange[list[CordonRule]]:
        """Return the rules that stand, the oldest first."""
        return sorted((yield from self.stored(CordonRule)), key=lambda rule: rule.at_ms)

    @exchange
    def change(
        self, *, add: Sequence[CordonRule] = (), remove: Iterable[CordonRule] = ()
    ) -> Exchange[int]:
        """Add rules, in the place of those with the same target, and remove others: all or none.

        Returns how many of them this has changed. Raises InvalidRequest where too many would stand.
        """
        pairs = [(_field_of(rule), to_stored(rule)) for rule in add]
        pairs += [(_field_of(rule), "") for rule in remove]
        too_many = (
            f"rules would stand; allowed: {MAX_CORDON_RULES}. Remove those that are not needed any "
            "more (`seqd workers list` shows them, `seqd workers uncordon` removes them), or mean "
            "many workers by one --label."
        )
        return (yield from self.change_stored(MAX_CORDON_RULES, pairs, too_many))


class Placements(Rules):
    """The rules on models."""

    name = "placements"
    version_field = ":version"  # a name that no model can have

    @exchange
    def rules(self) -> Exchange[dict[str, PlacementRule]]:
        """Return the rules that stand, by model, in alphabetical order."""
        return {rule.model: rule for rule in (yield from self.stored(PlacementRule))}

    @exchange
    def place(self, rule: PlacementRule) -> Exchange[bool]:
        """Set the rule of a model, in the place of the one before; False where it stood already.

        Raises InvalidRequest where too many models would be placed.
        """
        too_many = (
            f"models would be placed; allowed: {MAX_PLACEMENTS}. Remove those that need no "
            "placement any more: `seqd models place` lists all, `seqd models place NAME "
            "--anywhere` removes one."
        )
        pairs = [(rule.model, to_stored(rule))]
        return (yield from self.change_stored(MAX_PLACEMENTS, pairs, too_many)) == 1

    @exchange
    def remove(self, model: str) -> Exchange[bool]:
        """Remove the rule of a model; False where it had none."""
        return (yield from self.change_stored(MAX_PLACEMENTS, [(model, "")], "")) == 1


def _field_of(rule: CordonRule) -> str:
    return f"restart:{rule.target}" if rule.action is CordonAction.RESTART else rule.target
