"""`ModelHandle`: a model of the fleet, which version of it is in service, and changes of that."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from seqd.client.faces import Blocking, call
from seqd.client.model_steps import ModelSteps
from seqd.client.sources import Record

if TYPE_CHECKING:
    from seqd.analysis.comparison import Comparison
    from seqd.client.job import JobHandle
    from seqd_schemas import (
        CatalogEntry,
        Classification,
        ParameterValue,
        Rollout,
        VersionSummary,
    )


class ModelMethods:
    """What the handles of both clients have."""

    #: What its methods do stands in `steps`.
    has_steps: ClassVar = True

    def __init__(self, transport: Any, classify: Callable[..., Any], steps: ModelSteps) -> None:
        """`classify` is the client's own."""
        self._transport = transport
        self._classify = classify
        #: What the handle does, as exchanges.
        self.steps = steps

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, in_service={self.in_service})"

    @property
    def entry(self) -> "CatalogEntry":
        """All that is published of the model."""
        return self.steps.entry

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
        return self.steps.in_service

    @property
    def labels(self) -> dict[str, int]:
        """Its labels, with the versions that they stand for."""
        return dict(self.entry.labels)

    @property
    def rollout(self) -> "Rollout | None":
        """The canary or shadow that goes on; None without one."""
        return self.entry.rollout

    refresh = call(ModelSteps.refresh)
    history = call(ModelSteps.history)
    promote = call(ModelSteps.promote)
    rollback = call(ModelSteps.rollback)
    canary = call(ModelSteps.canary)
    shadow = call(ModelSteps.shadow)
    end_rollout = call(ModelSteps.end_rollout)
    rollout_counts = call(ModelSteps.rollout_counts)
    label = call(ModelSteps.label)
    unlabel = call(ModelSteps.unlabel)


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
        has what the model calls labels of the data that it calls otherwise. `verdict_of` of
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
