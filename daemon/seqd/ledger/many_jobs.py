"""Counting, cancelling, pausing, resuming and removing the jobs that match a filter.

Each step is one script that looks at a bounded number of jobs of an index and acts on fewer, so
that a million of them hold nobody up. Between two steps jobs may be made, end or go.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from seqd.ledger.exchange import Exchange, Part, Reply, exchange, script
from seqd.ledger.job_filter import JobFilter
from seqd.ledger.scripts import as_bytes, as_int, as_list, as_text
from seqd_schemas import JobAction

#: Jobs that one step looks at: about 2 ms of the server's time.
LOOKED_AT_ONCE: Final = 200


#: Jobs that one step acts on at most: 2 to 3 ms.
ACTED_AT_ONCE: Final[Mapping[JobAction, int]] = MappingProxyType(
    {
        JobAction.CANCEL: 16,
        JobAction.PAUSE: 32,
        JobAction.RESUME: 32,
        JobAction.RETRY: LOOKED_AT_ONCE,
        JobAction.REMOVE: 16,
    }
)


class JobGroup(NamedTuple):
    """What jobs have in common that are counted together."""

    state: str
    model: str
    tenant: str


@dataclass(frozen=True, slots=True)
class Selection:
    """The jobs that an action is for, up to a moment of the server's clock."""

    action: JobAction
    wanted: JobFilter
    #: Until when they were accepted, in milliseconds; None for now.
    until_ms: int | None = None

    @property
    def index(self) -> str:
        """The index that has all of them."""
        return "jobs:open" if self.wanted.is_of_open_jobs else "jobs"

    @property
    def since_ms(self) -> int:
        """Since when they were accepted, in milliseconds."""
        return self.wanted.since_ms or 0

    @property
    def as_json(self) -> str:
        """What the scripts match jobs by."""
        return self.wanted.as_json(has_failed=self.action is JobAction.RETRY)


@dataclass(frozen=True, slots=True)
class Step:
    """What one step has found or done."""

    #: Where the next step begins; b'' after the last.
    cursor: bytes
    until_ms: int
    looked_at: int
    #: Jobs of the index that are not kept any more.
    gone: int
    #: The jobs that it acted on; of a retry those that are to be retried.
    jobs: list[str]
    #: Why others were left as they are, by what `steer.lua` says.
    refused: dict[str, str]
    #: Numbers of those that were counted.
    groups: dict[JobGroup, int]


class ManyJobs(Part):
    """The steps, on one server under one key prefix."""

    @exchange
    def count(self, selection: Selection, cursor: bytes) -> Exchange[Step]:
        """Count the next jobs that match, behind a cursor; b'' for the first."""
        return (yield from _step("count", selection, cursor, LOOKED_AT_ONCE))

    @exchange
    def act(self, selection: Selection, cursor: bytes, by: str = "") -> Exchange[Step]:
        """Act on the next jobs that match, behind a cursor; b'' for the first. `by` says who does.

        Of a retry it finds them, and changes nothing.
        """
        action = selection.action
        name = "find" if action is JobAction.RETRY else action.value
        return (yield from _step(name, selection, cursor, ACTED_AT_ONCE[action], by))


def _step(
    name: str, selection: Selection, cursor: bytes, most: int, by: str = ""
) -> Exchange[Step]:
    until = "" if selection.until_ms is None else selection.until_ms
    span = (selection.index, cursor, selection.since_ms, until)
    bounds = (LOOKED_AT_ONCE, most)
    called = yield from script("act_on_jobs", name, *span, selection.as_json, *bounds, by)
    reply = as_list(called)
    jobs, told = ([_readable(part) for part in as_list(row)] for row in reply[4:6])
    counted = as_list(reply[6])
    return Step(
        cursor=as_bytes(reply[0]),
        until_ms=int(as_text(reply[1])),
        looked_at=as_int(reply[2]),
        gone=as_int(reply[3]),
        jobs=jobs,
        refused=dict(zip(told[::2], told[1::2], strict=True)),
        groups={
            JobGroup(*map(_readable, counted[at : at + 3])): as_int(counted[at + 3])
            for at in range(0, len(counted), 4)
        },
    )


def _readable(part: Reply) -> str:
    """Return a name, which may be anything where somebody has written it by hand."""
    return as_bytes(part).decode(errors="replace")
