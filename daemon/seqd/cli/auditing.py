"""Acts on this machine's model store, in the audit of the daemon that uses it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from seqd.cli import options
from seqd.errors import REDIS_ERRORS, SeqdError


@contextmanager
def store_act(action: str, model: str, details: Mapping[str, object]) -> Iterator[None]:
    """Write an act such as `models.remove` down in front of a `with` block, and its refusal.

    A store needs no daemon, and where none is reached there is no audit: `seqd models history` has
    what it keeps itself.
    """
    _note(action, model, details)
    try:
        yield
    except REDIS_ERRORS:
        raise
    except SeqdError as error:
        _note(action, model, details, error.code)
        raise


def _note(action: str, model: str, details: Mapping[str, object], outcome: str = "") -> None:
    try:
        with options.open_ledger() as ledger:
            ledger.audit.note(action, model, details, outcome)
    except REDIS_ERRORS:
        return
