"""What is said of keys of the gateway: columns of tables."""

from typing import Final

from seqd.views.columns import Column
from seqd.views.numbers import age, clock, count
from seqd_schemas import ApiKeyRecord


def key_columns(now_ms: int) -> tuple[Column[ApiKeyRecord], ...]:
    """Return what tables say of a key."""
    return (
        Column("key", lambda key: key.id),
        Column("name", lambda key: key.name or "-", wraps=True),
        Column("tenant", lambda key: key.tenant),
        Column("role", lambda key: key.role.value),
        Column("made", lambda key: clock(key.created_at_ms)),
        Column("expires", lambda key: _end(key, now_ms)),
        Column(
            "a minute",
            lambda key: "-" if key.requests_per_minute is None else count(key.requests_per_minute),
            is_left_out_empty=True,
        ),
        Column("used", lambda key: _last(key, now_ms)),
    )


def _end(key: ApiKeyRecord, now_ms: int) -> str:
    if key.expires_at_ms is None:
        return "never"
    return "expired" if key.expires_at_ms <= now_ms else clock(key.expires_at_ms)


def _last(key: ApiKeyRecord, now_ms: int) -> str:
    return "never" if key.last_used_at_ms is None else f"{age(key.last_used_at_ms, now_ms)} ago"


ROLES: Final = {
    "read": "see its tenant's jobs and models",
    "submit": "see, hand in, cancel and remove its tenant's jobs; try models",
    "operate": "do all to its tenant's jobs, and promote its models",
    "admin": "do all for every tenant; workers and keys",
}
