"""What is said of jobs: columns of tables, and all facts of one."""

import json
from collections.abc import Collection, Mapping
from functools import partial

from seqd.client.requests import has_its_input
from seqd.kinds import KINDS
from seqd.ledger.activity import JobActivity
from seqd.ledger.unit_states import MAX_COUNTED
from seqd.views.columns import Cell, Column
from seqd.views.numbers import age, clock, count, counted, duration, metrics_line, rate
from seqd_schemas import (
    Counts,
    DataSource,
    ItemErrorCode,
    JobAction,
    JobRecord,
    JobState,
    Log,
    ModelReference,
    RunJob,
    RunSource,
    engine_of,
    has_upload,
    own_options,
)

#: Errors that the same text gets again, whenever it is sent.
OF_THE_TEXT = (ItemErrorCode.INVALID_INPUT, ItemErrorCode.TOO_LONG, ItemErrorCode.DECODE_ERROR)

#: How a terminal shows a state.
_STYLES = {
    JobState.RUNNING: "green",
    JobState.PAUSED: "yellow",
    JobState.FAILED: "red",
    JobState.EXPIRED: "red",
}

#: Options of some kinds of jobs that the facts of a job word each for itself.
_WORDED = {"task", "preset", "held_out", "grid"}


def job_columns(
    now_ms: int, tenants: Collection[str] = (), unserved: Collection[str] = ()
) -> tuple[Column[JobRecord], ...]:
    """Return what tables say of a job; whose it is where they have several `tenants`.

    `unserved` are the tasks and models that nobody can run.
    """
    tenant = Column[JobRecord]("tenant", lambda job: job.tenant, drop=6, least=7)
    return (
        Column("job", lambda job: job.job_id, least=21),
        *([tenant] if len(tenants) > 1 else []),
        Column("kind", _kind, drop=5),
        Column("model", _model, drop=2, least=8),
        Column("state", partial(_state, unserved), least=7),
        Column("done", _done, drop=1, wraps=True),
        Column("age", lambda job: age(job.created_at_ms, now_ms), drop=4),
    )


def job_facts(record: JobRecord, activity: JobActivity) -> dict[str, object]:
    """Return what there is to say of a job, by name; '' or None where that is nothing."""
    seconds = seconds_of(record)
    failure, training = record.failure, record.training
    own = own_options(record.job)
    return {
        "job": record.job_id,
        "kind": record.kind,
        "task": own.get("task"),
        "model": _model(record),
        "plugin version": ", ".join(record.plugin_versions),
        "state": record.state,
        "items": _items(record.counts) if KINDS[record.kind].has_items else "",
        "input": _source(record, record.job.source),
        "held out": _held_out(record),
        "preset": own.get("preset"),
        "sweeps": _compact(own.get("grid")),
        "parameters": _compact(record.job.parameters),
        **_asked_beside(own),
        "priority": record.priority,
        "tenant": record.tenant,
        "metadata": _compact(record.job.metadata),
        "created": clock(record.created_at_ms),
        "started": None if record.started_at_ms is None else clock(record.started_at_ms),
        "ended": None if record.ended_at_ms is None else clock(record.ended_at_ms),
        "waited": _waited(record),
        "took": None if seconds is None else duration(seconds),
        "rate": _rate(activity),
        "workers": _workers(activity),
        "attempts": _attempts(activity),
        "last death": _last_death(activity),
        "expires": None if record.expires_at_ms is None else clock(record.expires_at_ms),
        "kept until": None if record.kept_until_ms is None else clock(record.kept_until_ms),
        "continues": record.job.continues,
        "continued by": record.continued_by,
        "made": None if training is None else ModelReference(training.model, training.version),
        "metrics": "" if training is None else metrics_line(training.metrics),
        "waits": "" if record.waiting is None else record.waiting.message,
        "failure": "" if failure is None else f"{failure.code}: {failure.message}",
    }


def _asked_beside(own: Mapping[str, object]) -> dict[str, str]:
    """Return the options of some kinds of jobs that have no wording of their own, by name."""
    return {
        name.replace("_", " "): one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)
        for name, one in own.items()
        if name not in _WORDED
    }


def _waited(record: JobRecord) -> str:
    """Return the time from a job's acceptance to the claim of its first unit."""
    if record.started_at_ms is None:
        return ""
    return duration(max(0, record.started_at_ms - record.created_at_ms) / 1000)


def _rate(activity: JobActivity) -> str:
    per_second = activity.rate_per_s
    if not per_second:
        return ""
    if per_second >= 1:
        return f"{rate(per_second)} items a second"
    return f"an item in {duration(1 / per_second)}"


def _workers(activity: JobActivity) -> str:
    """Return who holds units, or else who claimed the first."""
    holding = [
        f"{worker} ({counted(units, 'unit')})" for worker, units in sorted(activity.workers.items())
    ]
    if holding:
        return ", ".join(holding)
    return f"{activity.first_worker} claimed the first unit" if activity.first_worker else ""


