"""Which jobs a list is to have, by state, kind, model, tenant, age and the caller's own notes.

And which dead letters, by code, cause and worker besides. A filter is held against the hash of a
job as Redis has it: only what matches is read in full.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypedDict, get_args

from seqd.errors import InvalidRequest
from seqd.validation import shown
from seqd_schemas import DeathCause, JobKind, JobRecord, JobState

if TYPE_CHECKING:
    from seqd_schemas import FailureRecord

#: Jobs that one search looks at, beyond those that it finds. It takes a client a second of work.
MAX_SEARCHED: Final = 20_000

#: Jobs that one step of a search fetches.
STEP_JOBS: Final = 500

#: The last two say whether the others stand in a template.
_FIELDS: Final = (b"state", b"kind", b"model", b"version", b"tenant", b"template", b"group")
_MODEL = re.compile(r"([a-z][a-z0-9_]{0,39})(?:@([0-9]{1,9}))?")
_KINDS: tuple[str, ...] = get_args(JobKind)
_STATES = tuple(state.value for state in JobState)
_OPEN_STATES = frozenset(state.value for state in JobState if not state.is_terminal)

_CAUSES = tuple(cause.value for cause in DeathCause)
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ID = re.compile(r"([0-9]{1,20})-([0-9]{1,20})")
_PLACE = re.compile(r"([0-9]{1,15})-([A-Za-z0-9_-]{1,64})")
_BEGINNING = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

#: The largest number in an id of a stream.
_MOST: Final = 2**64 - 1


class JobFilters(TypedDict, total=False):
    """What jobs of a list have in common; a job has to match all that is given."""

    #: One of these states; any when left out.
    states: Iterable[JobState | str]
    #: `classify`, `generate`, `train` or `sweep`.
    kind: str | None
    #: A model, `NAME`, or one version of it, `NAME@3`.
    model: str | None
    #: On whose account they run.
    tenant: str | None
    #: Accepted then or later, on the server's clock; one without a zone is local time.
    since: datetime | None
    #: Notes that they have, each with this text.
    metadata: Mapping[str, str] | None
    #: What their identifiers begin with.
    id_begins: str | None


#: Where a job stands in a list: when it was accepted, and its identifier.
JobPlace = tuple[int, bytes]


class FoundJobs(list[JobRecord]):
    """Jobs, newest first; `stopped_at_ms` says whether there may be older ones."""

    #: When the last job was accepted that a search looked at before it stopped; None for one that
    #: found as many as were asked for, or has looked at all.
    stopped_at_ms: int | None = None
    #: What to pass as `before` for those behind these; None where there are none.
    older: str | None = None
    #: When they were read, on the server's clock.
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Filters, validated."""

    states: frozenset[str] = frozenset()
    kind: str | None = None
    model: str | None = None
    version: int | None = None
    tenant: str | None = None
    since_ms: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    id_begins: str | None = None

    @property
    def is_of_open_jobs(self) -> bool:
        """True when no job can match that has ended."""
        return bool(self.states) and self.states <= _OPEN_STATES

    @property
    def in_words(self) -> str:
        """The filter in a line: `state=queued,paused model=imdb_lstm@3 tenant=acme`."""
        model = self.model
        if model is not None and self.version is not None:
            model = f"{model}@{self.version}"
        named = {
            "state": ",".join(sorted(self.states)),
            "kind": self.kind,
            "model": model,
            "tenant": self.tenant,
            "since_ms": self.since_ms,
            "id_begins": self.id_begins,
            **{f"metadata.{name}": text for name, text in self.metadata.items()},
        }
        return " ".join(f"{name}={value}" for name, value in named.items() if value)

    def as_json(self, *, has_failed: bool = False) -> str:
        """Return what the scripts match jobs by; `has_failed` asks for items to retry, too."""
        version = None if self.version is None else str(self.version)
        named = {
            "kind": self.kind,
            "model": self.model,
            "version": version,
            "tenant": self.tenant,
            "id_begins": self.id_begins,
        }
        wanted: dict[str, object] = {
            name: value for name, value in named.items() if value is not None
        }
        if self.states:
            wanted["states"] = dict.fromkeys(sorted(self.states), True)
        if self.metadata:
            wanted["metadata"] = dict(self.metadata)
        if has_failed:
            wanted["has_failed"] = True
        return json.dumps(wanted)

    @property
    def fields(self) -> tuple[bytes, ...]:
        """The fields of a job's hash that tell whether it matches."""
        if self == JobFilter(self.states):
            return (b"state",)
        return (*_FIELDS, b"spec") if self.metadata else _FIELDS

    def matches(self, row: Mapping[bytes, bytes]) -> bool:
        """Return whether the hash of a job, completed by its template, matches.

        But for its age and its identifier.
        """
        wanted = {b"kind": self.kind, b"model": self.model, b"tenant": self.tenant}
        for name, value in wanted.items():
            if value is not None and row.get(name) != value.encode():
                return False
        if self.states and row.get(b"state", b"").decode(errors="replace") not in self.states:
            return False
        if self.version is not None and row.get(b"version") != b"%d" % self.version:
            return False
        return not self.metadata or self.metadata.items() <= _metadata_of(row).items()


