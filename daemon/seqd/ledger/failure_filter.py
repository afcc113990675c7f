"""Which dead letters are meant: by model, task, tenant, code, cause, worker, job and time."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypedDict

from seqd.errors import InvalidRequest
from seqd.ledger.job_filter import milliseconds, name_and_version, refuse_unknown
from seqd.validation import shown
from seqd_schemas import DeathCause

if TYPE_CHECKING:
    from seqd_schemas import FailureRecord

_CAUSES = tuple(cause.value for cause in DeathCause)
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ID = re.compile(r"([0-9]{1,20})-([0-9]{1,20})")
#: The largest number in an id of a stream.
_MOST: Final = 2**64 - 1


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
