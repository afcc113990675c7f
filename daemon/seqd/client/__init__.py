"""Client for services: send jobs, follow them, and fetch their results.

    from seqd.client import Client

    with Client() as client:
        job = client.classify(["A fine film.", "Dreadful."])
        for result in job.results():
            print(result.custom_id, result.output.label, result.output.score)

Needs neither Keras nor any plugin: requests are checked against what workers publish.
"""

from typing import TYPE_CHECKING

from seqd.deferred import deferred

if TYPE_CHECKING:
    from seqd.client.async_client import AsyncClient
    from seqd.client.async_completion import AsyncEndedJob
    from seqd.client.async_handle import AsyncJobHandle
    from seqd.client.client import Client
    from seqd.client.completion import EndedJob
    from seqd.client.handle import JobHandle
    from seqd.client.requests import JobOptions
    from seqd.client.streaming import StreamedText
    from seqd.ledger.job_filter import FoundJobs, JobFilters

__all__ = [
    "AsyncClient",
    "AsyncEndedJob",
    "AsyncJobHandle",
    "Client",
    "EndedJob",
    "FoundJobs",
    "JobFilters",
    "JobHandle",
    "JobOptions",
    "StreamedText",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = deferred(
        globals(),
        {
            "AsyncClient": "async_client",
            "AsyncEndedJob": "async_completion",
            "AsyncJobHandle": "async_handle",
            "Client": "client",
            "EndedJob": "completion",
            "FoundJobs": "waiting",
            "JobFilters": "waiting",
            "JobHandle": "handle",
            "JobOptions": "requests",
            "StreamedText": "streaming",
        },
    )
