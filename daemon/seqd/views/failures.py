"""What is said of dead letters: columns of tables, all facts of one, and what a replay does."""

from collections.abc import Iterator, Sequence

from seqd.client.failures import FailureGroup, FailureGroups, ReplayedJob
from seqd.escaping import one_line
from seqd.kinds import kind_of_task
from seqd.views.columns import Cell, Column
from seqd.views.jobs import OF_THE_TEXT
from seqd.views.numbers import age, clock, count, counted
from seqd_schemas import FailureRecord, FailureScope, ModelReference

#: Characters that are shown of a message in a list, and of an item's input.
MAX_MESSAGE_CHARS = 240
MAX_INPUT_CHARS = 2_000

#: Jobs that a replay names.
_MAX_NAMED_JOBS = 20


def group_columns(now_ms: int) -> tuple[Column[FailureGroup], ...]:
    """Return what tables say of dead letters with one cause."""
    return (
        Column("last", lambda one: age(one.last_at_ms, now_ms), drop=3, is_number=True),
        Column("code", lambda one: Cell(code_of(one), "red"), least=12),
        Column("model", lambda one: one.model, drop=2, least=8),
        Column("items", lambda one: one.items),
        Column("jobs", lambda one: one.jobs, drop=1),
        Column("message", lambda one: one.message, least=8),
    )


def failure_columns(now_ms: int) -> tuple[Column[FailureRecord], ...]:
    """Return what tables say of single dead letters with one cause."""
    return (
        Column("dead letter", lambda one: one.id),
        Column("ago", lambda one: age(one.at_ms, now_ms), is_number=True),
        Column("failed", items_of),
        Column("job", lambda one: one.job_id),
        Column("model", model_ref_of),
        Column("tried again by", lambda one: one.replayed_by or "-", is_left_out_empty=True),
        Column("message", lambda one: one_line(one.message, MAX_MESSAGE_CHARS)),
    )


def groups_told(groups: FailureGroups, noun: str = "cause") -> str:
    """Return how many groups of dead letters there are, and what failed in them."""
    return (
        f"{counted(len(groups.listed()), noun)}, {counted(groups.items, 'failed item')}, "
        f"{counted(groups.jobs, 'job')}"
    )


def code_of(group: FailureGroup | FailureRecord) -> str:
    """Return the error's code, with the way in which a worker died where one has."""
    return f"{group.code}, {group.cause}" if group.cause else group.code


def items_of(record: FailureRecord) -> str:
    """Return what failed: so many items, or the whole job."""
    if record.scope is FailureScope.ITEMS:
        return counted(record.items, "item")
    undone = f", {counted(record.items, 'item')} undone" if record.items else ""
    return f"the whole job{undone}"


def model_ref_of(record: FailureRecord) -> str:
    """Return the version that the items were for."""
    return str(ModelReference(record.model, record.version))


def names_of(record: FailureRecord) -> str:
    """Return the failed items that a dead letter names."""
    more = record.items - len(record.custom_ids)
    named = ", ".join(one_line(name, 128) for name in record.custom_ids)
    return f"{named} and {count(more)} more" if named and more > 0 else named


def failure_facts(record: FailureRecord) -> dict[str, object]:
    """Return what there is to say of a dead letter, by name; None where that is nothing."""
    return {
        "failed": items_of(record),
        "code": record.code,
        "worker died": record.cause,
        "when": clock(record.at_ms),
        "job": record.job_id,
        "unit": record.unit,
        "tenant": record.tenant,
        "task": record.task,
        "model": model_ref_of(record),
        "recorded by": record.worker,
        "attempts": record.attempts,
        "items": names_of(record),
        "message": one_line(record.message),
        "tried again by": record.replayed_by,
    }


def why_no_input(record: FailureRecord, *, is_kept: bool) -> str:
    """Return why the input of failed items is not shown; `is_kept` says whether their job is."""
    if not is_kept:
        return "Its input is gone, since the job was removed."
    if record.code in OF_THE_TEXT:
        return "The item held no text that could be read, so there is no input to show."
    return "Its input is not kept."


def what_to_do(record: FailureRecord, *, is_kept: bool) -> list[str]:
    """Return how to go on with a dead letter, a sentence each."""
    if record.replayed_by is not None:
        return [f"It is tried again: seqd jobs show {record.replayed_by}"]
    if not is_kept:
        return ["The job is not kept any more: hand its input in again as a new job."]
    if record.code in OF_THE_TEXT:
        return [
            "The input is at fault: mend it, and hand it in again. For other texts under the same "
            "names see `retry` of the client."
        ]
    mended = "Once it is mended, try it again"
    if record.scope is FailureScope.JOB and kind_of_task(record.task).trains:
        return [f"{mended}: seqd failures replay {record.id}"]
    return [
        f"{mended}: seqd failures replay {record.id}",
        f"All with this code: seqd failures replay --code {record.code} --model {record.model}",
        "On the version that is in service by then: --current-version",
    ]


def plan_told(ready: Sequence[ReplayedJob], *, current_version: bool) -> str:
    """Return what a replay will do."""
    items, letters = sum(one.items for one in ready), sum(len(one.failure_ids) for one in ready)
    version = "the version in service" if current_version else "the versions that failed"
    return (
        f"{_of_jobs(items, len(ready))} ({counted(letters, 'dead letter')}) will be tried again on "
        f"{version}.{_left_out(items)}"
    )


def replay_told(jobs: Sequence[ReplayedJob], *, is_dry_run: bool = False) -> Iterator[Cell]:
    """Give line by line what a replay did, or would do, and which jobs were left and why."""
    if not jobs:
        yield Cell("No dead letter matches that was not replayed before (--again for those).")
        return
    left = [one for one in jobs if one.left_because]
    taken = [one for one in jobs if not one.left_because]
    if taken and is_dry_run:
        total = sum(one.items for one in taken)
        yield Cell(f"{_of_jobs(total, len(taken))} would be tried again.{_left_out(total)}")
    for one in taken[:_MAX_NAMED_JOBS]:
        if one.new_job_id is None:
            items = f": {counted(one.items, 'item')}" if one.items else ""
            yield Cell(f"Job {one.job_id}{items}")
        else:
            yield Cell(f"What failed of job {one.job_id} is tried again by job {one.new_job_id}.")
    if len(taken) > _MAX_NAMED_JOBS:
        yield Cell(f"and {counted(len(taken) - _MAX_NAMED_JOBS, 'more job')}")
    of_items = [one.job_id for one in taken if one.new_job_id and one.items]
    if of_items:  # trainings have none, and no results
        yield Cell(f"The results of the whole: seqd jobs results {of_items[0]} --merged", "dim")
    for one in left[:_MAX_NAMED_JOBS]:
        yield Cell(f"Job {one.job_id} was left: {one_line(one.left_because)}", "yellow")
    if len(left) > _MAX_NAMED_JOBS:
        yield Cell(f"and {counted(len(left) - _MAX_NAMED_JOBS, 'more job')} left", "yellow")


def _of_jobs(items: int, jobs: int) -> str:
    """Return items with their jobs; jobs alone of trainings, which have no items."""
    of = f"{counted(items, 'item')} of " if items else ""
    return f"{of}{counted(jobs, 'job')}"


def _left_out(items: int) -> str:
    return " What has no readable text is left out." if items else ""
