"""Acts on this machine's model store, in the audit of the daemon that uses it."""

from collections.abc import Mapping

from seqd.cli import options
from seqd.errors import REDIS_ERRORS


def note_store_act(action: str, model: str, details: Mapping[str, object]) -> None:
    """Write an act such as `models.remove` down, where a daemon is reached.

    A store needs none, and then there is no audit: `seqd models history` has what it keeps itself.
    """
    try:
        with options.open_ledger() as ledger:
            ledger.audit.note(action, model, details)
    except REDIS_ERRORS:
        return
