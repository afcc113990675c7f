"""Jobs that have ended, as `AsyncClient.as_completed` gives them."""

from seqd.client.async_handle import AsyncJobHandle
from seqd.client.completion import EndedMethods
from seqd.client.faces import Awaiting
from seqd_schemas import Output


class AsyncEndedJob(Awaiting, EndedMethods[Output]):
    """A job that has ended, and how; see `EndedJob`."""

    handle: AsyncJobHandle[Output]
