"""Which jobs a list is to have: by state, kind, model, tenant, age and the caller's own notes.

A filter is held against the hash of a job as Redis has it: only what matches is read in full.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypedDict, get_args

from seqd.errors import InvalidRequest
from seqd.validation import shown
from seqd_schemas import JobKind, JobRecord, JobState

#: Jobs that one search looks at, beyond those that it finds. It takes a client a second of work.
MAX_SEARCHED: Final = 20_000

#: Jobs that one step of a search fetches.
STEP_JOBS: Final = 500

#: Fields by which jobs are told apart; the last two say whether the others stand in a template.
_FIELDS: Final = (b"state", b"model", b"tenant", b"template", b"group")
_VERSION = re.compile(r"[0-9]{1,15}")
_KINDS: tuple[str, ...] = get_args(JobKind)
_STATES = tuple(state.value for state in JobState)
_OPEN_STATES = frozenset(state.value for state in JobState if not state.is_terminal)


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


class FoundJobs(list[JobRecord]):
    """Jobs, newest first; `stopped_at_ms` says whether there may be older ones."""

    #: When the last job was accepted that a search looked at before it stopped; None for one that
    #: found as many as were asked for, or has looked at all.
    stopped_at_ms: int | None = None


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
            **{f"metadata.{name}": text for name, text in self.metadata.items()},
        }
        return " ".join(f"{name}={value}" for name, value in named.items() if value)

    @property
    def fields(self) -> tuple[bytes, ...]:
        """The fields of a job's hash that tell whether it matches."""
        asked = {b"kind": self.kind, b"version": self.version, b"spec": self.metadata or None}
        return (*_FIELDS, *(name for name, value in asked.items() if value is not None))

    def matches(self, row: Mapping[bytes, bytes]) -> bool:
        """Return whether the hash of a job, completed by its template, matches; but for its age."""
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
    refuse_unknown(filters, JobFilters)
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
    name, version = model_meant(filters.get("model"))
    return JobFilter(
        states=frozenset(map(_state_of, states)),
        kind=kind,
        model=name,
        version=version,
        tenant=tenant,
        since_ms=milliseconds("since", filters.get("since")),
        metadata=dict(metadata),
    )


def _state_of(state: JobState | str) -> str:
    if state not in _STATES:
        raise InvalidRequest(f"A state is {shown(state)}; allowed: {', '.join(_STATES)}.")
    return str(state)


def refuse_unknown(filters: Mapping[str, object], known: type) -> None:
    """Raise InvalidRequest for a filter that is none of the `known` ones."""
    names = known.__annotations__
    if unknown := sorted(set(filters) - set(names)):
        listed = ", ".join(sorted(names))
        raise InvalidRequest(f"There is no filter {unknown[0]!r}. Known filters: {listed}.")


def model_meant(model: str | None) -> tuple[str | None, int | None]:
    """Return the model and the version that a filter means. Raises InvalidRequest."""
    if model is None:
        return None, None
    name, at, number = model.partition("@") if isinstance(model, str) else ("", "", "")
    if not name or (at and not _VERSION.fullmatch(number)):
        raise InvalidRequest(f"model is {shown(model)}; allowed: NAME, or NAME@3 (a version).")
    return name, int(number) if at else None


def milliseconds(name: str, moment: datetime | None) -> int | None:
    """Return a moment that a filter names, in milliseconds. Raises InvalidRequest."""
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
