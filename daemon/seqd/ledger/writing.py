"""Whether Redis takes writes just now. While it takes none, workers cannot report, and look silent.

A read-only replica, a server without memory, disk or replicas answers all that is read, so whoever
looks at a fleet finds every worker gone, though each of them runs and waits.
"""

from collections.abc import Mapping
from typing import Final

from redis.exceptions import ResponseError

from seqd.ledger.exchange import Command, Exchange, Part, exchange, pipeline
from seqd.ledger.redis import MARK_TTL_S, passing_code

#: Why a server takes no writes, by the code of the error that any write gets.
REASONS: Final = {
    "READONLY": "it is a read-only replica",
    "NOREPLICAS": "too few of its replicas are connected",
    "MISCONF": "it cannot write to its disk",
    "OOM": "it has reached its maxmemory",
}

#: What is to be known while `InboxStream.memory_is_short`.
SHORT_OF_MEMORY: Final = (
    "Redis has used up the share of its memory that new work may take (SEQD_MAX_MEMORY_SHARE): new "
    "jobs are refused, and uploads wait. See: seqd doctor"
)


class Writing(Part):
    """Asks one server whether it takes writes."""

    @exchange
    def refusal(self) -> Exchange[str | None]:
        """Return why Redis takes no writes, such as `it is a read-only replica`.

        None where it takes them: tried by the durability mark, which goes by itself. None also for
        a user who may not write.
        """
        mark = Command(("SET", self._keys.durability_mark(), 1, "EX", MARK_TTL_S))
        (written,) = yield from pipeline((mark,), raises=False)
        code = passing_code(written) if isinstance(written, ResponseError) else None
        if code != "READONLY":
            return REASONS.get(code or "")
        # Only now: clients lack the right to it, and Redis notes each command that it denies.
        (told,) = yield from pipeline((Command(("INFO", "replication")),), raises=False)
        return f"{REASONS[code]}{primary_of(told) if isinstance(told, dict) else ''}"


def primary_of(info: Mapping[str, object]) -> str:
    """Return whose replica a server is by its `INFO replication`, as the end of a sentence.

    Such as ` of 10.0.0.1:6379, and the link to it is down`; '' where it does not tell.
    """
    host, port = info.get("master_host"), info.get("master_port")
    if not host:
        return ""
    link = info.get("master_link_status", "down")
    return f" of {host}:{port}, and the link to it is {link}"


def no_writes_line(refusal: str) -> str:
    """Return what is to be known of a fleet whose Redis takes no writes, as sentences."""
    return (
        f"Redis takes no writes ({refusal}): its workers cannot report, and look silent. Leave "
        "them running, they go on by themselves. See: seqd doctor"
    )
