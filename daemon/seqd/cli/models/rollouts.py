"""Canaries and shadows of `seqd models promote` and `rollback`: how they begin and end."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from seqd.cli.models.ordering import ordered
from seqd.cli.models.params import entry_of
from seqd.cli.showing import Found
from seqd.cli.ui.screen import Screen
from seqd.errors import InvalidRequest

if TYPE_CHECKING:
    from seqd.client.model import ModelSteps
    from seqd.ledger.exchange import Exchange
    from seqd_schemas import CatalogEntry, OrderAnswer, Rollout, RolloutKind


@dataclass(frozen=True, slots=True)
class AskedRollout:
    """What the options ask for."""

    kind: "RolloutKind"
    #: Above 0 to begin one, 0 to end one.
    share: float
    max_error_rate: float


def parse_percent(option: str, text: str) -> float:
    """Return `5%` or `5` as 0.05. Raises InvalidRequest outside of 0 to 100."""
    try:
        percent_of_100 = float(text.strip().removesuffix("%"))
    except ValueError:
        percent_of_100 = -1.0
    if not 0.0 <= percent_of_100 <= 100.0:
        raise InvalidRequest(
            f"{option} is {text!r}; allowed: a percentage from 0 to 100, such as 5% or 0.5%"
        )
    return percent_of_100 / 100.0


def read_rollout(
    share: str | None, shadow: str | None, max_error_rate: str | None
) -> AskedRollout | None:
    """Return the roll-out that options ask for; None for a promotion at once: none, or all items.

    Raises InvalidRequest for what is no percentage, and for both at once.
    """
    if share is None and shadow is None and max_error_rate is None:
        return None
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
    entry: "CatalogEntry",
    version: int,
    asked: AskedRollout,
    reason: str,
    timeout_s: float,
    screen: Screen,
) -> Found:
    """Have a worker try a version first; return what it does and how it ends."""
    from seqd_schemas import OrderAction

    def steps(of: "ModelSteps") -> "Exchange[OrderAnswer]":
        rates = {"share": asked.share, "max_error_rate": asked.max_error_rate}
        action = OrderAction(asked.kind.value)
        return of.ordered(action, reason, timeout_s, version=version, **rates)

    begun = ordered(entry, steps, screen).rollout
    assert begun is not None, "a worker that has begun it says so"
    found = {"model": entry.model, "in_service": begun.serving, "rollout": begun}
    return Found(found, lambda screen: _say_begun(screen, entry.model, begun))


def _say_begun(screen: Screen, name: str, begun: "Rollout") -> None:
    from seqd.worker.promotion import percent
    from seqd_schemas import RolloutKind

    is_canary = begun.kind == RolloutKind.CANARY
    does, option = ("answers", "share") if is_canary else ("computes, too,", "shadow")
    ref = f"{name}@{begun.version}"
    screen.say(
        f"{ref} {does} {percent(begun.share)} of the items of new jobs on {name}; "
        f"{name}@{begun.serving} stays in service.",
        "bold green",
    )
    screen.say(
        f"It ends by itself where clearly more than {percent(begun.max_error_rate)} of its items "
        f"fail with it and not with {name}@{begun.serving}. Counts: seqd models show {name}; "
        f"in service: seqd models promote {ref}; end: seqd models promote {ref} --{option} 0%"
    )


def end_rollout(name: str, version: int | str | None, why: str, screen: Screen) -> Found:
    """End the roll-out of a model, of `version`, a number or label, where that is given."""
    from seqd_schemas import OrderAction

    def steps(of: "ModelSteps") -> "Exchange[OrderAnswer]":
        return of.ordered(OrderAction.END_ROLLOUT, why, version=version)

    ended = ordered(entry_of(name), steps, screen).rollout
    assert ended is not None, "a worker that has ended it says so"
    return end_of(name, ended)


def end_of(name: str, ended: "Rollout") -> Found:
    """Return that a roll-out is ended, and what answers."""
    return Found(
        {"model": name, "in_service": ended.serving, "ended": ended},
        f"The {ended.kind} of {name}@{ended.version} is ended; {name}@{ended.serving} answers all "
        "items.",
        "bold green",
    )
