"""`seqd models promote`, `rollback`, `history`, `label`: which version is in service, or what.

The store has it, in the label `production`. Where a daemon is up, its workers load the version
first, so that no item waits for that, and the command ends when new jobs get it.
"""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import completion, options
from seqd.cli.auditing import store_act
from seqd.cli.exits import NO
from seqd.cli.label_map import LabelPairs, read_label_map
from seqd.cli.models import measuring
from seqd.cli.models.gates import Condition
from seqd.cli.models.rollouts import begin_rollout, end_rollout, read_rollout, say_ended
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_json, print_table
from seqd.errors import InvalidRequest, RedisUnreachable
from seqd.local.caller import caller

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqd.cli.models.fleet_promotion import FleetPromotion
    from seqd.hookspecs import Artifact
    from seqd.worker.promotion import Promotion
    from seqd_schemas import ModelReference, OrderAnswer

Reason = Annotated[str, typer.Option("--reason", help="Why, for the model's history.")]
WarmTimeout = Annotated[
    float,
    typer.Option(
        "--warm-timeout",
        min=0,
        help="Seconds to wait until the workers have loaded the version, and new jobs get it.",
    ),
]
Gate = Annotated[
    str | None,
    typer.Option(
        "--if-better-on",
        metavar="FILE",
        help="Only when it is better on these labelled data than the version in service; exit "
        "status 3 when it is not.",
    ),
]
GateMetric = Annotated[
    str,
    typer.Option("--metric", help="What decides: accuracy, f1_macro or log_loss; bits_per_char."),
]
Share = Annotated[
    str | None,
    typer.Option(
        "--share",
        metavar="PERCENT",
        help="As a canary: it answers this share of the items of new jobs, such as 5%. 100% puts "
        "it in service; 0% ends the canary.",
    ),
]
Shadow = Annotated[
    str | None,
    typer.Option(
        "--shadow",
        metavar="PERCENT",
        help="As a shadow: it computes this share of the items of new jobs, too, and its answers "
        "are counted, not given. 0% ends it.",
    ),
]
MaxErrorRate = Annotated[
    str | None,
    typer.Option(
        "--max-error-rate",
        metavar="PERCENT",
        help="Of --share and --shadow: ends by itself where more of its items fail with it, and "
        "not with the version in service.  [default: 1%]",
    ),
]
StoreOnly = Annotated[
    bool,
    typer.Option("--store-only", help="Change the store alone; ask no daemon. Workers follow it."),
]


def promote(
    reference: Annotated[
        str, typer.Argument(help="A version: topics@2.", autocompletion=completion.models)
    ],
    reason: Reason = "",
    if_better_on: Gate = None,
    metric: GateMetric = "",
    by: measuring.By = None,
    format_name: options.InputFormatName = "auto",
    text_field: options.TextField = "text",
    label_field: measuring.TruthField = None,
    map_label: LabelPairs = None,
    share: Share = None,
    shadow: Shadow = None,
    max_error_rate: MaxErrorRate = None,
    warm_timeout: WarmTimeout = 60.0,
    store_only: StoreOnly = False,
    as_json: options.Json = False,
) -> None:
    """Put a version in service: a bare name means it, for all jobs that are handed in afterwards.

    Workers that have the model loaded load the version first. A running job keeps its version.
    With --share or --shadow it is tried first, on a share of the items: `seqd models show` counts.
    """
    from seqd_schemas import ModelReference

    wanted = ModelReference.parse(reference)
    if wanted.version is None:
        raise InvalidRequest(
            f"{reference!r} names no version; allowed: NAME@VERSION, such as {reference}@2. "
            f"`seqd models show {reference}` shows its versions"
        )
    asked = read_rollout(share, shadow, max_error_rate)
    if asked is not None and not asked.share:
        if if_better_on is not None or metric or by is not None or max_error_rate is not None:
            raise InvalidRequest(
                "0% ends the trial of a version; --if-better-on, --metric, --by and "
                "--max-error-rate are for its begin: leave them away"
            )
        end_rollout(wanted.name, wanted.version, reason, store_only=store_only, as_json=as_json)
        return
    change = _promotion_of(wanted, reason, store_only=store_only)
    if if_better_on is not None:
        fields = {"format": format_name, "text_field": text_field}
        label_map = read_label_map(map_label or [])
        condition = Condition(if_better_on, metric, by, fields, label_field, label_map)
        if not _passes(change, condition, as_json=as_json):
            raise typer.Exit(NO)
    elif metric or by is not None:
        raise InvalidRequest("--metric and --by are for --if-better-on FILE, which is not given")
    if asked is not None:
        begin_rollout(change, asked, warm_timeout, store_only=store_only, as_json=as_json)
        return
    _make(change, warm_timeout, store_only=store_only, as_json=as_json)


