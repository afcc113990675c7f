"""Canaries and shadows of `seqd models promote` and `rollback`: how they begin and end."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seqd.cli import options
from seqd.cli.auditing import store_act
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_json
from seqd.errors import InvalidRequest, RedisUnreachable
from seqd.local.caller import caller

if TYPE_CHECKING:
    from seqd.cli.models.fleet_promotion import FleetPromotion
    from seqd.models.store import ModelStore
    from seqd.worker.promotion import Promotion
    from seqd_schemas import Rollout, RolloutKind


@dataclass(frozen=True, slots=True)
class AskedRollout:
    """What the options ask for."""

    kind: "RolloutKind"
    #: Above 0 to begin one, 0 to end one.
    share: float
    max_error_rate: float


def read_rollout(
    share: str | None, shadow: str | None, max_error_rate: str | None
) -> AskedRollout | None:
    """Return the roll-out that options ask for; None for a promotion at once: none, or all items.

    Raises InvalidRequest for what is no percentage, and for both at once.
    """
    if share is None and shadow is None and max_error_rate is None:
        return None
    from seqd.worker.rollout_change import parse_percent
    from seqd_schemas import MAX_ERROR_RATE, RolloutKind

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
    change: "Promotion | FleetPromotion",
    asked: AskedRollout,
    timeout_s: float,
    *,
    store_only: bool,
    as_json: bool,
) -> None:
    """Try the version of a promotion first, and say what it does and how it ends."""
    from seqd.cli.models.fleet_promotion import FleetPromotion

    screen = Screen(to_stderr=as_json)
    if isinstance(change, FleetPromotion):
        answer = change.order_rollout(asked.kind, asked.share, asked.max_error_rate, timeout_s)
        for note in answer.notes:
            screen.say(note, "yellow")
        begun = answer.rollout
        assert begun is not None, "a worker that has begun it says so"
    else:
        begun = _begin_here(change, asked, timeout_s, screen, store_only=store_only)
    _say_begun(screen, change.name, begun, as_json=as_json)


def _begin_here(
    change: "Promotion",
    asked: AskedRollout,
    timeout_s: float,
    screen: Screen,
    *,
    store_only: bool,
) -> "Rollout":
    """Begin a roll-out in this machine's store."""
    from seqd.worker.rollout_change import RolloutBegin, begin_warm

    begin: RolloutBegin = RolloutBegin(
        change.store,
        change.name,
        change.version,
        kind=asked.kind,
        share=asked.share,
        max_error_rate=asked.max_error_rate,
        why=change.why,
        by=change.by,
    )
    if store_only:
        begin.begin()
        return begin.rollout
    deadline_s = time.monotonic() + timeout_s
    try:
        details = {"share": asked.share, "reason": change.why}
        with (
            options.open_ledger() as ledger,
            ledger.audit.act(f"models.{asked.kind}", change.ref, details),
        ):
            begin_warm(ledger, begin, deadline_s, lambda text: screen.say(text, "yellow"))
    except RedisUnreachable as error:
        raise _without_daemon(error) from None
    return begin.rollout


def _say_begun(screen: Screen, name: str, begun: "Rollout", *, as_json: bool) -> None:
    from seqd.worker.rollout_change import percent
    from seqd_schemas import RolloutKind

    if as_json:
        print_json({"model": name, "in_service": begun.serving, "rollout": begun})
        return
    is_canary = begun.kind == RolloutKind.CANARY
    does, option = ("answers", "share") if is_canary else ("computes, too,", "shadow")
    ref = f"{name}@{begun.version}"
    screen.say(
        f"{ref} {does} {percent(begun.share)} of the items of new jobs on {name}; "
        f"{name}@{begun.serving} stays in service.",
        "bold green",
    )
    screen.say(
        f"It ends by itself where more than {percent(begun.max_error_rate)} of its items fail with "
        f"it and not with {name}@{begun.serving}. Counts: seqd models show {name}; in service: "
        f"seqd models promote {ref}; end: seqd models promote {ref} --{option} 0%"
    )


def end_rollout(
    name: str, version: int | str | None, why: str, *, store_only: bool, as_json: bool
) -> None:
    """End the roll-out of a model, of `version`, a number or label, where that is given."""
    from seqd.admission import resolve_version
    from seqd.cli.models.fleet_promotion import entry_elsewhere, order_end
    from seqd_schemas import ModelReference

    entry = None if store_only else entry_elsewhere(name)
    if entry is not None:
        number = None if version is None else resolve_version(entry, version)
        ended = order_end(entry, why, number).rollout
        assert ended is not None, "a worker that has ended it says so"
    else:
        store = options.open_local_models(options.read_settings()).store
        number = None
        if version is not None:
            number = store.resolve(str(ModelReference(name, version)))[1]
        ended = _end_here(store, name, number, why, store_only=store_only)
    say_ended(name, ended, as_json=as_json)


def _end_here(
    store: "ModelStore", name: str, version: int | None, why: str, *, store_only: bool
) -> "Rollout":
    """End a roll-out in this machine's store."""
    from seqd.worker.promotion import wait_until_published
    from seqd.worker.rollout_change import abort

    if store_only:
        return abort(store, name, caller(), why, version)
    with store_act("models.end_rollout", name, {"reason": why}):
        ended = abort(store, name, caller(), why, version)
    try:
        with options.open_ledger() as ledger:
            wait_until_published(
                ledger,
                store,
                name,
                lambda entry: entry.rollout is None or entry.rollout.id != ended.id,
                lambda text: Screen(to_stderr=True).say(text, "yellow"),
            )
    except RedisUnreachable as error:
        raise _without_daemon(error) from None
    return ended


def say_ended(name: str, ended: "Rollout", *, as_json: bool) -> None:
    """Say that a roll-out is ended, and what answers."""
    if as_json:
        print_json({"model": name, "in_service": ended.serving, "ended": ended})
        return
    Screen().say(
        f"The {ended.kind} of {name}@{ended.version} is ended; {name}@{ended.serving} answers all "
        "items.",
        "bold green",
    )


def _without_daemon(error: RedisUnreachable) -> RedisUnreachable:
    return RedisUnreachable(f"{error} Without a daemon the store alone is changed by --store-only.")
