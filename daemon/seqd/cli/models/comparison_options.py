"""What a comparison of two versions is asked, and what is known of both beside their answers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from seqd.analysis.comparison import MetricId, VersionFacts
from seqd_schemas import ParameterValue

if TYPE_CHECKING:
    from seqd.client import Client
    from seqd_schemas import CatalogEntry, WorkerStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """How two versions are compared."""

    #: `format` and `text_field` of the data.
    fields: Mapping[str, str] = field(
        default_factory=lambda: {"format": "auto", "text_field": "text"}
    )
    #: The field with the true class or output; None: `label`, or that of a task's type of output.
    label_field: str | None = None
    #: The task, of a model with several of its plugin's own.
    task: str | None = None
    #: What the model calls the labels of the data that it calls otherwise.
    label_map: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    #: Share of a text to measure, its end; of versions that write text alone.
    last: float | None = None
    #: The figure that is to decide; it is checked before the work.
    metric: MetricId | None = None
    #: File for the items that changed.
    changed: Path | None = None
    #: Whether that file may replace another.
    replaces: bool = False

    @property
    def class_field(self) -> str:
        """The field with the true class."""
        return self.label_field or "label"


def version_facts(
    client: "Client", refs: tuple[str, str], rates: tuple[float | None, float | None]
) -> list[VersionFacts]:
    """Return what is known of two versions whose jobs had these rates."""
    catalog, workers = client.catalog(), client.workers()
    return [
        VersionFacts(
            ref=ref,
            items_per_s=rate,
            size_bytes=_size_of(ref, catalog),
            memory_bytes=_memory_of(ref, workers),
        )
        for ref, rate in zip(refs, rates, strict=True)
    ]


def _size_of(ref: str, catalog: "Mapping[str, CatalogEntry]") -> int | None:
    """Return the bytes of a version's files; None where it has none, or is published no more."""
    name, _, number = ref.partition("@")
    published = catalog[name].versions if name in catalog else ()
    return next((one.size_bytes for one in published if one.version == int(number)), None)


def _memory_of(ref: str, workers: "Iterable[WorkerStatus]") -> int | None:
    """Return the bytes of memory that a version takes, the most that a worker says."""
    found = [one.loaded_bytes[ref] for one in workers if ref in one.loaded_bytes]
    return max(found, default=None)
