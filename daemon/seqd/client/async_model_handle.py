"""`AsyncModelHandle`: what `ModelHandle` is, for asyncio."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from seqd.client.faces import Awaiting
from seqd.client.model_handle import ModelMethods
from seqd.client.sources import Record

if TYPE_CHECKING:
    from seqd.analysis.comparison import Comparison
    from seqd.client.job import AsyncJobHandle
    from seqd_schemas import (
        Classification,
        ParameterValue,
    )


class AsyncModelHandle(Awaiting, ModelMethods):
    """A model of the fleet; it has the properties and methods of `ModelHandle`, which see."""

    _classify: Callable[..., "Awaitable[AsyncJobHandle[Classification]]"]

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
