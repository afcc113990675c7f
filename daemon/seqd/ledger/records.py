"""Reads what stands in a job's keys into the records of the wire format. Pure.

Called by `jobs`. What cannot be read was changed by hand or is of another version of seqd: a job
raises JobDamaged, an entry of an event stream is left out.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pydantic import ConfigDict, TypeAdapter, ValidationError

from seqd.errors import JobDamaged
from seqd_schemas import Counts, Failure, Job, JobRecord, JobState, TrainingResult

if TYPE_CHECKING:
    from seqd_schemas import Event, TextDeltas

log = logging.getLogger(__name__)

JOB: TypeAdapter[Job] = TypeAdapter(Job, config=ConfigDict(defer_build=True))


def read_record(job_id: str, row: dict[bytes, bytes]) -> JobRecord:
    """Read a job's hash; raises JobDamaged."""
    try:
        return _record(job_id, {key.decode(): value for key, value in row.items()})
    except (KeyError, ValueError) as error:
        reason = f"there is no field {error}" if isinstance(error, KeyError) else _first_line(error)
        raise JobDamaged(
            f"What Redis holds of job {job_id} is not what seqd writes: {reason}. Somebody changed "
            "it by hand, or another version of seqd wrote it. Hand the job in again."
        ) from None


def read_events(entries: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> "Iterator[Event]":
    """Read entries of an event stream, each with its id."""
    from seqd_schemas import EVENT  # here: there are fifteen kinds of event

    for event_id, fields in entries:
        try:
            event = EVENT.validate_json(fields[b"e"])
        except (KeyError, ValidationError) as error:
            log.warning("event id=%s was left out: %s", event_id.decode(), _first_line(error))
            continue
        yield event.model_copy(update={"id": event_id.decode()})


def read_pieces(entries: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> "Iterator[TextDeltas]":
    """Read entries of a stream of pieces, those of other versions of seqd left out."""
    from seqd_schemas import TextDeltas

    for entry_id, fields in entries:
        try:
            yield TextDeltas.model_validate_json(fields[b"p"])
        except (KeyError, ValidationError) as error:
            log.warning("pieces id=%s were left out: %s", entry_id.decode(), _first_line(error))


def _record(job_id: str, row: dict[str, bytes]) -> JobRecord:
    failure, training = row.get("failure"), row.get("training")
    continued_by = row.get("continued_by")
    return JobRecord(
        job_id=job_id,
        kind=row["kind"].decode(),
        model=row["model"].decode(),
        version=_number(row, "version"),
        state=JobState(row["state"].decode()),
        counts=_counts(row),
        sealed=row["sealed"] == b"1",
        unit_items=int(row["unit_items"]),
        units=int(row["units"]),
        units_done=int(row["units_done"]),
        priority=row["priority"].decode(),
        tenant=row["tenant"].decode(),
        created_at_ms=int(row["created"]),
        started_at_ms=_number(row, "started"),
        ended_at_ms=_number(row, "ended"),
        expires_at_ms=_number(row, "expires_at"),
        kept_until_ms=_kept_until_ms(row),
        continued_by=None if continued_by is None else continued_by.decode(),
        failure=None if failure is None else Failure.model_validate_json(failure),
        training=None if training is None else TrainingResult.model_validate_json(training),
        job=JOB.validate_json(row["spec"]),
    )


def _kept_until_ms(row: dict[str, bytes]) -> int | None:
    ended = _number(row, "ended")
    return None if ended is None else ended + int(row["ttl"]) * 1000


def _number(row: dict[str, bytes], name: str) -> int | None:
    value = row.get(name)
    return None if value is None else int(value)


def _counts(row: dict[str, bytes]) -> Counts:
    total = int(row["total"])
    done = {name: int(row[name]) for name in ("succeeded", "errored", "cancelled", "expired")}
    return Counts(total=total, processing=total - sum(done.values()), **done)


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return str(error).partition("\n")[0][:200]
