"""Keys of the gateway: who has one, for what, and whether a request with it is served.

Of a secret its SHA-256 is kept, as the field's name. A password would need a slow hash, since it
can be guessed; a secret of 256 random bits cannot, however fast its hash is.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final, cast

from pydantic import ValidationError

from seqd.errors import InvalidRequest, UnknownKey
from seqd.ledger.audit import Audit, audited
from seqd.ledger.exchange import Command, Exchange, command, exchange, pipeline, script, server_ms
from seqd.ledger.fleet import readable
from seqd.ledger.rules import Rules
from seqd.ledger.scripts import as_bytes, as_int, as_list, as_text
from seqd.ledger.tenants import checked_name
from seqd.validation import did_you_mean, fault_sentence, shown
from seqd_schemas import ApiKey, ApiKeyRecord, KeyRole, from_stored, to_stored

#: Keys that there may be.
MAX_API_KEYS: Final = 10_000

#: What a secret begins with, so that people and scanners know what they have found.
_BEGIN: Final = "seqd-"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made, with its secret, which nobody can tell again."""

    key: ApiKey
    secret: str = field(repr=False)


class Verdict(StrEnum):
    """Whether a request is served."""

    #: No key was ever made, so none is asked for.
    OPEN = "open"
    #: There is no such key, or no more.
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    #: The key has sent as many requests in a minute as it may.
    LIMITED = "limited"
    ADMITTED = "admitted"


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a request is served, and for whom."""

    verdict: Verdict
    #: None where the request has no key that there is.
    key: ApiKey | None = None
    #: Of a key with a rate: requests that are left to it, and milliseconds until it has all again.
    left: int = 0
    reset_ms: int = 0
    #: Milliseconds until it has one, where it is limited.
    retry_after_ms: int = 0


class ApiKeys(Rules):
    """The keys on one server under one key prefix."""

    name = "api_keys"
    version_field = ":version"  # a name that no digest can have

    @exchange
    def new(
        self,
        tenant: str,
        role: KeyRole,
        *,
        name: str = "",
        expires_in: timedelta | None = None,
        requests_per_minute: int | None = None,
    ) -> Exchange[NewKey]:
        """Make a key, and return it with its secret. Raises InvalidRequest."""
        now_ms = yield from server_ms()
        fields = {
            "id": f"key_{secrets.token_hex(5)}",
            "tenant": checked_name(tenant),
            "role": role,
            "name": name,
            "created_at_ms": now_ms,
            "expires_at_ms": expires_in and now_ms + expires_in // timedelta(milliseconds=1),
            "requests_per_minute": requests_per_minute,
        }
        try:
            key = ApiKey.model_validate(fields)
        except ValidationError as error:
            raise InvalidRequest(f"{fault_sentence(error)}.") from None
        secret = f"{_BEGIN}{secrets.token_hex(32)}"
        yield from self._changed("keys.new", key, digest_of(secret), to_stored(key))
        return NewKey(key, secret)

    @exchange
    def all(self) -> Exchange[list[ApiKeyRecord]]:
        """Return the keys, the oldest first; one that a later version has written is left out."""
        reply = yield from command("HGETALL", self._keys.api_keys_used())
        used = cast(dict[bytes, bytes], reply)
        found = []
        for key in (yield from self.stored(ApiKey)):
            at_ms = used.get(key.id.encode())
            last_used_at_ms = None if at_ms is None else int(at_ms)
            found.append(ApiKeyRecord(**dict(key), last_used_at_ms=last_used_at_ms))
        return sorted(found, key=lambda key: (key.created_at_ms, key.id))

    @exchange
    def revoke(self, key_id: str) -> Exchange[ApiKey]:
        """Remove a key, and return it: no request with it is served any more. Raises UnknownKey."""
        rows = cast(dict[bytes, bytes], (yield from command("HGETALL", self.key)))
        rows.pop(self.version_field.encode(), None)
        known = {key.id: digest for digest, row in rows.items() for key in readable(ApiKey, [row])}
        if key_id not in known:
            raise UnknownKey(
                f"There is no key {shown(key_id)}.{did_you_mean(key_id, known)} `seqd keys list` "
                "lists those that there are."
            )
        digest = known[key_id]
        key = from_stored(ApiKey, rows[digest])
        yield from self._changed("keys.revoke", key, digest.decode(), "")
        yield from pipeline([Command(("HDEL", self._keys.api_keys_used(), key_id))])
        return key

    @exchange
    def admitted(self, secret: str | None) -> Exchange[Admission]:
        """Return whether a request with this secret is served, which then counts, in one step."""
        digest = "" if secret is None else digest_of(secret)
        verdict, *rest = as_list((yield from script("admit_request", digest)))
        if not rest:
            return Admission(Verdict(as_text(verdict)))
        record, *numbers = rest
        key = from_stored(ApiKey, as_bytes(record))
        return Admission(Verdict(as_text(verdict)), key, *map(as_int, numbers))

    def _changed(self, action: str, key: ApiKey, digest: str, record: str) -> Exchange[int]:
        """Set or remove the record of a key, and write that into the audit."""
        too_many = (
            f"keys would stand; allowed: {MAX_API_KEYS:,}. Revoke those that nobody uses: `seqd "
            "keys list` says when each was used last."
        )
        change = self.change_stored(MAX_API_KEYS, [(digest, record)], too_many)
        details = key.model_dump(mode="json", exclude={"id", "created_at_ms"})
        return audited(Audit(self._ledger), change, action, key.id, details)


def digest_of(secret: str) -> str:
    """Return the name by which Redis knows a secret: its SHA-256 in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()