#: What every job matches.
ANY_JOB: Final = JobFilter()


def job_filter(filters: JobFilters) -> JobFilter:
    """Return validated filters. Raises InvalidRequest, which names what is wrong."""
    refuse_unknown(filters, JobFilters.__annotations__)
    kind = filters.get("kind")
    states, metadata = filters.get("states") or (), filters.get("metadata") or {}
    if isinstance(states, str) or not isinstance(states, Iterable):
        raise InvalidRequest(f"states is {shown(states)}; allowed: a list of states.")
    if not isinstance(metadata, Mapping) or not all(
        isinstance(part, str) for pair in metadata.items() for part in pair
    ):
        raise InvalidRequest(
            f"metadata is {shown(metadata)}; allowed: a dictionary of texts, as a job has."
        )
    if kind is not None and kind not in _KINDS:
        raise InvalidRequest(f"kind is {shown(kind)}; allowed: {', '.join(_KINDS)}.")
    tenant = filters.get("tenant")
    if tenant is not None and not (isinstance(tenant, str) and tenant):
        raise InvalidRequest(f"tenant is {shown(tenant)}; allowed: the name of a tenant.")
    begins = filters.get("id_begins")
    if begins is not None and not (isinstance(begins, str) and _BEGINNING.fullmatch(begins)):
        raise InvalidRequest(f"id_begins is {shown(begins)}; allowed: the beginning of a job's id.")
    name, version = name_and_version(filters.get("model"))
    return JobFilter(
        states=frozenset(map(_state_of, states)),
        kind=kind,
        model=name,
        version=version,
        tenant=tenant,
        since_ms=milliseconds("since", filters.get("since")),
        metadata=dict(metadata),
        id_begins=begins,
    )


def job_place(before: str | None) -> JobPlace | None:
    """Return the place that `older` of a list names. Raises InvalidRequest."""
    if before is None:
        return None
    found = _PLACE.fullmatch(before) if isinstance(before, str) else None
    if found is None:
        raise InvalidRequest(f"before is {shown(before)}; allowed: what a list has as `older`.")
    return int(found[1]), found[2].encode()


def _state_of(state: JobState | str) -> str:
    if state not in _STATES:
        raise InvalidRequest(f"A state is {shown(state)}; allowed: {', '.join(_STATES)}.")
    return str(state)


def refuse_unknown(filters: Mapping[str, object], known: Iterable[str]) -> None:
    """Raise InvalidRequest for a filter that there is not."""
    unknown = sorted(filters.keys() - set(known))
    if unknown:
        there_are = ", ".join(sorted(known))
        raise InvalidRequest(f"There is no filter {unknown[0]!r}. Known filters: {there_are}.")


def name_and_version(model: str | None) -> tuple[str | None, int | None]:
    """Return the parts of `NAME` or `NAME@3`, None for what is not said. Raises InvalidRequest."""
    if model is None:
        return None, None
    found = _MODEL.fullmatch(model) if isinstance(model, str) else None
    if found is None:
        raise InvalidRequest(f"model is {shown(model)}; allowed: NAME, or NAME@3 (a version).")
    return found[1], None if found[2] is None else int(found[2])


def milliseconds(name: str, moment: datetime | None) -> int | None:
    """Return a moment on the server's clock, None for none. Raises InvalidRequest."""
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        raise InvalidRequest(
            f"{name} is {shown(moment)}; allowed: a datetime, such as datetime.now() - "
            "timedelta(hours=1)."
        )
    return round(moment.timestamp() * 1000)


def _metadata_of(row: Mapping[bytes, bytes]) -> Mapping[str, str]:
    """Return the notes in a job's request; none where it cannot be read."""
    try:
        notes = json.loads(row.get(b"spec", b"{}")).get("metadata", {})
    except (ValueError, AttributeError, RecursionError):
        return {}
    return notes if isinstance(notes, dict) else {}


