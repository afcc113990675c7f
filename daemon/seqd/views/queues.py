"""Queues as a table: what waits of each task and model, how fast it goes, and why it does not."""

from functools import partial
from typing import TYPE_CHECKING, Final

from seqd.views.columns import Cell, Column
from seqd.views.numbers import count, counted, duration, rate

if TYPE_CHECKING:
    from seqd.queue_states import QueueState, WorkerCounts

#: Columns of a terminal from which on workers are told apart in words.
WIDE: Final = 110

#: What a state is called, and its style.
_WORDS: Final = {
    "moving": ("moving", "green"),
    "waiting": ("waiting for a worker", "yellow"),
    "unserved": ("nobody can run it", "bold red"),
    "paused": ("paused", "yellow"),
    "idle": ("no work", "dim"),
}


def queue_columns(*, is_wide: bool) -> "tuple[Column[QueueState], ...]":
    """Return what tables say of a queue; workers are told apart in words where there is room."""
    return (
        Column("task", lambda queue: queue.task, least=8),
        Column("model", lambda queue: queue.model, least=10),
        Column("state", _state, least=20),
        Column("waiting", lambda queue: _number(queue.waiting_items), is_number=True),
        Column(
            "paused",
            lambda queue: _number(queue.paused_items),
            drop=4,
            is_number=True,
            is_left_out_empty=True,
        ),
        Column("in hand", lambda queue: _number(queue.items_in_hand), drop=7, is_number=True),
        Column("items/s", lambda queue: _rate(queue.rate_per_s), drop=1, is_number=True),
        Column("errors/min", _errors, drop=3, is_number=True, is_left_out_empty=True),
        Column("oldest", _oldest, drop=6, is_number=True),
        Column("work left", _work, drop=8, is_number=True),
        Column("ends in", _ends_in, drop=5, is_number=True),
        Column("workers", partial(_workers, is_wide=is_wide), drop=2, least=7),
    )


#: What tables say of the part of a queue that one tenant has.
TENANT_COLUMNS: "Final[tuple[Column[QueueState], ...]]" = (
    Column("task", lambda queue: queue.task, drop=1, least=8),
    Column("model", lambda queue: queue.model, least=10),
    Column("tenant", lambda queue: queue.tenant or "-", least=8),
    Column("state", lambda queue: Cell(*_WORDS[queue.state]), least=20),
    Column(
        "left",
        lambda queue: _number(queue.waiting_items or queue.paused_items),
        is_number=True,
    ),
    Column("oldest", lambda queue: _oldest(queue), drop=4, is_number=True),
    Column("work left", lambda queue: _work(queue), drop=5, is_number=True),
    Column("workers", lambda queue: _workers(queue, is_wide=False), drop=3, least=7),
)


def _state(queue: "QueueState") -> Cell:
    if queue.state == "moving" and queue.reason:
        of = "a version: " if queue.workers.able else ""
        return Cell(f"{of}nobody can run it", "red")
    return Cell(*_WORDS[queue.state])


def _errors(queue: "QueueState") -> Cell:
    per_min = (queue.errors_per_s or 0.0) * 60
    return Cell(_rate(per_min), "red" if per_min else "")


def _rate(per_s: float | None) -> str:
    return rate(per_s) if per_s else "-"


def _oldest(queue: "QueueState") -> str:
    return "-" if queue.oldest_wait_s is None else duration(queue.oldest_wait_s)


def no_work_told(uploading: int) -> str:
    """Return that no work is left, or that none waits while jobs are being uploaded."""
    if not uploading:
        return "No work is left."
    verb = "is" if uploading == 1 else "are"
    return f"No work waits just now; {counted(uploading, 'job')} {verb} being uploaded."


def _number(number: int) -> str:
    return count(number) if number else "-"


def _work(state: "QueueState") -> str:
    """Return what one slot would work; with a `~` where it was never measured."""
    if not state.work_left_s:
        return "-"
    return ("" if state.is_measured else "~") + duration(state.work_left_s)


def _ends_in(state: "QueueState") -> str:
    if not state.waiting_items and not state.items_in_hand:
        return "-"
    if state.eta_s is None:
        return "never" if state.state == "unserved" else "-"
    return duration(state.eta_s)


def _workers(queue: "QueueState", *, is_wide: bool) -> Cell:
    return Cell(_counted(queue.workers, is_wide=is_wide), "" if queue.workers.able else "red")


def _counted(counts: "WorkerCounts", *, is_wide: bool) -> str:
    named = {
        "busy": counts.busy,
        "idle": counts.idle,
        "unfit": counts.unfit,
        "cordoned": counts.cordoned,
        "silent": counts.silent,
        "starting": counts.starting,
    }
    if not any(named.values()):
        return "none"
    if is_wide:
        return ", ".join(f"{number} {name}" for name, number in named.items() if number)
    whole = sum(named.values())
    return f"{counts.able}" if counts.able == whole else f"{counts.able} of {whole}"
