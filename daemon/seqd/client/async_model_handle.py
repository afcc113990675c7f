"""`AsyncModelHandle`: what `ModelHandle` is, for asyncio."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from seqd.client.model_steps import ModelSteps
from seqd.client.sources import Record
from seqd.ledger.async_transport import AsyncTransport
from seqd.ledger.exchange import Exchange
from seqd_schemas import MAX_ERROR_RATE

if TYPE_CHECKING:
    from seqd.analysis.comparison import Comparison
    from seqd.client.async_handle import AsyncJobHandle
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

T = TypeVar("T")


class AsyncModelHandle:
    """A model of the fleet; it has the properties and methods of `ModelHandle`, which see."""

    def __init__(
        self,
        transport: AsyncTransport,
        classify: Callable[..., "Awaitable[AsyncJobHandle[Classification]]"],
        steps: ModelSteps,
    ) -> None:
        """`classify` is the client's own."""
        self._transport = transport
        self._classify = classify
        self._steps = steps

    def __repr__(self) -> str:
        return f"AsyncModelHandle({self.name!r}, in_service={self.in_service})"

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

    async def refresh(self) -> None:
        """Look at what is published now. Raises UnknownModel when the model is gone."""
        await self._run(self._steps.refresh())

    async def history(self) -> "list[ServiceChange]":
        """Return the last changes of the version in service. See `ModelHandle.history`."""
        return await self._run(self._steps.history())

    async def promote(
        self, version: int | str, *, reason: str = "", warm_timeout_s: float = 60.0
    ) -> "OrderAnswer":
        """Put a version in service. See `ModelHandle.promote`."""
        return await self._run(self._steps.promote(version, reason, warm_timeout_s))

    async def rollback(self, *, reason: str = "", warm_timeout_s: float = 60.0) -> "OrderAnswer":
        """Put the version in service that was there before. See `ModelHandle.rollback`."""
        return await self._run(self._steps.rollback(reason, warm_timeout_s))

    async def canary(
        self,
        version: int | str,
        share: float,
        *,
        max_error_rate: float = MAX_ERROR_RATE,
        reason: str = "",
        warm_timeout_s: float = 60.0,
    ) -> "OrderAnswer":
        """Have a version answer a share of the items. See `ModelHandle.canary`."""
        from seqd_schemas import OrderAction

        return await self._run(
            self._steps.try_version(
                OrderAction.CANARY, version, share, max_error_rate, reason, warm_timeout_s
            )
        )

    async def shadow(
        self,
        version: int | str,
        share: float,
        *,
        max_error_rate: float = MAX_ERROR_RATE,
        reason: str = "",
        warm_timeout_s: float = 60.0,
    ) -> "OrderAnswer":
        """Have a version compute a share of the items, too. See `ModelHandle.shadow`."""
        from seqd_schemas import OrderAction

        return await self._run(
            self._steps.try_version(
                OrderAction.SHADOW, version, share, max_error_rate, reason, warm_timeout_s
            )
        )

    async def end_rollout(self, *, reason: str = "") -> "OrderAnswer":
        """End a canary or a shadow. See `ModelHandle.end_rollout`."""
        return await self._run(self._steps.end_rollout(reason))

    async def rollout_counts(self) -> "list[VersionCounts]":
        """Return what the versions of a roll-out did. See `ModelHandle.rollout_counts`."""
        return await self._run(self._steps.rollout_counts())

    async def label(self, version: int | str, label: str) -> "OrderAnswer":
        """Move a label to a version. See `ModelHandle.label`."""
        return await self._run(self._steps.label(version, label))

    async def unlabel(self, version: int | str, label: str) -> "OrderAnswer":
        """Take a label away from a version. See `ModelHandle.unlabel`."""
        return await self._run(self._steps.unlabel(version, label))

    async def compare(
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
        """Return how a version does beside another. See `ModelHandle.compare`."""
        from seqd.client.comparing import PairedRun

        run = PairedRun(self.entry, (first, second), data, text_field, label_field, label_map)
        asked = run.parameters | dict(parameters or {})
        for number, ref in enumerate(run.refs):
            job = await self._classify(run.items, model=ref, parameters=asked)
            async for result in job.results():
                run.add(number, result)
            run.ended(number, await job.wait())
        return run.comparison()

    async def _run(self, exchange: Exchange[T]) -> T:
        return await self._transport.run(exchange)
