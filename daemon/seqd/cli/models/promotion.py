"""`seqd models promote`, `rollback`, `history`, `label`: which version is in service, or what.

A worker makes each change, by an order: the store is beside the workers. They load a version first,
so that no item waits for that, and the command ends when new jobs get it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.admission import resolve_version
from seqd.cli import options, readers
from seqd.cli.exits import NO
from seqd.cli.label_map import LabelPairs, read_label_map
from seqd.cli.models import measured_items, measuring
from seqd.cli.models.params import check_names_no_version, entry_of, naming_local
from seqd.cli.showing import Found, shown
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_table
from seqd.client.model import ModelSteps
from seqd.errors import InvalidRequest
from seqd.ledger.exchange import Exchange
from seqd.views.models import CHANGE_COLUMNS
from seqd_schemas import (
    MAX_ERROR_RATE,
    CatalogEntry,
    ModelReference,
    OrderAction,
    OrderAnswer,
    Rollout,
    RolloutKind,
)

if TYPE_CHECKING:
    from seqd.cli.models.measured_items import Asked

Reason = Annotated[str, typer.Option("--reason", help="Why, for the model's history.")]
WarmTimeout = Annotated[
    float,
    readers.typed(
        "--warm-timeout",
        by=readers.seconds(0, 3_600),
        help="Seconds to wait until the workers have loaded the version, and new jobs get it.",
    ),
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
        help="With --share or --shadow: end it by itself where more of its items fail with it, and"
        " not with the version in service.",
        show_default="1%",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """On which data a version has to be better before it is put in service, and by what."""

    data: Annotated[
        str | None,
        typer.Option(
            "--if-better-on",
            metavar="FILE",
            help="Only when it is better on these labelled data than the version in service; exit "
            "status 3 when it is not.",
        ),
    ] = None
    metric: Annotated[
        str,
        typer.Option(
            "--metric", help="What decides: accuracy, f1_macro or log_loss; bits_per_char."
        ),
    ] = ""
    by: measuring.By = None
    format_name: options.InputFormatName = "auto"
    text_field: options.TextField = "text"
    label_field: measuring.TruthField = None
    map_label: LabelPairs = None

    def asked(self, file: str) -> "Asked":
        """Return what is measured. Raises InvalidRequest."""
        return measured_items.Asked(
            file=file,
            fields={"format": self.format_name, "text_field": self.text_field},
            label_field=self.label_field,
            label_map=read_label_map(self.map_label),
        )

    def refuse_without_data(self) -> None:
        """Raise InvalidRequest where options say how to measure, and nothing on what."""
        if self.data is None and self != Gate():
            raise InvalidRequest(
                "--metric, --by, --format, --text-field, --label-field and --map-label are for "
                "--if-better-on FILE, which is not given"
            )


@options.takes(Gate, "gate")
@shown
def promote(
    reference: options.VersionArgument,
    reason: Reason = "",
    share: Share = None,
    shadow: Shadow = None,
    max_error_rate: MaxErrorRate = None,
    warm_timeout: WarmTimeout = 60.0,
    *,
    screen: Screen,
    gate: Gate,
) -> Found:
    """Put a version in service: a bare name means it, for all jobs that are handed in afterwards.

    Workers that have the model loaded load the version first. A running job keeps its version.
    With --share or --shadow it is tried first, on a share of the items: `seqd models show` counts.
    """
    wanted = ModelReference.parse(reference)
    if wanted.version is None:
        raise InvalidRequest(
            f"{reference!r} names no version; allowed: NAME@VERSION, such as {reference}@2. "
            f"`seqd models show {reference}` shows its versions"
        )
    gate.refuse_without_data()
    asked = _read_rollout(share, shadow, max_error_rate)
    if asked is not None and not asked.share:
        if gate != Gate() or max_error_rate is not None:
            raise InvalidRequest(
                "0% ends the trial of a version; --if-better-on, --metric, --by and "
                "--max-error-rate are for its begin: leave them away"
            )
        return _end_of(
            wanted.name,
            ordered(
                entry_of(wanted.name),
                lambda of: of.ordered(OrderAction.END_ROLLOUT, reason, version=wanted.version),
                screen,
            ),
        )
    entry = entry_of(wanted.name)
    version, figures = resolve_version(entry, wanted.version), dict[str, float]()
    before = entry.labels.get("production")
    if gate.data is not None:
        from seqd.cli.models.comparing import judged_on

        asked_data, decides = gate.asked(gate.data), measuring.read_metric(gate.metric or None)
        if before not in (None, version):  # else there is nothing to compare with
            refs = f"{wanted.name}@{before}", f"{wanted.name}@{version}"
            verdict, figures = judged_on(*refs, asked_data, decides, gate.by or 0.0, screen)
            why = f"on {asked_data.data}, {verdict.reason}"
            if not verdict.is_better:
                found = {"model": entry.model, "in_service": before, "why": why}
                return Found(found, f"{refs[1]} is not put in service: {why}.", "yellow", NO)
            reason = reason or why
    action, fields = OrderAction.PROMOTE, dict[str, object](gate=figures)
    if asked is not None:
        action = asked.action
        fields = {"share": asked.share, "max_error_rate": asked.max_error_rate}
    answer = ordered(
        entry,
        lambda of: of.ordered(action, reason, warm_timeout, version=version, **fields),
        screen,
    )
    return _done(entry.model, answer) if asked is None else _begun(entry.model, answer)


@shown
def rollback(
    model: options.ModelNameArgument,
    reason: Reason = "",
    warm_timeout: WarmTimeout = 60.0,
    *,
    screen: Screen,
) -> Found:
    """Put the version in service that was there before; said again, the one before that.

    While a canary or a shadow is tried, that ends, and the version in service stays.
    """
    check_names_no_version(model, f". `seqd models promote {model}` puts that version in service")
    entry = entry_of(model)
    answer = ordered(
        entry, lambda steps: steps.rollback(reason=reason, warm_timeout_s=warm_timeout), screen
    )
    return _done(model, answer) if answer.rollout is None else _end_of(model, answer)


@shown
def history(
    model: options.ModelNameArgument,
    is_local: Annotated[
        bool,
        typer.Option("--local", help="All that this machine's own store has; needs no daemon."),
    ] = False,
) -> Found:
    """Show which version of a model was in service when, by whom and why.

    These are the last 20 changes, which workers publish; --local shows up to 1,000.
    """
    check_names_no_version(model)
    if is_local:
        changes = options.open_local_models(options.read_settings()).store.history(model)
    else:
        with naming_local(f"history {model}"):
            changes = list(entry_of(model).history)
    if not changes:
        told = f"Nothing is written down of {model} yet: its version in service never changed."
        return Found(changes, told)
    # Without the figures of gates, for which a terminal has no room beside the reasons.
    return Found(changes, lambda screen: print_table(screen, CHANGE_COLUMNS[:-1], changes))


@shown
def label(
    reference: options.VersionArgument,
    name: Annotated[str, typer.Argument(metavar="LABEL", help="The label, such as best.")],
    is_removed: Annotated[
        bool, typer.Option("--remove", help="Take the label away from the version.")
    ] = False,
    *,
    screen: Screen,
) -> Found:
    """Move a label to a version, or take it away. Jobs name it: `topics@best`.

    The label `production` is moved by `promote` and `rollback`.
    """
    wanted = ModelReference.parse(reference)
    entry = entry_of(wanted.name)
    version = resolve_version(entry, wanted.version)
    answer = ordered(
        entry,
        lambda steps: steps.unlabel(version, name) if is_removed else steps.label(version, name),
        screen,
    )
    latest = max(one.version for one in entry.versions)
    found = {"model": wanted.name, "labels": {**answer.labels, "latest": latest}}
    said = "has no label" if is_removed else "has the label"
    return Found(found, f"{wanted.name}@{version} {said} {name} now.")


def _done(name: str, answer: OrderAnswer) -> Found:
    """Return what a worker has done."""
    former = "no version" if answer.before is None else f"{name}@{answer.before}"
    return Found(
        {"model": name, "in_service": answer.in_service, "before": answer.before},
        f"{name}@{answer.in_service} is in service, after {former}.",
        "bold green",
    )


@dataclass(frozen=True, slots=True)
class _AskedRollout:
    """What the options ask for."""

    action: OrderAction
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


def _read_rollout(
    share: str | None, shadow: str | None, max_error_rate: str | None
) -> _AskedRollout | None:
    """Return the roll-out that options ask for; None for a promotion at once: none, or all items.

    Raises InvalidRequest for what is no percentage, and for both at once.
    """
    if share is None and shadow is None and max_error_rate is None:
        return None

    if share is not None and shadow is not None:
        raise InvalidRequest("--share and --shadow are given; a version is tried in one way")
    bound = MAX_ERROR_RATE
    if max_error_rate is not None:
        bound = parse_percent("--max-error-rate", max_error_rate)
    if share is not None:
        asked = _AskedRollout(OrderAction.CANARY, parse_percent("--share", share), bound)
    elif shadow is not None:
        asked = _AskedRollout(OrderAction.SHADOW, parse_percent("--shadow", shadow), bound)
    else:
        raise InvalidRequest("--max-error-rate is for --share and --shadow; neither is given")
    return None if asked.action is OrderAction.CANARY and asked.share == 1.0 else asked


def _begun(name: str, answer: OrderAnswer) -> Found:
    """Return what a version that is tried does, and how that ends."""
    begun = answer.rollout
    assert begun is not None, "a worker that has begun it says so"
    found = {"model": name, "in_service": begun.serving, "rollout": begun}
    return Found(found, lambda screen: _say_begun(screen, name, begun))


def _say_begun(screen: Screen, name: str, begun: Rollout) -> None:
    from seqd.worker.promotion import percent

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


def _end_of(name: str, answer: OrderAnswer) -> Found:
    """Return that a roll-out is ended, and what answers."""
    ended = answer.rollout
    assert ended is not None, "a worker that has ended it says so"
    return Found(
        {"model": name, "in_service": ended.serving, "ended": ended},
        f"The {ended.kind} of {name}@{ended.version} is ended; {name}@{ended.serving} answers all "
        "items.",
        "bold green",
    )


def ordered(
    entry: CatalogEntry,
    order: Callable[[ModelSteps], Exchange[OrderAnswer]],
    screen: Screen,
) -> OrderAnswer:
    """Return the answer to an order on a published model; raises as `ModelHandle.promote` does.

    What was not as it should be, though the order was carried out, is said.
    """
    with options.open_ledger() as ledger:
        answer = ledger.transport.run(order(ModelSteps(ledger, entry)))
    for note in answer.notes:
        screen.say(note, "yellow")
    return answer
