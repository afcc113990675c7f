"""Counting, cancelling, pausing, resuming and removing the jobs that match a filter.

Each step is one script that looks at a bounded number of jobs of an index and acts on fewer, so
that a million of them hold nobody up. Between two steps jobs may be made, end or go.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from seqd.ledger.exchange import Driver, Exchange, Notify, Reply, exchange, script
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
class CountStep:
    """What one step has counted."""

    #: Where the next step begins; b'' after the last.
    cursor: bytes
    until_ms: int
    looked_at: int
    groups: dict[JobGroup, int]


@dataclass(frozen=True, slots=True)
class ActStep:
    """What one step has done."""

    #: Where the next step begins; b'' after the last.
    cursor: bytes
    looked_at: int
    #: Jobs of the index that are not kept any more.
    gone: int
    #: The jobs that it acted on; of a retry those that are to be retried.
    jobs: list[str]
    #: Why others were left as they are, by what `remove.lua` says.
    refused: dict[str, str]


class ManyJobs:
    """The steps, on one server under one key prefix."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    @exchange
    def count(self, selection: Selection, cursor: bytes) -> Exchange[CountStep]:
        """Count the next jobs that match, behind a cursor; b'' for the first."""
        span = (selection.index, cursor, selection.since_ms, *_until(selection))
        called = yield from script("count_jobs", *span, selection.as_json, LOOKED_AT_ONCE)
        reply = as_list(called)
        groups = {
            JobGroup(*(_readable(part) for part in reply[at : at + 3])): as_int(reply[at + 3])
            for at in range(4, len(reply), 4)
        }
        return CountStep(as_bytes(reply[0]), int(as_text(reply[1])), as_int(reply[2]), groups)

    @exchange
    def act(self, selection: Selection, cursor: bytes) -> Exchange[ActStep]:
        """Act on the next jobs that match, behind a cursor; b'' for the first.

        Of a retry it finds them, and changes nothing.
        """
        action = selection.action
        name = "find" if action is JobAction.RETRY else action.value
        span = (selection.index, cursor, selection.since_ms, *_until(selection))
        most = (LOOKED_AT_ONCE, ACTED_AT_ONCE[action])
        called = yield from script("act_on_jobs", name, *span, selection.as_json, *most)
        reply = as_list(called)
        for route in as_list(reply[4]):
            yield Notify(as_text(route))
        told = [_readable(part) for part in as_list(reply[5])]
        return ActStep(
            cursor=as_bytes(reply[0]),
            looked_at=as_int(reply[1]),
            gone=as_int(reply[2]),
            jobs=[_readable(part) for part in as_list(reply[3])],
            refused=dict(zip(told[::2], told[1::2], strict=True)),
        )


def _until(selection: Selection) -> tuple[int | str]:
    """Return until when jobs were accepted, as the scripts take it: '' for now."""
    return ("" if selection.until_ms is None else selection.until_ms,)


def _readable(part: Reply) -> str:
    """Return a name, which may be anything where somebody has written it by hand."""
    return as_bytes(part).decode(errors="replace")
