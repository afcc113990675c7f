"""The audit in Redis: a bounded stream of what operators and clients did, by whom and from where.

An act is written down before it is done, so that none is done and not recorded; one that is refused
gets a second entry with the error's code. Where Redis refuses the entry, for lack of a right or of
memory, the command goes on without it, with a warning in the log: an operator has to be able to act
then.
"""

import json
import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar, cast

from redis.exceptions import ResponseError

from seqd.errors import REDIS_ERRORS, InvalidRequest, RedisNoPermission, SeqdError, wire_text
from seqd.escaping import one_line
from seqd.ledger.exchange import (
    Command,
    Exchange,
    Part,
    StreamEntry,
    command,
    entry_ms,
    exchange,
    pipeline,
)
from seqd.ledger.job_filter import milliseconds
from seqd.local.caller import program, user_name
from seqd.log_context import acting_for
from seqd.validation import fault_sentence, shown
from seqd_schemas import to_stored

if TYPE_CHECKING:
    from seqd_schemas import AuditRecord

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Entries that one step of a search reads.
_STEP_ENTRIES: Final = 500

_MOST_CHARS: Final = 500

#: The target of an act on all jobs, which no filter narrows.
ALL_JOBS: Final = "all jobs"

_ACTION = re.compile(r"[a-z][a-z0-9_.]{0,63}")

NO_DETAILS: Final[Mapping[str, object]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries of the audit are meant: those that match all that is given."""

    #: Written then or later, in milliseconds of the server's clock.
    since_ms: int = 0
    #: The action, or what it begins with: `jobs` for `jobs.cancel` and others.
    action: str | None = None
    #: The user, `user@host`, or the key of the gateway.
    who: str | None = None
    #: Part of the target.
    target: str | None = None

    def matches(self, entry: "AuditRecord") -> bool:
        """Return whether an entry matches; but for its age."""
        action, who = self.action, self.who
        if action is not None and not f"{entry.action}.".startswith(f"{action.rstrip('.')}."):
            return False
        names = (entry.who, f"{entry.who}@{entry.host}", entry.details.get("key"))
        if who is not None and who not in names:
            return False
        return self.target is None or self.target in entry.target


def audit_filter(
    since: datetime | None, action: str | None, who: str | None, target: str | None
) -> AuditFilter:
    """Return validated filters. Raises InvalidRequest."""
    if action is not None and not _ACTION.fullmatch(action):
        raise InvalidRequest(
            f"action is {shown(action)}; allowed: one such as jobs.cancel, or jobs for all of them."
        )
    since_ms = max(0, milliseconds("since", since) or 0)
    return AuditFilter(since_ms=since_ms, action=action, who=who, target=target)


class Audit(Part):
    """The audit on one server under one key prefix."""

    @exchange
    def note(
        self,
        action: str,
        target: str = "",
        details: Mapping[str, object] = NO_DETAILS,
        outcome: str = "",
    ) -> Exchange[None]:
        """Write an act down, such as `jobs.cancel` of a job; `outcome` says what came of it."""
        from seqd_schemas import AuditEntry

        said = {**details, **acting_for.get()}
        entry = AuditEntry(
            action=action,
            target=_short(target),
            details={name: _short(str(value)) for name, value in said.items() if _is_said(value)},
            outcome=_short(outcome),
            who=_short(user_name()),
            host=_short(socket.gethostname()),
            pid=os.getpid(),
            program=_short(program()),
            redis_user=_short(self._ledger.redis_user),
        )
        bound = ("MAXLEN", "~", self._ledger.settings.max_audit_entries)
        words = ("XADD", self._keys.audit(), *bound, "*", "a", to_stored(entry))
        (reply,) = yield from pipeline([Command(words)], raises=False)
        # Of an act that is refused the first entry has told it.
        if isinstance(reply, ResponseError) and not outcome:
            log.warning(
                "%s of %r is not in the audit: Redis says %s. The command goes on without it.",
                action,
                target,
                str(reply).rstrip("."),
            )

    @contextmanager
    def act(
        self, action: str, target: str = "", details: Mapping[str, object] = NO_DETAILS
    ) -> Iterator[None]:
        """Write an act down in front of a `with` block, and the error that the block raises."""
        self.note(action, target, details)
        try:
            yield
        except SeqdError as error:
            if is_refusal(error):
                self.note(action, target, details, error.code)
            raise

    @exchange
    def newest(self, limit: int, wanted: AuditFilter) -> "Exchange[list[AuditRecord]]":
        """Return the newest entries that match, newest first.

        One that a later version has written is left out with a warning.
        """
        found: list[AuditRecord] = []
        last = "+"
        while len(found) < limit:
            span = (last, str(wanted.since_ms), "COUNT", _STEP_ENTRIES)
            reply = yield from command("XREVRANGE", self._keys.audit(), *span)
            entries = cast(list[StreamEntry], reply)
            found += [entry for entry in _read(entries) if wanted.matches(entry)]
            if len(entries) < _STEP_ENTRIES:
                break
            last = f"({entries[-1][0].decode()}"
        return found[:limit]


def audited(
    audit: Audit,
    act: Exchange[T],
    action: str,
    target: str = "",
    details: Mapping[str, object] = NO_DETAILS,
) -> Exchange[T]:
    """Write an act down, then do it; of one that is refused write down the error's code."""
    yield from audit.note.steps(action, target, details)
    try:
        return (yield from act)
    except SeqdError as error:
        if is_refusal(error):
            yield from audit.note.steps(action, target, details, error.code)
        raise


def is_refusal(error: SeqdError) -> bool:
    """Return False where Redis does not answer: whether the act was done is not known then."""
    return isinstance(error, RedisNoPermission) or not isinstance(error, REDIS_ERRORS)


def _read(entries: list[StreamEntry]) -> "Iterator[AuditRecord]":
    from pydantic import ValidationError

    from seqd_schemas import AuditRecord, from_stored

    for name, fields in entries:
        entry_id = name.decode()
        try:
            row = json.loads(fields[b"a"])
            whole = {**row, "id": entry_id, "at_ms": entry_ms(name)}
            yield from_stored(AuditRecord, json.dumps(whole).encode())
        except ValidationError as error:
            log.warning(
                "the act %s was left out: %s", entry_id, one_line(fault_sentence(error), 200)
            )
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            log.warning("the act %s was left out: %s", entry_id, one_line(str(error), 200))


def _is_said(value: object) -> bool:
    """Return False for a detail that was not given; 0 is one that was."""
    return value is not None and value != ""


def _short(text: str) -> str:
    """Return a text that an entry can hold."""
    safe = wire_text(text)
    return safe if len(safe) <= _MOST_CHARS else f"{safe[: _MOST_CHARS - 1]}…"
