"""Waits until what was written is on the server's disk, where the server can tell.

Redis with `appendfsync everysec` answers before it has synced: a crash of the machine takes up
to a second of acknowledged writes with it. `WAITAOF` (Redis 7.2, Valkey) waits for the sync, but
only for writes of its own connection; so one is made here, behind all that came before.
"""

import logging
from typing import cast
from weakref import WeakSet

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from seqd.errors import REDIS_ERRORS
from seqd.ledger.connection import redis_errors, timeout_s_of
from seqd_schemas import Keys

log = logging.getLogger(__name__)

#: Seconds until the mark goes by itself. It has served when `WAITAOF` answers.
MARK_TTL_S = 60

#: Clients whose server cannot tell; they are not asked again.
_cannot_tell: WeakSet[Redis] = WeakSet()


def wait_until_durable(redis: Redis, keys: Keys, timeout_s: float) -> bool:
    """Wait until all that the server has acknowledged so far is on its disk; True when it is.

    False when that took longer than `timeout_s` (or four fifths of the connection's own
    timeout), when Redis was away or full, and at once on a server that cannot tell: Redis before
    7.2, one without an append-only file, or a user without the right to `WAITAOF`. Such a server
    is not asked a second time through the same client. Raises nothing: what was written stands,
    and the answer is only what is known about it.
    """
    if redis in _cannot_tell:
        return False
    timeout_ms = max(1, int(1000 * min(timeout_s, 0.8 * timeout_s_of(redis))))  # 0 is for ever
    try:
        with redis_errors(redis):
            marked, synced = _mark_and_wait(redis, keys.durability_mark(), timeout_ms)
            if isinstance(marked, RedisError):
                raise marked
    except (*REDIS_ERRORS, ResponseError) as error:
        log.info("not known to be on disk: %s", error)
        return False
    if isinstance(synced, ResponseError):
        log.info("the server cannot tell what is on its disk: %s", synced)
        _cannot_tell.add(redis)
        return False
    return cast(list[int], synced)[0] >= 1


def _mark_and_wait(redis: Redis, mark: str, timeout_ms: int) -> list[object]:
    # One pipeline: one connection, and after a break both commands are sent again. `WAITAOF`
    # alone on a new connection would find nothing to wait for, and say yes.
    with redis.pipeline(transaction=False) as pipe:
        pipe.set(mark, 1, ex=MARK_TTL_S)
        pipe.waitaof(1, 0, timeout_ms)
        return cast(list[object], pipe.execute(raise_on_error=False))