def _attempts(activity: JobActivity) -> str:
    if activity.attempts is None:
        return "not known any more: the job is a small one"
    if not activity.attempts:
        return ""
    parts = [count(activity.attempts)]
    if activity.units_tried_again:
        parts.append(f"{counted(activity.units_tried_again, 'unit')} more than once")
    if activity.crashes:
        parts.append(f"{counted(activity.crashes, 'worker')} died or went silent")
    if activity.is_partial:
        parts.append(f"of {count(MAX_COUNTED)} units alone")
    return ", ".join(parts)


def _last_death(activity: JobActivity) -> str:
    death = activity.last_death
    return "" if death is None else f"{clock(death.at_ms)}, {log_told(death)}"


def _kind(record: JobRecord) -> str:
    """Return what a job does: its kind, and the task that its model's plugin has named."""
    return f"{record.kind} {record.job.task}" if isinstance(record.job, RunJob) else record.kind


def _state(unserved: Collection[str], record: JobRecord) -> Cell:
    """Return the state; of a job that failed with why, such as an upload that was abandoned."""
    task = getattr(record.job, "task", None) or record.kind
    if record.state.may_claim and f"{task} {record.model}" in unserved:
        return Cell(f"{record.state}: nobody can run it", "bold red")
    why = f": {record.failure.code}" if record.failure else ""
    return Cell(f"{record.state}{why}", _STYLES.get(record.state, ""))


def _done(record: JobRecord) -> str:
    upload = "upload not complete" if has_upload(record.job) and not record.sealed else ""
    if not KINDS[record.kind].has_items:
        return upload
    counts = record.counts
    errors = counted(counts.errored, "error") if counts.errored else ""
    done = f"{count(counts.done)}/{count(counts.total)}"
    return ", ".join(filter(None, (done, errors, upload)))


def _model(record: JobRecord) -> str:
    if record.training is not None:
        return str(ModelReference(record.model, record.training.version))
    return model_of(record)


def _items(counts: Counts) -> str:
    outcomes = ("succeeded", "errored", "cancelled", "expired")
    parts = [f"{count(getattr(counts, name))} {name}" for name in outcomes if getattr(counts, name)]
    parts += [f"{count(counts.processing)} to do"] if counts.processing else []
    return f"{count(counts.total)}: {', '.join(parts)}" if parts else count(counts.total)


def _held_out(record: JobRecord) -> str:
    source = getattr(record.job, "held_out", None)
    return "" if source is None else _source(record, source)


def _source(record: JobRecord, source: RunSource | DataSource) -> str:
    if source.type == "file":
        return f"file {source.path}"
    if source.type == "named":
        return source.name
    return source.type if record.sealed else f"{source.type}, not complete"


def _compact(values: object) -> str:
    return json.dumps(values, ensure_ascii=False) if values else ""


def why_line(record: JobRecord) -> str:
    """Return where to look for what failed of a job; '' where nothing has."""
    if not record.counts.errored and record.state is not JobState.FAILED:
        return ""
    return f"What failed, and why: seqd failures list --job {record.job_id}"


def next_line(record: JobRecord, errors: Mapping[str, int]) -> str:
    """Return how to go on with a job; `errors` are its failed items by code."""
    job_id, state = record.job_id, record.state
    if state.may(JobAction.RESUME):
        return f"Let it go on: seqd jobs resume {job_id}"
    if not state.is_terminal:
        return f"Watch it: seqd jobs watch {job_id}"
    if record.training is not None:
        return f"Its version: seqd models show {_model(record)}"
    if record.continued_by is not None:
        return f"The job that continues it: seqd jobs show {record.continued_by}"
    if not KINDS[record.kind].has_items:
        return f"Continue it: seqd jobs resume {job_id}" if has_its_input(record) else ""
    if may_retry(record, errors):
        return (
            f"Its results: seqd jobs results {job_id}; its failed items once more: "
            f"seqd jobs retry {job_id}"
        )
    return f"Its results: seqd jobs results {job_id}"


def may_retry(record: JobRecord, errors: Mapping[str, int]) -> bool:
    """Return whether an ended job has items that may succeed; `errors` are the failed by code."""
    of_the_text = sum(errors.get(code, 0) for code in OF_THE_TEXT)
    is_left = record.counts.succeeded + of_the_text < record.counts.total
    can_retry = record.state.may(JobAction.RETRY) and KINDS[record.kind].has_items
    is_ours = record.sealed and not engine_of(record.job)
    return can_retry and is_left and is_ours and record.continued_by is None


def log_told(event: Log) -> str:
    """Return what a job's log event says, with the worker and the cause where one has died."""
    if event.cause is None:
        return event.message
    worker = "a worker" if event.worker is None else event.worker
    return f"{worker} died, {event.cause}: {event.message}"


def model_of(record: JobRecord) -> str:
    """Return the model of a job, with its version once it is known."""
    return str(ModelReference(record.model, record.version))


def seconds_of(record: JobRecord) -> float | None:
    """Return the seconds from a job's first claim to its end; None where one did not happen."""
    if record.started_at_ms is None or record.ended_at_ms is None:
        return None
    return (record.ended_at_ms - record.started_at_ms) / 1000
