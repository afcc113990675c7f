"""Turns what a caller asks for into a validated job; sends nothing.

`JobOptions` are the keyword arguments that `classify`, `generate`, `train` and `sweep` share.
"""

from collections.abc import Mapping
from typing import TypedDict

from pydantic import ConfigDict, TypeAdapter, ValidationError

from seqd.errors import InvalidRequest, wire_text
from seqd.ledger.jobs import JOB
from seqd_schemas import Job, JobId, ParameterValue, Priority

_JOB_ID: TypeAdapter[str] = TypeAdapter(JobId, config=ConfigDict(defer_build=True))


class JobOptions(TypedDict, total=False):
    """What every kind of job can be given; see the fields of the same names in the schema."""

    #: The plugin's own parameters, by name.
    parameters: Mapping[str, ParameterValue] | None
    #: Which work goes first; `NORMAL` when left out.
    priority: Priority
    #: On whose account the job runs; `default` when left out.
    tenant: str
    #: Sending the same key again gives the same job.
    idempotency_key: str | None
    #: Up to 16 notes of the caller's own.
    metadata: Mapping[str, str] | None
    #: Seconds for which the ended job and its results are kept; a week when left out.
    results_ttl_s: int
    #: Seconds in which the job must end, from its acceptance; else it expires.
    expires_in_s: int | None
    #: Units that may be worked on at once; the operator's limit when left out.
    max_running_units: int | None
    #: True waits until the server has the job on its disk, where it can say so (WAITAOF, from
    #: Redis 7.2 on); False does not. When left out, jobs of more than one unit wait: a smaller
    #: one is usually done before the disk would answer. `JobHandle.durable` has the answer.
    durable: bool | None
    #: The job's identifier; a new one when left out.
    job_id: str | None


#: Options that are the client's business alone.
_NOT_SENT = ("job_id", "durable")

#: What pydantic would show as a pattern, in words.
_ALLOWED = {
    "model": "NAME, NAME@3 (a version) or NAME@production (a label); for a training or a sweep, "
    "NAME alone",
    "labels": "names of lower-case letters, digits, `_` and `-`",
    "grid": "1 to 8 parameters, each with values that differ, of 256 combinations at most",
    "metric": "the name of a figure, such as validation_accuracy",
    "preset": "a name of lower-case letters, digits, `_` and `-`",
    "tenant": "1 to 64 letters, digits, `_`, `.` and `-`",
    "idempotency_key": "1 to 128 characters, none of them a control character",
    "metadata": "up to 16 names, each with a text of up to 512 characters",
    "results_ttl_s": "60 seconds to 366 days",
    "expires_in_s": "1 second to 366 days",
    "max_running_units": "1 to 1,000,000",
    "priority": "interactive, normal or bulk",
}


#: Of a value that is refused, what its message shows, in characters.
_SHOWN_CHARS = 200


def job_of(kind: str, model: str, options: JobOptions, **fields: object) -> Job:
    """Make a job; raises InvalidRequest, which names the field and what is allowed."""
    shared = {name: value for name, value in options.items() if name not in _NOT_SENT}
    given = {name: value for name, value in shared.items() if value is not None}
    unknown = sorted(set(shared) - set(JobOptions.__annotations__))
    if unknown:
        known = ", ".join(sorted(JobOptions.__annotations__))
        raise InvalidRequest(f"There is no option {unknown[0]!r}. Known options: {known}.")
    try:
        return JOB.validate_python({"kind": kind, "model": model, **given, **fields})
    except ValidationError as error:
        first = error.errors()[0]
        place = [str(part) for part in first["loc"] if part != kind] or ["kind"]
        allowed = _ALLOWED.get(place[0], first["msg"])
        given_text = _shown(kind if place == ["kind"] else first["input"])
        raise InvalidRequest(
            wire_text(f"{'.'.join(place)} is {given_text}; allowed: {allowed}.")
        ) from None


def _shown(value: object) -> str:
    """Show a value as Python writes it, cut short."""
    try:
        text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    except ValueError:  # a number of more than 4,300 digits
        return f"of type {type(value).__name__} and too long to show"
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def checked_id(job_id: str) -> str:
    """Give the identifier back when a job may have it; raises InvalidRequest."""
    try:
        return _JOB_ID.validate_python(job_id)
    except ValidationError:
        raise InvalidRequest(
            f"The job's identifier is {_shown(job_id)}; allowed: 1 to 64 letters, digits, `_` and "
            "`-`, the first a letter or digit."
        ) from None
