"""Many small jobs at once: one for each text, handed in together. Called by `client` only.

Each is a job like any other, with its own identifier, events and results; they only travel to
Redis together, which is what makes thousands a second of them possible. What becomes of them is
read by `completion`.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from seqd.client.requests import JobOptions, checked_id
from seqd.errors import InvalidRequest, JobsRefused, SeqdError
from seqd.ledger.submissions import Accepted, new_job_id
from seqd_schemas import Item, ItemChunk, RefusedItem

#: Options that no two jobs can share.
_OF_ONE_JOB = ("job_id", "idempotency_key")


def refuse_options_of_one(options: JobOptions) -> None:
    """Raise InvalidRequest for an option that would make all jobs the same one."""
    for name in _OF_ONE_JOB:
        if options.get(name) is not None:
            raise InvalidRequest(
                f"{name} is {options.get(name)!r}, for many jobs; allowed: none. Give each job an "
                "identifier of its own with `job_ids`: sent again, it makes no second job."
            )


def inputs_of(
    entries: Iterable[Item | RefusedItem], job_ids: Iterable[str] | None
) -> Iterator[tuple[str, ItemChunk]]:
    """Give the identifier and the whole input of each job.

    Raises InvalidRequest for an identifier that no job can have, and where there are fewer of them
    than entries, or more.
    """
    if job_ids is None:
        for entry in entries:
            yield new_job_id(), _only(entry)
        return
    for item, job_id in zip_longest(entries, job_ids):
        if item is None or job_id is None:
            more, fewer = ("job_ids", "items") if item is None else ("items", "job_ids")
            raise InvalidRequest(f"There are more {more} than {fewer}; one each is due.")
        yield checked_id(job_id), _only(item)


def refusal_of(
    inputs: Sequence[tuple[str, ItemChunk]], outcomes: Sequence[Accepted | SeqdError]
) -> JobsRefused | None:
    """Sum up which jobs were refused, and why; None when none was."""
    refused = {
        job_id: outcome
        for (job_id, _), outcome in zip(inputs, outcomes, strict=True)
        if isinstance(outcome, SeqdError)
    }
    if not refused:
        return None
    accepted = [outcome.job_id for outcome in outcomes if isinstance(outcome, Accepted)]
    return JobsRefused(accepted, refused)


def _only(entry: Item | RefusedItem) -> ItemChunk:
    # Validated when it was made.
    return ItemChunk.model_construct(type="items", first_index=0, items=(entry,))
