"""What is said of dead letters: columns of those with one cause, and all facts of one."""

from seqd.client.failures import FailureGroup
from seqd.escaping import one_line
from seqd.views.columns import Cell, Column
from seqd.views.numbers import age, clock, count, counted
from seqd_schemas import FailureRecord, FailureScope, ModelReference

#: Characters that are shown of a message in a list, and of an item's input.
MAX_MESSAGE_CHARS = 240


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
