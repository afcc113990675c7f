"""Finding the jobs that match a filter, and cancelling, pausing, resuming or removing them.

An index is walked in pages of bounded size, the oldest jobs first, and one script acts on a few of
them, so that a million hold nobody up. Between two pages jobs may be made, end or go: one that is
in another state by then is left alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple, cast

from seqd.kinds import TRAIN
from seqd.ledger.exchange import Exchange, Part, Whole, command, exchange, script
from seqd.ledger.job_filter import JobFilter
from seqd.ledger.jobs import Jobs
from seqd.ledger.scripts import as_list, as_text
from seqd_schemas import JobAction

#: Jobs that one page looks at.
LOOKED_AT_ONCE: Final = 200


#: Jobs that one script acts on at most: 2 to 3 ms of the server's time.
ACTED_AT_ONCE: Final[Mapping[JobAction, int]] = MappingProxyType(
    {
        JobAction.CANCEL: 16,
        JobAction.PAUSE: 32,
        JobAction.RESUME: 32,
        JobAction.REMOVE: 16,
    }
)


class JobGroup(NamedTuple):
    """What jobs have in common that are counted together."""

    state: str
    model: str
    tenant: str


class FoundJob(NamedTuple):
    """A job that matches, and what it was counted as."""

    job_id: str
    group: JobGroup


@dataclass(frozen=True, slots=True)
class Selection:
    """The jobs that an action is for, up to a moment of the server's clock."""

    action: JobAction
    wanted: JobFilter
    #: Until when they were accepted, in milliseconds; None for any time.
    until_ms: int | None = None


#: Place in an index: behind a job, by its score and its id.
Place = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Page:
    """What was found among the next jobs of an index."""

    #: Where the next page begins; None behind the last.
    place: Place | None
    looked_at: int
    #: Jobs of the index that are not kept any more.
    gone: int
    jobs: list[FoundJob]


class ManyJobs(Part):
    """Pages and acts, on one server under one key prefix."""

    def __init__(self, ledger: Whole) -> None:
        super().__init__(ledger)
        self._jobs = Jobs(ledger)

    @exchange
    def page(self, selection: Selection, place: Place | None = None) -> Exchange[Page]:
        """Return the next jobs that match; behind a place, or the first."""
        rows = yield from self._behind(selection, place)
        wanted, is_retry = selection.wanted, selection.action is JobAction.RETRY
        fields = (*wanted.fields, *(_OF_RETRY if is_retry else ()))
        found = yield from self._jobs.rows_of.steps([job_id for _, job_id in rows], fields)
        return Page(
            place=rows[-1] if len(rows) == LOOKED_AT_ONCE else None,
            looked_at=len(rows),
            gone=sum(not row for row in found),
            jobs=[
                FoundJob(_text(job_id), JobGroup(*(_text(row.get(name, b"")) for name in _GROUP)))
                for (_, job_id), row in zip(rows, found, strict=True)
                if row and wanted.matches(row) and (not is_retry or _may_be_retried(row))
            ],
        )

    @exchange
    def act(
        self, action: JobAction, jobs: Sequence[FoundJob], by: str = ""
    ) -> Exchange[dict[str, str]]:
        """Act on jobs that were found, `ACTED_AT_ONCE` at most; `by` says who does.

        Return what act_on_jobs.lua says of each.
        """
        pairs = [part for job in jobs for part in (job.job_id, job.group.state)]
        reply = as_list((yield from script("act_on_jobs", action.value, by, *pairs)))
        return dict(zip((job.job_id for job in jobs), map(as_text, reply), strict=True))

    def _behind(self, selection: Selection, place: Place | None) -> Exchange[list[Place]]:
        """Return the next entries of the index that has all jobs that can match."""
        is_open = selection.wanted.is_of_open_jobs
        index = self._keys.open_jobs() if is_open else self._keys.jobs()
        since = (selection.wanted.since_ms or 0) if place is None else place[0]
        until = "+inf" if selection.until_ms is None else selection.until_ms
        most = LOOKED_AT_ONCE
        while True:
            span = (since, until, "WITHSCORES", "LIMIT", 0, most)
            flat = cast(list[bytes], (yield from command("ZRANGEBYSCORE", index, *span)))
            scores = (int(float(score)) for score in flat[1::2])
            rows = list(zip(scores, flat[::2], strict=True))
            behind = [row for row in rows if place is None or row > place]
            if len(behind) >= LOOKED_AT_ONCE or len(rows) < most:
                return behind[:LOOKED_AT_ONCE]
            most *= 2  # jobs of one millisecond stand in front


_GROUP: Final = (b"state", b"model", b"tenant")

#: What tells whether there is anything to retry.
_OF_RETRY: Final = (b"kind", b"errored", b"cancelled", b"expired", b"continued_by")

#: Of which there are no items to retry.
_TRAIN: Final = TRAIN.encode()


def _may_be_retried(row: Mapping[bytes, bytes]) -> bool:
    """Return True for a job that has items to retry, which nobody has retried."""
    failed = (row.get(name, b"0") != b"0" for name in _OF_RETRY[1:4])
    return b"continued_by" not in row and row.get(b"kind") != _TRAIN and any(failed)


def _text(value: bytes) -> str:
    """Return a name, which may be anything where somebody has written it by hand."""
    return value.decode(errors="replace")
