"""Begins and aborts roll-outs, as an order asks for.

A candidate begins once the workers that have the model loaded have loaded both versions, so that no
item waits for either.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from seqd.errors import InvalidRequest, ServiceChanged, WrongState
from seqd.models.model_records import PRODUCTION
from seqd.worker.promotion import labelled_candidate, wait_until_published, wait_until_warm
from seqd_schemas import MAX_ERROR_RATE, Rollout

if TYPE_CHECKING:
    from seqd.ledger import Ledger
    from seqd.models.store import ModelStore
    from seqd_schemas import ModelOrder


class RolloutBegin:
    """A version that is to be tried beside the one in service."""

    def __init__(self, store: "ModelStore", order: "ModelOrder") -> None:
        """Take what a client ordered.

        Raises WrongState where the version is in service, or none is, and ServiceChanged where
        another one is than the client has seen.
        """
        name, version, share = order.model, order.version, order.share
        assert version is not None and share is not None, "a roll-out has both"
        self.store, self.name, self.version, self._order_id = store, name, version, order.order_id
        serving = store.labels(name).get(PRODUCTION)
        if serving is None:
            raise WrongState(
                f"no version of {name} is in service, beside which one could be tried. Put it in "
                f"service: seqd models promote {name}@{version}"
            )
        if serving == version:
            raise WrongState(
                f"{name}@{version} is in service already, and answers all items; nothing is changed"
            )
        if order.expected != serving:
            raise ServiceChanged(
                f"{name}@{serving} is in service, and not what the client has seen: nothing is "
                "changed. Look at it anew, and say it again"
            )
        reason = f": {order.why}" if order.why else ""
        bound = order.max_error_rate
        self.rollout = Rollout(
            id=secrets.token_hex(8),
            kind=order.action,
            version=version,
            serving=serving,
            share=share,
            max_error_rate=MAX_ERROR_RATE if bound is None else bound,
            by=order.by,
            why=f"{order.action} of {name}@{version} with {percent(share)} of the items{reason}",
            at_ms=time.time_ns() // 1_000_000,
        )

    @property
    def ref(self) -> str:
        """Return the candidate as `name@3`."""
        return f"{self.name}@{self.version}"

    @property
    def kept_loaded(self) -> Sequence[str]:
        """Both versions."""
        return (self.ref, f"{self.name}@{self.rollout.serving}")

    def is_overtaken(self) -> bool:
        """Return True when another version is in service than the one that it is to be beside."""
        return self.store.labels(self.name).get(PRODUCTION) != self.rollout.serving

    def begin(self) -> None:
        """Begin it, with a line in the history; raises as `ModelStore.begin_rollout` does."""
        self.store.begin_rollout(self.name, self.rollout, self._order_id)


def begin_warm(
    ledger: "Ledger",
    change: RolloutBegin,
    deadline_s: float,
    warn: Callable[[str], None],
    go_on: Callable[[], None],
    publish: Callable[[], None],
) -> None:
    """Have the workers load a candidate, begin its roll-out, and wait until new jobs take part.

    The arguments and errors are those of `seqd.worker.promotion.put_in_service_warm`.
    """
    with labelled_candidate(change):
        wait_until_warm(ledger, change, deadline_s, warn, go_on)
        change.begin()
    publish()
    begun = change.rollout.id
    wait_until_published(
        ledger,
        change.store,
        change.name,
        lambda entry: entry.rollout is not None and entry.rollout.id == begun,
        warn,
        go_on,
    )


def abort(store: "ModelStore", order: "ModelOrder") -> Rollout:
    """End the roll-out of a model that goes on, of the order's version where it has one.

    The version in service answers all items again, of jobs that were handed in before, too. Returns
    the roll-out; raises WrongState where there is none, or another version is tried.
    """
    name, version = order.model, order.version
    rollout = store.rollout(name)
    if rollout is None:
        raise WrongState(
            f"no version of {name} is tried beside the one in service; nothing is changed"
        )
    if version not in (None, rollout.version):
        raise WrongState(
            f"{name}@{rollout.version} is tried, and not {name}@{version}; nothing is changed"
        )
    said = f"{rollout.kind} of {name}@{rollout.version} aborted"
    reason = f"{said}: {order.why}" if order.why else said
    if not store.end_rollout(name, rollout, order.by, reason, order.order_id):
        raise WrongState(f"the {rollout.kind} of {name}@{rollout.version} has ended meanwhile")
    return rollout


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


def percent(share: float) -> str:
    """Return 0.05 as `5%`, with the digits that it has and no more."""
    return f"{100 * share:.6g}%"