def promote_if_better(reference: str, condition: Condition) -> bool:
    """Put a version in service if it is better; return whether it was. For other commands."""
    from seqd_schemas import ModelReference

    change = _promotion_of(ModelReference.parse(reference), "", store_only=False)
    if not _passes(change, condition, as_json=False):
        return False
    _make(change, 60.0, store_only=False, as_json=False)
    return True


def rollback(
    model: Annotated[
        str, typer.Argument(help="A model: topics.", autocompletion=completion.models)
    ],
    reason: Reason = "",
    warm_timeout: WarmTimeout = 60.0,
    store_only: StoreOnly = False,
    as_json: options.Json = False,
) -> None:
    """Put the version in service that was there before; said again, the one before that.

    While a canary or a shadow is tried, that ends, and the version in service stays.
    """
    from seqd.cli.models.fleet_promotion import entry_elsewhere, order_rollback
    from seqd.worker.promotion import rollback_of

    _check_names_no_version(model, f". `seqd models promote {model}` puts that version in service")
    entry = None if store_only else entry_elsewhere(model)
    if entry is not None:
        answer = order_rollback(entry, reason, warm_timeout)
        if answer.rollout is not None:
            say_ended(model, answer.rollout, as_json=as_json)
        else:
            _say_ordered(model, answer, as_json=as_json)
        return
    store = options.open_local_models(options.read_settings()).store
    if store.rollout(model) is not None:
        end_rollout(model, None, reason, store_only=store_only, as_json=as_json)
        return
    change = rollback_of(store, model, reason, caller())
    _make(change, warm_timeout, store_only=store_only, as_json=as_json)


def history(
    model: Annotated[
        str, typer.Argument(help="A model: topics.", autocompletion=completion.models)
    ],
    as_json: options.Json = False,
) -> None:
    """Show which version of a model was in service when, by whom and why.

    On a machine without the store these are the last 20 changes, which workers publish.
    """
    from seqd.cli.models.fleet_promotion import entry_elsewhere
    from seqd.cli.ui.numbers import clock

    _check_names_no_version(model)
    entry = entry_elsewhere(model)
    changes = (
        options.open_local_models(options.read_settings()).store.history(model)
        if entry is None
        else list(entry.history)
    )
    if as_json:
        print_json(changes)
        return
    screen = Screen()
    if not changes:
        screen.say(f"Nothing is written down of {model} yet: its version in service never changed.")
        return
    rows = [
        (
            clock(one.at_ms),
            "none" if one.from_version is None else str(one.from_version),
            "none" if one.to_version is None else str(one.to_version),
            one.by,
            one.why,
        )
        for one in changes
    ]
    print_table(screen, ("when", "from", "to", "by", "why"), rows)


