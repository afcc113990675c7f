"""Lets a chore of the worker go on after a failed round.

Redis away or full is expected and costs a line; anything else is a bug and costs a traceback.
Either way the next round comes, since a daemon whose chores have silently ended looks healthy
and is not. Called by `reconciler`, `inbox`, `leases` and `node`.
"""

import logging
from collections.abc import Callable

from seqd.errors import REDIS_ERRORS

log = logging.getLogger(__name__)


def outlive(what_failed: str, chore: Callable[[], None]) -> bool:
    """Run one round of a chore; log what went wrong. False when something did."""
    try:
        chore()
    except REDIS_ERRORS as error:
        log.warning("%s: %s", what_failed, error)
        return False
    except Exception:
        log.exception("%s", what_failed)
        return False
    return True
