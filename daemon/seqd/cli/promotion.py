"""`seqd models promote`, `rollback`, `history`, `label`: which version is in service, or what.

The store has it, in the label `production`. Where a daemon is up, its workers load the version
first, so that no item waits for that, and the command ends when new jobs get it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import completion, options
from seqd.cli.caller import caller
from seqd.cli.exits import NO
from seqd.cli.gates import Condition
from seqd.cli.label_map import LabelPairs, read_label_map
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_json, print_table
from seqd.errors import (
    InvalidRequest,
    NoFitWorker,
    RedisUnreachable,
    SeqdError,
    UnknownModel,
    WrongState,
    wire_text,
)

if TYPE_CHECKING:
    from seqd.ledger import Ledger
    from seqd.models.store import ModelStore
    from seqd_schemas import WorkerStatus

#: Characters of a reason that are written down.
_MOST_REASON_CHARS = 500

#: Seconds between two looks at what the workers have loaded.
_LOOK_S = 0.1

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
GateBy = Annotated[
    float, typer.Option("--by", min=0, help="Least gain, in the unit of the metric: 0.002, say.")
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
    by: GateBy = 0.0,
    format_name: options.InputFormatName = "auto",
    text_field: options.TextField = "text",
    label_field: options.LabelField = "label",
    map_label: LabelPairs = None,
    warm_timeout: WarmTimeout = 60.0,
    store_only: StoreOnly = False,
    as_json: options.Json = False,
) -> None:
    """Put a version in service: a bare name means it, for all jobs that are handed in afterwards.

    Workers that have the model loaded load the version first. A running job keeps its version.
    """
    from seqd_schemas import ModelReference

    if ModelReference.parse(reference).version is None:
        raise InvalidRequest(
            f"{reference!r} names no version; allowed: NAME@VERSION, such as {reference}@2. "
            f"`seqd models show {reference}` shows its versions"
        )
    store = options.open_local_models(options.read_settings()).store
    name, version = store.resolve(reference)
    change = _Change(store, name, version, reason)
    if if_better_on is not None:
        fields = {"format": format_name, "text_field": text_field}
        label_map = read_label_map(map_label or [])
        condition = Condition(if_better_on, metric, by, fields, label_field, label_map)
        if not _passes(change, condition, as_json=as_json):
            raise typer.Exit(NO)
    elif metric or by:
        raise InvalidRequest("--metric and --by are for --if-better-on FILE, which is not given")
    _make(change, warm_timeout, store_only=store_only, as_json=as_json)


def promote_if_better(reference: str, condition: Condition) -> bool:
    """Put a version in service if it is better; return whether it was. For other commands."""
    store = options.open_local_models(options.read_settings()).store
    change = _Change(store, *store.resolve(reference), "")
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
    """Put the version in service that was there before; said again, the one before that."""
    from seqd.models.history import version_before

    _check_names_no_version(model, f". `seqd models promote {model}` puts that version in service")
    store = options.open_local_models(options.read_settings()).store
    name, current = store.resolve(model)
    before = version_before(store.history(name), current)
    if before is None:
        raise WrongState(
            f"{name}@{current} is the first version of {name} in service that is known: there is "
            f"none to go back to. `seqd models promote {name}@VERSION` puts any other in service"
        )
    if before not in store.numbers(name):
        raise UnknownModel(
            f"{name}@{before} was in service before {name}@{current}, and is gone. Put another one "
            f"in service: seqd models promote {name}@VERSION"
        )
    change = _Change(store, name, before, reason or f"back from {name}@{current}", True)
    _make(change, warm_timeout, store_only=store_only, as_json=as_json)


def history(
    model: Annotated[
        str, typer.Argument(help="A model: topics.", autocompletion=completion.models)
    ],
    as_json: options.Json = False,
) -> None:
    """Show which version of a model was in service when, by whom and why."""
    from seqd.cli.ui.numbers import clock

    _check_names_no_version(model)
    store = options.open_local_models(options.read_settings()).store
    changes = store.history(model)
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
    from seqd.models.labels import PRODUCTION, check_label

    check_label(name)
    if name == PRODUCTION:
        raise InvalidRequest(
            f"the label {PRODUCTION} is the version in service; put one there with "
            "`seqd models promote NAME@VERSION`"
        )
    store = options.open_local_models(options.read_settings()).store
    model, version = store.resolve(reference)
    if is_removed and store.labels(model).get(name) != version:
        raise InvalidRequest(f"{model}@{version} has no label {name!r}; nothing is changed")
    if is_removed:
        store.drop_label(model, name, version)
    else:
        store.set_label(model, name, version, caller())
    if as_json:
        print_json({"model": model, "labels": store.labels(model)})
    else:
        said = "has no label" if is_removed else "has the label"
        Screen().say(f"{model}@{version} {said} {name} now.")


def _check_names_no_version(model: str, way_on: str = "") -> None:
    name, at, _ = model.partition("@")
    if at:
        raise InvalidRequest(f"{model!r} names a version; allowed: a model, such as {name}{way_on}")


class _Change:
    """A version that is to be put in service in place of the one that is there now."""

    def __init__(
        self, store: "ModelStore", name: str, version: int, why: str, is_rollback: bool = False
    ) -> None:
        """Raises WrongState where the version is in service already."""
        from seqd.models.labels import PRODUCTION

        self.store, self.name, self.version = store, name, version
        self.before = store.labels(name).get(PRODUCTION)
        self.why, self._is_rollback = wire_text(why)[:_MOST_REASON_CHARS], is_rollback
        #: The figures that it is made for.
        self.gate: dict[str, float] = {}
        if self.before == version:
            raise WrongState(f"{name}@{version} is in service already; nothing is changed")

    @property
    def ref(self) -> str:
        """Return the version as `name@3`."""
        return f"{self.name}@{self.version}"

    def is_overtaken(self) -> bool:
        """Return True when another version is in service than the one that it is to follow."""
        from seqd.models.labels import PRODUCTION

        return self.store.labels(self.name).get(PRODUCTION) != self.before

    def put_in_service(self) -> None:
        """Put the version in service, with a line in the history.

        Raises ServiceChanged where somebody was faster, and as `ModelStore.open` does.
        """
        from seqd_schemas import ServiceChange

        change = ServiceChange(
            at_ms=time.time_ns() // 1_000_000,
            by=caller(),
            from_version=self.before,
            to_version=self.version,
            why=self.why,
            is_rollback=self._is_rollback,
            gate=self.gate,
        )
        self.store.put_in_service(self.name, change)


def _passes(change: _Change, condition: Condition, *, as_json: bool) -> bool:
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


def _make(change: _Change, timeout_s: float, *, store_only: bool, as_json: bool) -> None:
    screen = Screen(to_stderr=as_json)
    if store_only:
        change.put_in_service()
    else:
        try:
            with options.open_ledger() as ledger:
                _put_in_service_warm(ledger, change, screen, time.monotonic() + timeout_s)
        except RedisUnreachable as error:
            raise RedisUnreachable(
                f"{error} Without a daemon the store alone is changed by --store-only."
            ) from None
    if as_json:
        print_json({"model": change.name, "in_service": change.version, "before": change.before})
        return
    before = "no version" if change.before is None else f"{change.name}@{change.before}"
    screen.say(f"{change.ref} is in service, after {before}.", "bold green")


def _put_in_service_warm(
    ledger: "Ledger", change: _Change, screen: Screen, deadline: float
) -> None:
    """Have the workers load a version, put it in service, and wait until new jobs get it."""

    def is_warm_or_late() -> bool:
        return change.is_overtaken() or not _cold_workers(ledger.fleet.workers(), change)

    with _candidate(change):
        if not _wait(ledger, change, deadline, is_warm_or_late):
            cold = ", ".join(_cold_workers(ledger.fleet.workers(), change))
            screen.say(f"Not loaded yet, so that first items there wait for it: {cold}", "yellow")
        change.put_in_service()
    if not _wait(ledger, change, time.monotonic() + 15, lambda: _is_published(ledger, change)):
        screen.say(
            "No worker has published this yet: jobs of clients get the version that is published. "
            "`seqd status` shows the workers; do they use this store?",
            "yellow",
        )


@contextmanager
def _candidate(change: _Change) -> Iterator[None]:
    """Label a version `candidate` for a while, so that the workers load it.

    Where it does not go into service then, the label stands again where it stood before.
    """
    from seqd.models.labels import CANDIDATE, PRODUCTION

    store, name = change.store, change.name
    before = store.labels(name).get(CANDIDATE)
    store.set_label(name, CANDIDATE, change.version)
    try:
        yield
    except BaseException:
        with suppress(SeqdError):
            labels = store.labels(name)
            if labels.get(CANDIDATE) != change.version or before in (None, labels.get(PRODUCTION)):
                store.drop_label(name, CANDIDATE, change.version)
            else:
                store.set_label(name, CANDIDATE, before)
        raise
    store.drop_label(name, CANDIDATE, change.version)


def _wait(ledger: "Ledger", change: _Change, deadline: float, is_done: Callable[[], bool]) -> bool:
    """Wake the workers of a model, which then look at the store, until something is done."""
    from seqd_schemas import route_of

    plugin = change.store.plugin_of(change.name)
    woken_s = float("-inf")
    while not is_done():
        if time.monotonic() >= deadline:
            return False
        if time.monotonic() - woken_s >= 1:  # an idle worker looks at the store at each wakeup
            woken_s = time.monotonic()
            for task in ("classify", "generate"):
                ledger.work.wake(route_of(task, plugin))
        time.sleep(_LOOK_S)
    return True


def _cold_workers(workers: "list[WorkerStatus]", change: _Change) -> list[str]:
    """Return the workers that have the model in memory, but not the version.

    Raises NoFitWorker where one says that it cannot run the version.
    """
    cold = []
    for one in workers:
        for unfit in one.unfit:
            if (unfit.model, unfit.version) == (change.name, change.version):
                raise NoFitWorker(
                    f"{one.worker} cannot run {change.ref}: {unfit.code}: {unfit.message}. It was "
                    "not put in service."
                )
        loaded = [ref for ref in one.models_loaded if ref.partition("@")[0] == change.name]
        if loaded and change.ref not in loaded:
            cold.append(one.worker)
    return cold


def _is_published(ledger: "Ledger", change: _Change) -> bool:
    from seqd.models.labels import PRODUCTION

    entry = ledger.fleet.catalog().get(change.name)
    return entry is not None and entry.labels.get(PRODUCTION) == change.version
