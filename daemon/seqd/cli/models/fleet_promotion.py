"""Which version is in service, changed from a machine without the store: by orders to workers.

The commands of `promotion` come here for a model whose folder is not in this machine's store, and
that workers have published.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from seqd.cli import options
from seqd.errors import RedisUnreachable, WrongState

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqd.client.model_steps import ModelSteps
    from seqd.ledger.exchange import Exchange
    from seqd_schemas import CatalogEntry, OrderAnswer, RolloutKind


def entry_elsewhere(name: str) -> "CatalogEntry | None":
    """Return what is published of a model whose store is elsewhere.

    None where this machine's store has its folder, where no daemon is up, and where none knows it.
    """
    settings = options.read_settings()
    if (settings.store_dir / name).is_dir():
        return None
    try:
        with options.open_client() as client:
            return client.catalog().get(name)
    except RedisUnreachable:
        return None


@dataclass
class FleetPromotion:
    """A version that a worker is to put in service in place of the one that is there now."""

    entry: "CatalogEntry"
    version: int
    why: str
    #: The figures that it is made for.
    gate: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise WrongState where the version is in service already."""
        if self.before == self.version:
            raise WrongState(f"{self.ref} is in service already; nothing is changed")

    @property
    def name(self) -> str:
        """Return the model's name."""
        return self.entry.model

    @property
    def ref(self) -> str:
        """Return the version as `name@3`."""
        return f"{self.name}@{self.version}"

    @property
    def before(self) -> int | None:
        """Return the version that it is to follow."""
        return self.entry.labels.get("production")

    def order(self, warm_timeout_s: float) -> "OrderAnswer":
        """Have a worker put the version in service; raises as `ModelHandle.promote` does."""

        def steps(of: "ModelSteps") -> "Exchange[OrderAnswer]":
            return of.promote(self.version, self.why, warm_timeout_s, self.gate)

        return _ordered(self.entry, steps)

    def order_rollout(
        self, kind: "RolloutKind", share: float, max_error_rate: float, warm_timeout_s: float
    ) -> "OrderAnswer":
        """Have a worker begin a canary or a shadow; raises as `ModelHandle.canary` does."""
        from seqd_schemas import OrderAction

        def steps(of: "ModelSteps") -> "Exchange[OrderAnswer]":
            action = OrderAction(kind.value)
            return of.try_version(
                action, self.version, share, max_error_rate, self.why, warm_timeout_s
            )

        return _ordered(self.entry, steps)


def order_end(entry: "CatalogEntry", why: str, version: int | None) -> "OrderAnswer":
    """Have a worker end a canary or a shadow."""
    return _ordered(entry, lambda of: of.end_rollout(why, version))


def order_rollback(entry: "CatalogEntry", why: str, warm_timeout_s: float) -> "OrderAnswer":
    """Have a worker put the version in service that was there before."""
    return _ordered(entry, lambda of: of.rollback(why, warm_timeout_s))


def order_label(
    entry: "CatalogEntry", version: int, label: str, *, is_removed: bool
) -> "OrderAnswer":
    """Have a worker move a label to a version, or take it away."""
    return _ordered(
        entry, lambda of: of.unlabel(version, label) if is_removed else of.label(version, label)
    )


def _ordered(
    entry: "CatalogEntry", steps: "Callable[[ModelSteps], Exchange[OrderAnswer]]"
) -> "OrderAnswer":
    from seqd.client.model_steps import ModelSteps

    with options.open_ledger() as ledger:
        return ledger.transport.run(steps(ModelSteps(ledger, entry)))
