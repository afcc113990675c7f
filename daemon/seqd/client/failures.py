"""Dead letters for clients: finding them, their items, their causes, and trying them again.

Those that have one cause are grouped, so that a thousand of them read as three.

The failed items of a job are handed in as a job that continues it, under the names that they have,
as a retry does. Where the job was retried before, the last of its retries is continued, and sent is
what has no output in all of them together. A training goes on from its last checkpoint.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal, get_args

from seqd.client.job import JobSteps
from seqd.client.requests import resumption_of
from seqd.client.sending import Sender
from seqd.client.waiting import check_limit
from seqd.errors import InvalidRequest, JobDamaged, RedisUnreachable, SeqdError, UnknownJob
from seqd.ledger import LedgerParts
from seqd.ledger.blobs import unpack_items
from seqd.ledger.exchange import Exchange, Taken
from seqd.ledger.job_filter import FailureFilter, FailureFilters
from seqd.ledger.jobs import RetryableUnit
from seqd.validation import shown
from seqd_schemas import FailureRecord, FailureScope, Item, ModelReference, TrainJob

#: What dead letters are grouped by: their cause as far as it can be told, or one field alone.
GroupBy = Literal["failure", "code", "model", "worker", "cause", "job", "tenant"]

#: Characters that the form of a message has.
MAX_SHAPE_CHARS: Final = 200

#: The place in a plugin, as messages end with it.
_PLACE = re.compile(r"\(([^()]{1,300}, line [0-9]+, in [^()]{1,150}(?:\(\))?)\)\.?\s*$")
#: What differs between messages of one cause: quoted text, paths, identifiers in hex, and numbers.
_QUOTED = re.compile(r"'[^'\n]{0,500}'|\"[^\"\n]{0,500}\"")
_PATH = re.compile(r"[^\s/]*/\S*")
_HEX = re.compile(r"\b(?:0x[0-9a-f]+|[0-9a-f]{8,})\b", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9][0-9,.]*")


#: The year 9999, the last of a datetime, in milliseconds.
_CALENDAR_ENDS_MS: Final = 253_370_000_000_000


def end_at_the_newest(filters: FailureFilters, newest: Sequence[FailureRecord]) -> None:
    """Have filters leave out what fails from now on, while somebody is asked."""
    if newest and filters.get("until") is None and newest[0].at_ms < _CALENDAR_ENDS_MS:
        filters["until"] = datetime.fromtimestamp((newest[0].at_ms + 1) / 1000, UTC)


@dataclass(slots=True)
class FailureGroup:
    """Dead letters with one cause."""

    #: What they have in common, in words.
    name: str
    code: str
    #: `NAME@VERSION`, of the newest of them.
    model: str
    task: str
    cause: str | None
    #: Where in the plugin it was raised, '' where that is not known.
    place: str
    #: The newest of their messages.
    message: str
    entries: int = 0
    #: Items that have failed; of a job that failed as a whole none.
    items: int = 0
    first_at_ms: int = 0
    last_at_ms: int = 0
    #: The newest of them, which `seqd failures show` tells all about.
    example_id: str = ""
    #: How many of them another job tries again.
    replayed: int = 0
    jobs: int = 0
    _jobs: set[str] = field(default_factory=set, repr=False)
    _ids: list[str] = field(default_factory=list, repr=False)

    @property
    def ids(self) -> Sequence[str]:
        """Their ids, the newest first."""
        return self._ids

    def add(self, record: FailureRecord) -> None:
        """Count a dead letter."""
        self._ids.append(record.id)
        if record.at_ms >= self.last_at_ms:
            self.last_at_ms, self.example_id = record.at_ms, record.id
        self.first_at_ms = min(self.first_at_ms or record.at_ms, record.at_ms)
        self.entries += 1
        if record.scope is FailureScope.ITEMS:  # else nobody has tried them
            self.items += record.items
        self.replayed += record.replayed_by is not None
        self._jobs.add(record.job_id)
        self.jobs = len(self._jobs)

    def as_json(self) -> dict[str, object]:
        """Return its fields for programs."""
        names = [name for name in self.__slots__ if not name.startswith("_")]
        return {name: getattr(self, name) for name in names}


class FailureGroups:
    """Groups of dead letters, to which they are added one after the other."""

    def __init__(self, by: str = "failure", records: Iterable[FailureRecord] = ()) -> None:
        """Raise InvalidRequest for what dead letters cannot be grouped by."""
        if by not in get_args(GroupBy):
            allowed = ", ".join(get_args(GroupBy))
            raise InvalidRequest(f"by is {shown(by)}; allowed: {allowed}.")
        self._key = _KEYS[by]
        self._groups: dict[tuple[object, ...], FailureGroup] = {}
        self._jobs: set[str] = set()
        for record in records:
            self.add(record)

    def add(self, record: FailureRecord) -> None:
        """Count a dead letter."""
        key = self._key(record)
        group = self._groups.get(key)
        if group is None:
            # The first that is added is the newest.
            group = self._groups[key] = FailureGroup(
                name=str(key[0]),
                code=record.code,
                model=str(ModelReference(record.model, record.version)),
                task=record.task,
                cause=None if record.cause is None else record.cause.value,
                place=place_in(record.message),
                message=record.message,
            )
        group.add(record)
        self._jobs.add(record.job_id)

    @property
    def entries(self) -> int:
        """The number of dead letters."""
        return sum(group.entries for group in self._groups.values())

    @property
    def items(self) -> int:
        """The number of items that have failed; those of a job that failed as a whole have not."""
        return sum(group.items for group in self._groups.values())

    @property
    def jobs(self) -> int:
        """The number of jobs that they are of."""
        return len(self._jobs)

    def listed(self) -> list[FailureGroup]:
        """Return the groups, that with the most items first."""
        return sorted(self._groups.values(), key=lambda group: (-group.items, -group.last_at_ms))


def place_in(message: str) -> str:
    """Return where in a plugin it was raised, by the end of a message; '' where it does not say."""
    found = _PLACE.search(message[-500:])
    return found[1] if found else ""


def shape_of(message: str) -> str:
    """Return a message without what differs from item to item: quotes, paths, ids and numbers."""
    text = message[: 5 * MAX_SHAPE_CHARS]
    for pattern, instead in ((_QUOTED, "'…'"), (_PATH, "…"), (_HEX, "…"), (_NUMBER, "…")):
        text = pattern.sub(instead, text)
    return " ".join(text.split())[:MAX_SHAPE_CHARS]


def _cause_key(record: FailureRecord) -> tuple[object, ...]:
    place = place_in(record.message)
    return record.code, record.model, record.cause, place, shape_of(record.message)


_KEYS: Final[dict[str, Callable[[FailureRecord], tuple[object, ...]]]] = {
    "failure": _cause_key,
    "code": lambda record: (record.code,),
    "model": lambda record: (str(ModelReference(record.model, record.version)),),
    "worker": lambda record: (record.worker or "no worker",),
    "cause": lambda record: (record.cause or "no death of a worker",),
    "job": lambda record: (record.job_id,),
    "tenant": lambda record: (record.tenant,),
}


@dataclass(frozen=True, slots=True)
class ReplayedJob:
    """What became of the dead letters of one job, with those of its retries."""

    #: The first of the jobs, whose results are those of the whole.
    job_id: str
    #: Its dead letters.
    failure_ids: tuple[str, ...]
    #: Items that these tell of; none of a training.
    items: int
    #: The job that tries them again; None where none does.
    new_job_id: str | None = None
    #: Why it was left; '' where it was not.
    left_because: str = ""


@dataclass(slots=True)
class _Chain:
    """A job and those that continue it, as far as dead letters tell of them."""

    first: JobSteps[object]
    #: Why nothing can be done.
    left_because: str = ""
    ids: list[str] = field(default_factory=list)
    items: int = 0
    #: Codes of the items that are meant.
    codes: set[str] = field(default_factory=set)
    #: True where all that has no output is meant, since a whole job had failed.
    is_whole: bool = False

    def add(self, record: FailureRecord) -> None:
        """Take a dead letter of one of its jobs."""
        self.ids.append(record.id)
        self.items += record.items
        self.codes.add(record.code)
        self.is_whole |= record.scope is FailureScope.JOB


@dataclass(frozen=True, slots=True)
class Replay:
    """One replay: which dead letters are meant, and how they are tried again.

    `current_version` takes the version in service in the place of the one that failed. What another
    job tries again already is left out, unless `again`. A `dry_run` changes nothing, and says what
    would be left.
    """

    ledger: LedgerParts
    sender: Sender
    wanted: FailureFilter
    current_version: bool
    again: bool
    dry_run: bool

    def run(self) -> Exchange[list[ReplayedJob]]:
        """Replay job after job, the one with the newest dead letter first."""
        done = []
        chains = yield from self._chains()
        if chains and not self.dry_run:
            details = {**self.wanted.asked, "jobs": len(chains)}
            yield from self.ledger.audit.note.steps("failures.replay", details=details)
        for chain in chains:
            done.append((yield from self._replayed(chain)))
        return done

    def _chains(self) -> Exchange[list[_Chain]]:
        chains: dict[str, _Chain] = {}
        of_job: dict[str, _Chain] = {}
        records = Taken(self.ledger.failures.pages(self.wanted))
        while (record := (yield from records.take())) is not None:
            if record.replayed_by is not None and not self.again:
                continue
            chain = of_job.get(record.job_id)
            if chain is None:
                found = yield from self._chain_of(record.job_id)
                chain = chains.setdefault(found.first.job_id, found)
                of_job[record.job_id] = chain
            chain.add(record)
        return list(chains.values())

    def _chain_of(self, job_id: str) -> Exchange[_Chain]:
        steps = JobSteps[object](self.ledger, job_id)
        try:
            if not (yield from self.ledger.jobs.exists.steps(job_id)):
                return _Chain(steps, f"Job {job_id} is not kept any more, nor are its items.")
            return _Chain((yield from steps.origin()))
        except UnknownJob as error:
            return _Chain(steps, str(error))

    def _replayed(self, chain: _Chain) -> Exchange[ReplayedJob]:
        new_job, left_because = None, chain.left_because
        if not left_because:
            try:
                new_job, left_because = yield from self._sent(chain)
            except RedisUnreachable:
                raise
            except SeqdError as error:
                left_because = str(error)
        if new_job is not None:
            yield from self.ledger.failures.note_replayed.steps(chain.ids, new_job)
        return ReplayedJob(chain.first.job_id, tuple(chain.ids), chain.items, new_job, left_because)

    def _sent(self, chain: _Chain) -> Exchange[tuple[str | None, str]]:
        """Send what is meant of a chain; return the new job, or None and why it is left.

        A dry run returns None, and the same reason.
        """
        last = chain.first
        while (later := (yield from last.continuation())) is not None:
            last = later
        ended = yield from last.record()
        if not ended.state.is_terminal:
            return None, f"Job {last.job_id} is {ended.state}. Wait for its end, or cancel it."
        if isinstance(ended.job, TrainJob):
            job, chain.items = resumption_of(ended), 0
            sent = None if self.dry_run else (yield from self.sender.send(job, {}))
        else:
            first = yield from chain.first.record()
            codes = None if chain.is_whole else frozenset(chain.codes)
            sent = yield from self.sender.replay(
                first,
                ended,
                codes,
                current_version=self.current_version,
                dry_run=self.dry_run,
            )
        if sent is None:
            return None, ""
        yield from sent.steps.uploaded()  # one at a time, however many jobs there are
        return sent.steps.job_id, ""


def groups_found(ledger: LedgerParts, wanted: FailureFilter, by: str) -> Exchange[FailureGroups]:
    """Return the dead letters that match, in groups. Raises InvalidRequest."""
    groups, records = FailureGroups(by), Taken(ledger.failures.pages(wanted))
    while (record := (yield from records.take())) is not None:
        groups.add(record)
    return groups


def failed_items_of(ledger: LedgerParts, failure_id: str) -> Exchange[list[Item]]:
    """Return the items that a dead letter names, with their input, as far as it is kept."""
    record = yield from ledger.failures.get.steps(failure_id)
    if not record.unit:
        return []
    unit = RetryableUnit(ledger.keys.failed(record.job_id), record.unit.encode())
    try:
        blob = yield from ledger.jobs.retryable_input.steps(record.job_id, unit)
    except (UnknownJob, JobDamaged):
        return []  # the job is gone, or its items held no text
    entries = unpack_items(blob).items
    return [one for one in entries if isinstance(one, Item) and one.custom_id in record.custom_ids]


def failures_found(
    ledger: LedgerParts, wanted: FailureFilter, limit: int
) -> Exchange[list[FailureRecord]]:
    """Return the newest dead letters that match."""
    check_limit(limit, "dead letters")
    found, records = list[FailureRecord](), Taken(ledger.failures.pages(wanted))
    while len(found) < limit and (record := (yield from records.take())) is not None:
        found.append(record)
    return found
