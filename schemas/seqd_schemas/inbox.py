"""The inbox's answers: what became of each entry that a program in any language has added.

They stand in a stream of their own, `Keys.inbox_answers`: also those to entries that named no job
whose event stream could have one.
"""

from typing import Literal

from pydantic import Field

from seqd_schemas.base import EntryId, JobId, WireModel
from seqd_schemas.failures import Failure

#: Characters of an entry's field `id` that its answer has.
MAX_GIVEN_ID_CHARS = 256


class InboxAnswer(WireModel):
    """What became of one entry of the inbox."""

    entry: EntryId = Field(description="Stream id of the entry, which its XADD returned.")
    outcome: Literal["accepted", "rejected"]
    """`accepted`: `job_id` is the job. `rejected`: `failure` says why there is none."""
    id: str | None = Field(default=None, max_length=MAX_GIVEN_ID_CHARS)
    """The entry's field `id` as it was given, cut to 256 characters; None where it has none, and of
    an entry that was refused unread and whose `id` no job may have."""
    job_id: JobId | None = Field(default=None, description="The job, where it was accepted.")
    created: bool | None = None
    """Where it was accepted: True when this entry made the job, False when an earlier one with the
    same content had made it."""
    failure: Failure | None = Field(default=None, description="Why it was rejected.")
    existing_job_id: JobId | None = None
    """Of a rejected entry: the job that its identifier or idempotency key stands for already."""
