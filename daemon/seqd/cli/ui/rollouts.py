"""A roll-out as people see it: what is tried on what share, and how its versions do."""

from collections.abc import Sequence

from seqd.cli.ui.numbers import clock
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_table
from seqd_schemas import Rollout, RolloutKind, VersionCounts


def print_rollout(
    screen: Screen, model: str, rollout: Rollout, counts: Sequence[VersionCounts]
) -> None:
    """Print a roll-out that goes on, with what its versions did so far."""
    is_canary = rollout.kind == RolloutKind.CANARY
    share, bound = f"{100 * rollout.share:.6g}%", f"{100 * rollout.max_error_rate:.6g}%"
    does = f"answers {share} of" if is_canary else f"computes {share} of"
    kind = rollout.kind.capitalize()
    screen.say(f"{kind} of {model}@{rollout.version} since {clock(rollout.at_ms)}", "bold")
    screen.say(
        f"It {does} the items of new jobs on {model}, by {rollout.by or 'nobody known'}. It ends "
        f"by itself where more than {bound} of them fail with it and not with "
        f"{model}@{rollout.serving}."
    )
    by_version = {one.version: one for one in counts}
    rows = [
        _row(model, by_version.get(version, VersionCounts(version=version)), is_canary=is_canary)
        for version in (rollout.serving, rollout.version)
    ]
    differing = () if is_canary else ("other answer",)
    print_table(
        screen,
        ("version", "items", "errors", *differing, "ms an item", "batch p50 ms", "p99 ms"),
        rows,
    )


def _row(model: str, one: VersionCounts, *, is_canary: bool) -> tuple[str, ...]:
    differing = () if is_canary else (_with_share(one.differing, one.items),)
    return (
        f"{model}@{one.version}",
        f"{one.items:,}",
        _with_share(one.errors, one.items),
        *differing,
        f"{1000 * one.busy_s / one.items:.3g}" if one.items else "-",
        f"{one.p50_ms:g}" if one.batches else "-",
        f"{one.p99_ms:g}" if one.batches else "-",
    )


def _with_share(count: int, items: int) -> str:
    return f"{count:,} ({count / items:.2%})" if count and items else f"{count:,}"