class FailureFilters(TypedDict, total=False):
    """What dead letters have in common; one has to match all that is given."""

    #: A model, `NAME`, or one version of it, `NAME@3`.
    model: str | None
    #: What the job asked for, such as `train`.
    task: str | None
    #: On whose account the job runs.
    tenant: str | None
    #: Code of the items' error, or of the job's.
    code: str | None
    #: How the worker's process ended.
    cause: DeathCause | str | None
    #: The worker that recorded it.
    worker: str | None
    #: The job.
    job: str | None
    #: Failed then or later, on the server's clock; one without a zone is local time.
    since: datetime | None
    #: Failed before.
    until: datetime | None
    #: Ids of dead letters.
    ids: Iterable[str] | None


@dataclass(frozen=True, slots=True)
class FailureFilter:
    """Filters, validated."""

    model: str | None = None
    version: int | None = None
    task: str | None = None
    tenant: str | None = None
    code: str | None = None
    cause: str | None = None
    worker: str | None = None
    job: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    ids: frozenset[str] | None = None

    @property
    def matches_all(self) -> bool:
        """True where nothing is asked for."""
        return self == ANY_FAILURE

    @property
    def asked(self) -> dict[str, object]:
        """What is asked for, by the names of the fields."""
        given = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if self.ids is not None:
            given["ids"] = ", ".join(sorted(self.ids))
        return {name: value for name, value in given.items() if value is not None}

    def matches(self, record: "FailureRecord") -> bool:
        """Return whether a dead letter is meant."""
        if self.ids is not None and record.id not in self.ids:
            return False
        if self.since_ms is not None and record.at_ms < self.since_ms:
            return False
        if self.until_ms is not None and record.at_ms >= self.until_ms:
            return False
        return all(
            wanted is None or wanted == found
            for wanted, found in (
                (self.model, record.model),
                (self.version, record.version),
                (self.task, record.task),
                (self.tenant, record.tenant),
                (self.code, record.code),
                (self.cause, record.cause),
                (self.worker, record.worker),
                (self.job, record.job_id),
            )
        )


#: What every dead letter matches.
ANY_FAILURE: Final = FailureFilter()


def failure_filter(filters: FailureFilters) -> FailureFilter:
    """Return validated filters. Raises InvalidRequest, which names what is wrong."""
    refuse_unknown(filters, FailureFilters.__annotations__)
    for name in ("task", "tenant", "worker", "job"):
        value = filters.get(name)
        if value is not None and (not isinstance(value, str) or not value):
            raise InvalidRequest(f"{name} is {shown(value)}; allowed: a name.")
    cause = filters.get("cause")
    if cause is not None and cause not in _CAUSES:
        raise InvalidRequest(f"cause is {shown(cause)}; allowed: {', '.join(_CAUSES)}.")
    code = filters.get("code")
    if code is not None and not (isinstance(code, str) and _CODE.fullmatch(code)):
        raise InvalidRequest(f"code is {shown(code)}; allowed: an error code, as plugin_error.")
    model, version = name_and_version(filters.get("model"))
    ids = filters.get("ids")
    return FailureFilter(
        model=model,
        version=version,
        task=filters.get("task"),
        tenant=filters.get("tenant"),
        code=code,
        cause=None if cause is None else str(cause),
        worker=filters.get("worker"),
        job=filters.get("job"),
        since_ms=milliseconds("since", filters.get("since")),
        until_ms=milliseconds("until", filters.get("until")),
        ids=None if ids is None else frozenset(map(checked_failure_id, _listed(ids))),
    )


def failures_meant(action: str, filters: FailureFilters, *, every: bool) -> FailureFilter:
    """Return the filters of an action. Raises InvalidRequest where all would match unasked."""
    wanted = failure_filter(filters)
    if every and not wanted.matches_all:
        raise InvalidRequest(
            f"every=True means all dead letters: leave the filters out, or do not {action}."
        )
    if wanted.matches_all and not every:
        raise InvalidRequest(
            "No filter is given, so all dead letters would be meant. Give one, such as "
            f"code='plugin_error', or every=True to {action} all."
        )
    return wanted


def checked_failure_id(text: object) -> str:
    """Return the id of a dead letter. Raises InvalidRequest for what is none."""
    found = _ID.fullmatch(text) if isinstance(text, str) else None
    if (
        not isinstance(text, str)
        or found is None
        or any(int(part) > _MOST for part in found.groups())
    ):
        raise InvalidRequest(
            f"An id of a dead letter is {shown(text)}; allowed: MILLISECONDS-NUMBER, as `seqd "
            "failures list` prints it."
        )
    return text


def _listed(ids: Iterable[str]) -> Iterable[str]:
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        raise InvalidRequest(f"ids is {shown(ids)}; allowed: a list of ids of dead letters.")
    return ids