def label(
    reference: Annotated[
        str, typer.Argument(help="A version: topics@2.", autocompletion=completion.models)
    ],
    name: Annotated[str, typer.Argument(metavar="LABEL", help="The label, such as best.")],
    is_removed: Annotated[
        bool, typer.Option("--remove", help="Take the label away from the version.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Move a label to a version, or take it away. Jobs name it: `topics@best`.

    The label `production` is moved by `promote` and `rollback`.
    """
    from seqd.worker.promotion import check_movable

    check_movable(name)
    model, version, labels = _move_label(reference, name, is_removed=is_removed)
    if as_json:
        print_json({"model": model, "labels": labels})
    else:
        said = "has no label" if is_removed else "has the label"
        Screen().say(f"{model}@{version} {said} {name} now.")


def _move_label(reference: str, name: str, *, is_removed: bool) -> tuple[str, int, dict[str, int]]:
    """Move a label, or take it away; return the model, the version, and the labels then."""
    from seqd.admission import resolve_version
    from seqd.cli.models.fleet_promotion import entry_elsewhere, order_label
    from seqd.worker.promotion import move_label
    from seqd_schemas import ModelReference

    wanted = ModelReference.parse(reference)
    entry = entry_elsewhere(wanted.name)
    if entry is not None:
        number = resolve_version(entry, wanted.version)
        answer = order_label(entry, number, name, is_removed=is_removed)
        latest = max(one.version for one in entry.versions)
        return wanted.name, number, {**answer.labels, "latest": latest}
    store = options.open_local_models(options.read_settings()).store
    model, version = store.resolve(reference)
    act = "models.unlabel" if is_removed else "models.label"
    with store_act(act, f"{model}@{version}", {"label": name}):
        move_label(store, model, version, name, caller(), is_removed=is_removed)
    return model, version, store.labels(model)


def _check_names_no_version(model: str, way_on: str = "") -> None:
    name, at, _ = model.partition("@")
    if at:
        raise InvalidRequest(f"{model!r} names a version; allowed: a model, such as {name}{way_on}")


def _promotion_of(
    wanted: "ModelReference", why: str, *, store_only: bool
) -> "Promotion | FleetPromotion":
    """Return a promotion in this machine's store, or by an order where the store is elsewhere."""
    from seqd.admission import resolve_version
    from seqd.cli.models.fleet_promotion import FleetPromotion, entry_elsewhere
    from seqd.worker.promotion import Promotion

    entry = None if store_only else entry_elsewhere(wanted.name)
    if entry is not None:
        return FleetPromotion(entry, resolve_version(entry, wanted.version), why)
    store = options.open_local_models(options.read_settings()).store
    name, version = store.resolve(str(wanted))
    return Promotion(store, name, version, why, caller())


def _passes(change: "Promotion | FleetPromotion", condition: Condition, *, as_json: bool) -> bool:
    """Compare a version with the one in service; say why it does not pass, if not."""
    if change.before is None:
        return True  # there is nothing that it could be worse than
    screen = Screen(to_stderr=as_json)
    decision = condition.decide(f"{change.name}@{change.before}", change.ref, screen)
    change.gate, change.why = decision.figures, change.why or decision.reason
    if not decision.is_better:
        screen.say(f"{change.ref} is not put in service: {decision.reason}.", "yellow")
        if as_json:
            why = decision.reason
            print_json({"model": change.name, "in_service": change.before, "why": why})
    return decision.is_better


def _make(
    change: "Promotion | FleetPromotion", timeout_s: float, *, store_only: bool, as_json: bool
) -> None:
    from seqd.cli.models.fleet_promotion import FleetPromotion
    from seqd.worker.promotion import put_in_service_warm

    screen = Screen(to_stderr=as_json)
    if isinstance(change, FleetPromotion):
        _say_ordered(change.name, change.order(timeout_s), as_json=as_json)
        return
    if store_only:
        change.put_in_service()
    else:
        try:
            with (
                options.open_ledger() as ledger,
                ledger.audit.act("models.promote", change.ref, {"reason": change.why}),
            ):
                put_in_service_warm(
                    ledger,
                    change,
                    time.monotonic() + timeout_s,
                    lambda text: screen.say(text, "yellow"),
                    trial=_trial_of(change),
                )
        except RedisUnreachable as error:
            raise RedisUnreachable(
                f"{error} Without a daemon the store alone is changed by --store-only."
            ) from None
    _say_done(screen, change.name, change.version, change.before, as_json=as_json)


def _trial_of(change: "Promotion") -> "Callable[[Artifact], None] | None":
    from seqd.models.trial_load import trial_of

    registry = options.open_local_models(options.read_settings()).registry
    untried = "--store-only puts it there untried"
    return trial_of(registry, change.store.plugin_of(change.name), untried=untried)


def _say_ordered(name: str, answer: "OrderAnswer", *, as_json: bool) -> None:
    """Say what a worker has done, and what it notes."""
    screen = Screen(to_stderr=as_json)
    for note in answer.notes:
        screen.say(note, "yellow")
    _say_done(screen, name, answer.in_service, answer.before, as_json=as_json)


def _say_done(
    screen: Screen, name: str, version: int | None, before: int | None, *, as_json: bool
) -> None:
    if as_json:
        print_json({"model": name, "in_service": version, "before": before})
        return
    former = "no version" if before is None else f"{name}@{before}"
    screen.say(f"{name}@{version} is in service, after {former}.", "bold green")
