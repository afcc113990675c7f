"""Which rights the exporter's user of Redis lacks: in the log by name, in the metrics by number."""

import logging
from collections.abc import Callable
from time import monotonic
from typing import Self

from redis import Redis

from seqd.errors import REDIS_ERRORS
from seqd.ledger.acl import Role
from seqd.ledger.redis import user_of
from seqd.ledger.rights import OPTIONAL, missing_rights
from seqd_schemas import Keys

log = logging.getLogger(__name__)

#: Seconds between two looks while all goes well, and after a read was denied.
LOOK_S = 300.0
DENIED_LOOK_S = 15.0

#: What costs no metric; without `info` there are none of Redis itself.
_NOT_NEEDED = OPTIONAL - {"info"}


class RightsWatch:
    """Tries the user's rights from time to time; used by one thread."""

    def __init__(self, find: Callable[[], list[str]], user: str) -> None:
        """`find` returns the rights that are missing, as `missing_rights` does."""
        self._find = find
        self._user = user
        self._rights: list[str] | None = None
        self._looked_s = 0.0

    @classmethod
    def of(cls, redis: Redis, keys: Keys) -> Self:
        """Return the watch of a connection's user."""
        return cls(lambda: missing_rights(redis, Role.EXPORTER, keys), user_of(redis))

    @property
    def missing(self) -> int | None:
        """How many rights are missing; None where that is not known."""
        return None if self._rights is None else len(self._rights)

    def look(self, *, is_denied: bool) -> None:
        """Try the rights, unless that was done a moment ago; log what has changed."""
        wait_s = DENIED_LOOK_S if is_denied or self._rights else LOOK_S
        if self._rights is not None and monotonic() - self._looked_s < wait_s:
            return
        try:
            found = [right for right in self._find() if right[1:] not in _NOT_NEEDED]
        except REDIS_ERRORS as error:
            log.debug("the rights are not known: %s", error)  # the read says the same
            return
        before, self._rights, self._looked_s = self._rights or [], found, monotonic()
        if found and found != before:
            log.warning(
                "the user %r of Redis lacks %d rights of the role exporter: %s. What it may not "
                "read has no metric. Give it the rights that `seqd redis acl --role exporter "
                "--user %s` prints",
                *(self._user, len(found), " ".join(found), self._user),
            )
        elif before and not found:
            log.info("the user %r of Redis has all rights of the role exporter again", self._user)
