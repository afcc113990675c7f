"""Canaries and shadows of `seqd models promote` and `rollback`: how they begin and end."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seqd.cli import options
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_json
from seqd.errors import InvalidRequest, RedisUnreachable, WrongState
from seqd.local.caller import caller

if TYPE_CHECKING:
    from seqd.models.store import ModelStore
    from seqd.worker.promotion import Promotion
    from seqd.worker.rollout_change import RolloutBegin
    from seqd_schemas import Rollout, RolloutKind


@dataclass(frozen=True, slots=True)
class AskedRollout:
    """What the options ask for."""

    kind: "RolloutKind"
    #: Above 0 to begin one, 0 to end one.
    share: float
    max_error_rate: float

    def of(self, change: "Promotion") -> "RolloutBegin":
        """Return the roll-out of the version that a promotion would put in service."""
        from seqd.worker.rollout_change import RolloutBegin

        return RolloutBegin(
            change.store,
            change.name,
            change.version,
            kind=self.kind,
            share=self.share,
            max_error_rate=self.max_error_rate,
            why=change.why,
            by=change.by,
        )


def read_rollout(
    share: str | None, shadow: str | None, max_error_rate: str | None
) -> AskedRollout | None:
    """Return the roll-out that options ask for; None for a promotion at once: none, or all items.

    Raises InvalidRequest for what is no percentage, and for both at once.
    """
    if share is None and shadow is None and max_error_rate is None:
        return None
    from seqd.worker.rollout_change import MAX_ERROR_RATE, parse_percent
    from seqd_schemas import RolloutKind

    if share is not None and shadow is not None:
        raise InvalidRequest("--share and --shadow are given; a version is tried in one way")
    bound = MAX_ERROR_RATE
    if max_error_rate is not None:
        bound = parse_percent("--max-error-rate", max_error_rate)
    if share is not None:
        asked = AskedRollout(RolloutKind.CANARY, parse_percent("--share", share), bound)
    elif shadow is not None:
        asked = AskedRollout(RolloutKind.SHADOW, parse_percent("--shadow", shadow), bound)
    else:
        raise InvalidRequest("--max-error-rate is for --share and --shadow; neither is given")
    return None if asked.kind is RolloutKind.CANARY and asked.share == 1.0 else asked


def begin_rollout(
    begin: "RolloutBegin", timeout_s: float, *, store_only: bool, as_json: bool
) -> None:
    """Begin a roll-out, and say what it does and how it ends."""
    from seqd.worker.rollout_change import begin_warm, percent
    from seqd_schemas import RolloutKind

    screen = Screen(to_stderr=as_json)
    if store_only:
        begin.begin()
    else:
        deadline_s = time.monotonic() + timeout_s
        try:
            with options.open_ledger() as ledger:
                begin_warm(ledger, begin, deadline_s, lambda text: screen.say(text, "yellow"))
        except RedisUnreachable as error:
            raise _without_daemon(error) from None
    rollout, name = begin.rollout, begin.name
    if as_json:
        print_json({"model": name, "in_service": rollout.serving, "rollout": rollout})
        return
    does = "answers" if rollout.kind == RolloutKind.CANARY else "computes, too,"
    screen.say(
        f"{begin.ref} {does} {percent(rollout.share)} of the items of new jobs on {name}; "
        f"{name}@{rollout.serving} stays in service.",
        "bold green",
    )
    screen.say(
        f"It ends by itself where more than {percent(rollout.max_error_rate)} of its items fail "
        f"with it alone. Counts: seqd models show {name}; on: seqd models promote {begin.ref}; "
        f"back: seqd models rollback {name}"
    )


def end_rollout(
    store: "ModelStore",
    name: str,
    why: str,
    *,
    version: int | None,
    store_only: bool,
    as_json: bool,
) -> None:
    """Abort the roll-out of a model, of `version` where that is named."""
    from seqd.worker.promotion import wait_until_published
    from seqd.worker.rollout_change import abort

    screen = Screen(to_stderr=as_json)
    running = store.rollout(name)
    if running is None or version not in (None, running.version):
        raise WrongState(_nothing_to_end(name, version, running))
    ended = abort(store, name, caller(), why)
    if ended is None:
        raise WrongState(f"the {running.kind} of {name}@{running.version} has ended meanwhile")
    if not store_only:
        try:
            with options.open_ledger() as ledger:
                wait_until_published(
                    ledger,
                    store,
                    name,
                    lambda entry: entry.rollout is None or entry.rollout.id != ended.id,
                    lambda text: screen.say(text, "yellow"),
                )
        except RedisUnreachable as error:
            raise _without_daemon(error) from None
    if as_json:
        print_json({"model": name, "in_service": ended.serving, "aborted": ended})
        return
    screen.say(
        f"The {ended.kind} of {name}@{ended.version} is ended; {name}@{ended.serving} answers all "
        "items.",
        "bold green",
    )


def _nothing_to_end(name: str, version: int | None, running: "Rollout | None") -> str:
    if running is None:
        return f"no version of {name} is tried beside the one in service; nothing is changed"
    return f"{name}@{running.version} is tried, and not {name}@{version}; nothing is changed"


def _without_daemon(error: RedisUnreachable) -> RedisUnreachable:
    return RedisUnreachable(f"{error} Without a daemon the store alone is changed by --store-only.")
