"""A sweep as its owner asks for it, and what of it is there by now.

`Client.sweep` makes the request here; the command line reads results here while others are still
to come, which `JobHandle.results` would wait for, since it keeps to the order.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from seqd.client.requests import JobOptions, job_of
from seqd.errors import InvalidRequest
from seqd.ledger import Ledger
from seqd.ledger.blobs import unpack_results
from seqd_schemas import (
    FileSource,
    ItemFailure,
    ItemSuccess,
    Job,
    JobRecord,
    NamedSource,
    ParameterValue,
)


class SweepOptions(JobOptions, total=False):
    """What a sweep can be given; see the fields of the same names in `SweepJob`."""

    #: Named parameters, which the others override.
    preset: str | None
    #: What to validate on; else the plugin holds some of the data out.
    held_out: FileSource | NamedSource | None
    #: Figure that says which version is best; `validation_accuracy` or its like when left out.
    metric: str | None
    #: Labels to move to the best version.
    labels: Sequence[str]


_OWN = tuple(set(SweepOptions.__annotations__) - set(JobOptions.__annotations__))


def sweep_of(
    data: object,
    model: str,
    grid: Mapping[str, Sequence[ParameterValue]],
    options: SweepOptions,
) -> Job:
    """Make the request of a sweep; raises InvalidRequest, which names what is wrong."""
    if not isinstance(data, FileSource | NamedSource):
        raise InvalidRequest(
            f"The data of a sweep is of type {type(data).__name__}; allowed: a FileSource that the "
            "workers can read, or a NamedSource of the plugin. Put the records into a file: each "
            "of the trainings reads them anew."
        )
    for name, values in grid.items():
        if isinstance(values, str | bytes) or not isinstance(values, Sequence):
            raise InvalidRequest(
                f"The values of {name!r} are one {type(values).__name__}; allowed: a list of the "
                "values to try."
            )
    lists = {name: list(values) for name, values in grid.items()}
    own = {name: value for name, value in options.items() if name in _OWN}
    shared = {name: value for name, value in options.items() if name not in _OWN}
    return job_of("sweep", model, cast(JobOptions, shared), source=data, grid=lists, **own)


def results_by_now(ledger: Ledger, record: JobRecord) -> dict[str, ItemSuccess | ItemFailure]:
    """Give the results that a sweep has, by combination, in order, those between them missing."""
    blobs = ledger.jobs.outputs(record.job_id, range(record.units)) if record.units else []
    results = [result for blob in blobs if blob is not None for result in unpack_results(blob)]
    return {result.custom_id: result for result in results}
