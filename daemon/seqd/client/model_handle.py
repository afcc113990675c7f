"""`ModelHandle`: a model of the fleet, which version of it is in service, and changes of that."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from seqd.client.faces import Blocking, call
from seqd.client.model_steps import ModelSteps
from seqd.client.sources import Record
from seqd.ledger.exchange import Exchange
from seqd_schemas import MAX_ERROR_RATE

if TYPE_CHECKING:
    from seqd.analysis.comparison import Comparison
    from seqd.client.handle import JobHandle
    from seqd_schemas import (
        CatalogEntry,
        Classification,
        OrderAnswer,
        ParameterValue,
        Rollout,
        ServiceChange,
        VersionCounts,
        VersionSummary,
    )


class ModelMethods:
    """What the handles of both clients have."""

    def __init__(self, transport: Any, classify: Callable[..., Any], steps: ModelSteps) -> None:
        """`classify` is the client's own."""
        self._transport = transport
        self._classify = classify
        self._steps = steps

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, in_service={self.in_service})"

    @property
    def entry(self) -> "CatalogEntry":
        """All that is published of the model."""
        return self._steps.entry

    @property
    def name(self) -> str:
        """The model's name."""
        return self.entry.model

    @property
    def plugin(self) -> str:
        """The plugin's model that it is made with, `imdb_lstm` for `topics`."""
        return self.entry.made_with

    @property
    def versions(self) -> "tuple[VersionSummary, ...]":
        """Its versions, ascending; the newest of them."""
        return self.entry.versions

    @property
    def in_service(self) -> int | None:
        """The version that the bare name means; None where there is none."""
        return self._steps.in_service

    @property
    def labels(self) -> dict[str, int]:
        """Its labels, with the versions that they stand for."""
        return dict(self.entry.labels)

    @property
    def rollout(self) -> "Rollout | None":
        """The canary or shadow that goes on; None without one."""
        return self.entry.rollout

    @call
    def refresh(self) -> "Exchange[None]":
        """Look at what is published now. Raises UnknownModel when the model is gone."""
        return self._steps.refresh()

    @call
    def history(self) -> "Exchange[list[ServiceChange]]":
        """Return the last changes of the version in service, 20 at most, oldest first.

        It looks at what is published now, as `refresh` does.
        """
        return self._steps.history()

    @call
    def promote(
        self, version: int | str, *, reason: str = "", warm_timeout_s: float = 60.0
    ) -> "Exchange[OrderAnswer]":
        """Put a version, by its number or a label, in service; returns when new jobs get it.

        Workers that have the model loaded load the version first, for `warm_timeout_s` seconds at
        most; `notes` of the answer say which have not. Raises ServiceChanged where another version
        is in service than this handle knows of: `refresh` it, and decide anew. Raises WrongState
        where the version is there already, UnknownModel, NoFitWorker where a worker cannot run it
        or none can carry it out, OrderUnfinished, RedisNoPermission, and what else a worker meets.
        """
        return self._steps.promote(version, reason, warm_timeout_s)

    @call
    def rollback(
        self, *, reason: str = "", warm_timeout_s: float = 60.0
    ) -> "Exchange[OrderAnswer]":
        """Put the version in service that was there before; called again, the one before that.

        While a canary or a shadow goes on, that ends, and the version in service stays. Raises
        WrongState where none was, and what `promote` does.
        """
        return self._steps.rollback(reason, warm_timeout_s)

    @call
    def canary(
        self,
        version: int | str,
        share: float,
        *,
        max_error_rate: float = MAX_ERROR_RATE,
        reason: str = "",
        warm_timeout_s: float = 60.0,
    ) -> "Exchange[OrderAnswer]":
        """Have a version answer a share of the items of new jobs on the model, such as 0.05.

        Each result of such a job names its version. What the candidate cannot answer the version in
        service does. It ends by itself where more than `max_error_rate` of its items fail with it
        alone; by `promote`, `rollback` and `end_rollout`. `rollout_counts` has what both did.
        Raises InvalidRequest for a share that is none, and what `promote` does.
        """
        from seqd_schemas import OrderAction

        return self._steps.try_version(
            OrderAction.CANARY, version, share, max_error_rate, reason, warm_timeout_s
        )

    @call
    def shadow(
        self,
        version: int | str,
        share: float,
        *,
        max_error_rate: float = MAX_ERROR_RATE,
        reason: str = "",
        warm_timeout_s: float = 60.0,
    ) -> "Exchange[OrderAnswer]":
        """Have a version compute a share of the items, too; the version in service answers.

        `rollout_counts` has how often its answer is another one. See `canary`.
        """
        from seqd_schemas import OrderAction

        return self._steps.try_version(
            OrderAction.SHADOW, version, share, max_error_rate, reason, warm_timeout_s
        )

    @call
    def end_rollout(self, *, reason: str = "") -> "Exchange[OrderAnswer]":
        """End a canary or a shadow; the version in service answers all items, of open jobs, too.

        Raises WrongState where there is none, and what `promote` does.
        """
        return self._steps.end_rollout(reason)

    @call
    def rollout_counts(self) -> "Exchange[list[VersionCounts]]":
        """Return what the versions of the roll-out did that goes on; an empty list without one.

        It looks at what is published now, as `refresh` does.
        """
        return self._steps.rollout_counts()

    @call
    def label(self, version: int | str, label: str) -> "Exchange[OrderAnswer]":
        """Move a label to a version. Raises InvalidRequest, and what `promote` does."""
        return self._steps.label(version, label)

    @call
    def unlabel(self, version: int | str, label: str) -> "Exchange[OrderAnswer]":
        """Take a label away from a version; raises InvalidRequest where it has it not."""
        return self._steps.unlabel(version, label)


class ModelHandle(Blocking, ModelMethods):
    """A model as workers had published it when the handle was made, changed, or refreshed.

    Changes are carried out by a worker whose store has the model. They need the rights of an
    operator where Redis has users: `seqd redis acl --role operator`.
    """

    _classify: Callable[..., "JobHandle[Classification]"]

    def compare(
        self,
        first: int | str,
        second: int | str,
        data: Iterable[Record],
        *,
        text_field: str = "text",
        label_field: str = "label",
        label_map: Mapping[str, str] | None = None,
        parameters: "Mapping[str, ParameterValue] | None" = None,
    ) -> "Comparison":
        """Return how a version does beside another: both classify the same labelled records.

        Each has a job of its own, one after the other; all of `data` is held in memory. `label_map`
        has what the model calls labels of the data that it calls otherwise. `is_better` of
        `seqd.analysis.comparison` decides by the result. Raises InvalidRequest for one version
        twice and for a model that does not classify, InvalidData where no label is a class of
        either, and what `Client.classify` and waiting for a job do.
        """
        from seqd.client.comparing import PairedRun

        run = PairedRun(self.entry, (first, second), data, text_field, label_field, label_map)
        asked = run.parameters | dict(parameters or {})
        for number, ref in enumerate(run.refs):
            job = self._classify(run.items, model=ref, parameters=asked)
            for result in job.results():
                run.add(number, result)
            run.ended(number, job.wait())
        return run.comparison()
