"""Operators' rules on workers: who is cordoned or drained, and who is to be restarted.

They stand in one small hash until they are removed, so they hold while a worker is down, and before
it first starts. A number beside them counts their changes: whoever looks often reads that alone.
"""

from collections.abc import Iterable, Sequence
from typing import cast

from redis import Redis

from seqd.errors import InvalidRequest
from seqd.ledger.fleet import readable
from seqd.ledger.redis import redis_errors
from seqd.ledger.scripts import as_int, as_list, as_text
from seqd.ledger.transport import Transport
from seqd_schemas import (
    MAX_CORDON_RULES,
    CordonAction,
    CordonRule,
    Keys,
    to_stored,
)

_VERSION = "version"


class Cordons:
    """The rules on one server under one key prefix."""

    def __init__(self, redis: Redis, transport: Transport, keys: Keys) -> None:
        self._redis = redis
        self._transport = transport
        self._key = keys.cordons()

    def version(self) -> bytes | None:
        """Return what changes with each change of the rules; None before the first."""
        with redis_errors(self._redis):
            return cast(bytes | None, self._redis.hget(self._key, _VERSION))

    def rules(self) -> list[CordonRule]:
        """Return the rules that stand, the oldest first.

        One that a later version has written, or somebody by hand, is left out with a warning.
        """
        with redis_errors(self._redis):
            rows = cast(dict[bytes, bytes], self._redis.hgetall(self._key))
        rows.pop(_VERSION.encode(), None)
        return sorted(readable(CordonRule, rows.values()), key=lambda rule: rule.at_ms)

    def change(self, *, add: Sequence[CordonRule] = (), remove: Iterable[CordonRule] = ()) -> int:
        """Add rules, in the place of those with the same target, and remove others: all or none.

        Returns how many of them this has changed. Raises InvalidRequest where too many would stand.
        """
        arguments = [part for rule in add for part in (_field_of(rule), to_stored(rule))]
        arguments += [part for rule in remove for part in (_field_of(rule), "")]
        reply = as_list(self._transport.call("cordon", MAX_CORDON_RULES, *arguments))
        if as_int(reply[0]) < 0:
            raise InvalidRequest(
                f"{as_int(reply[1])} rules would stand; allowed: {MAX_CORDON_RULES}. Remove those "
                "that are not needed any more (`seqd workers list` shows them, `seqd workers "
                "uncordon` removes them), or mean many workers by one --label."
            )
        return len([as_text(changed) for changed in reply[1:]])


def _field_of(rule: CordonRule) -> str:
    return f"restart:{rule.target}" if rule.action is CordonAction.RESTART else rule.target
