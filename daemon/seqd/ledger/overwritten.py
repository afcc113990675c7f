"""Reads of a key that somebody may have written over by hand with a value of another type.

Such a key is read as empty, with a warning that says what to do: what only tells of the work keeps
nobody from looking at the rest.
"""

import logging
from typing import cast

from redis.exceptions import ResponseError

from seqd.ledger.exchange import Exchange, command

log = logging.getLogger(__name__)


def unless_overwritten(what: str, *words: str | int) -> Exchange[object]:
    """Return the reply to a command on a key, which is its second word.

    None, with a warning, where the key has another type. `what` is kept there.
    """
    try:
        return (yield from command(*words))
    except ResponseError as error:
        if not is_overwritten(error):
            raise
    log.warning(
        "the key %s of %s has a value of another type than seqd writes, and is read as empty. "
        "Remove it, and seqd begins it anew: redis-cli del %s",
        *(words[1], what, words[1]),
    )
    return None


def hash_unless_overwritten(what: str, key: str) -> Exchange[dict[bytes, bytes]]:
    """Return a hash; an empty one, with a warning, where the key has another type."""
    rows = yield from unless_overwritten(what, "HGETALL", key)
    return cast(dict[bytes, bytes], rows or {})


def is_overwritten(error: ResponseError) -> bool:
    """Return whether a command failed since its key has a value of another type."""
    return str(error).startswith("WRONGTYPE")
