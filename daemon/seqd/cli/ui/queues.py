"""Queues as a table: what waits of each task and model, how fast it goes, and why it does not."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from seqd.cli.ui.columns import Cell, Column, Signs, fitted
from seqd.cli.ui.numbers import count, counted, duration, rate

if TYPE_CHECKING:
    from rich.text import Text

    from seqd.queue_states import QueueState, WorkerCounts

#: Columns of a terminal from which on workers are told apart in words.
_WIDE: Final = 110

#: What a state is called, and its style.
_WORDS: Final = {
    "moving": ("moving", "green"),
    "waiting": ("waiting for a worker", "yellow"),
    "unserved": ("nobody can run it", "bold red"),
    "paused": ("paused", "yellow"),
    "idle": ("no work", "dim"),
}


def queue_lines(
    states: "Sequence[QueueState]", width: int, signs: Signs, *, by_tenant: bool = False
) -> "list[Text]":
    """Return a heading and a line for each state, of at most `width` columns."""
    columns = TENANT_COLUMNS if by_tenant else QUEUE_COLUMNS
    is_wide = width >= _WIDE
    rows = [tenant_cells(s) if by_tenant else queue_cells(s, is_wide=is_wide) for s in states]
    return fitted(columns, rows, width, signs)


#: Columns of `queue_cells`.
QUEUE_COLUMNS: Final = (
    Column("task", least=8),
    Column("model", least=10),
    Column("state", least=20),
    Column("waiting", is_number=True),
    Column("paused", drop=4, is_number=True, is_left_out_empty=True),
    Column("in hand", drop=7, is_number=True),
    Column("items/s", drop=1, is_number=True),
    Column("errors/min", drop=3, is_number=True, is_left_out_empty=True),
    Column("oldest", drop=6, is_number=True),
    Column("work left", drop=8, is_number=True),
    Column("ends in", drop=5, is_number=True),
    Column("workers", drop=2, least=7),
)

#: Columns of `tenant_cells`.
TENANT_COLUMNS: Final = (
    Column("task", drop=1, least=8),
    Column("model", least=10),
    Column("tenant", least=8),
    Column("state", least=20),
    Column("left", is_number=True),
    Column("oldest", drop=4, is_number=True),
    Column("work left", drop=5, is_number=True),
    Column("workers", drop=3, least=7),
)


def tenant_cells(state: "QueueState") -> list[Cell]:
    """Return the cells of one tenant's state, by `TENANT_COLUMNS`."""
    word, style = _WORDS[state.state]
    return [
        Cell(state.task),
        Cell(state.model),
        Cell(state.tenant or "-"),
        Cell(word, style),
        Cell(_number(state.waiting_items or state.paused_items)),
        Cell("-" if state.oldest_wait_s is None else duration(state.oldest_wait_s)),
        Cell(_work(state)),
        Cell(_workers(state.workers, is_wide=False), "" if state.workers.able else "red"),
    ]


def queue_cells(state: "QueueState", *, is_wide: bool) -> list[Cell]:
    """Return the cells of a state, by `QUEUE_COLUMNS`; workers in words where it `is_wide`."""
    word, style = _WORDS[state.state]
    if state.state == "moving" and state.reason:
        of = "a version: " if state.workers.able else ""
        word, style = f"{of}nobody can run it", "red"
    errors = (state.errors_per_s or 0.0) * 60
    return [
        Cell(state.task),
        Cell(state.model),
        Cell(word, style),
        Cell(_number(state.waiting_items)),
        Cell(_number(state.paused_items)),
        Cell(_number(state.items_in_hand)),
        Cell(rate(state.rate_per_s) if state.rate_per_s else "-"),
        Cell(rate(errors) if errors else "-", "red" if errors else ""),
        Cell("-" if state.oldest_wait_s is None else duration(state.oldest_wait_s)),
        Cell(_work(state)),
        Cell(_ends_in(state)),
        Cell(_workers(state.workers, is_wide=is_wide), "" if state.workers.able else "red"),
    ]


def pause_reasons(states: "Sequence[QueueState]") -> list[str]:
    """Return which models are paused or disabled, by whom and why, a sentence for each."""
    return list(dict.fromkeys(state.model_pause for state in states if state.model_pause))


def no_work_told(uploading: int) -> str:
    """Return that no work is left, or that none waits while jobs are being uploaded."""
    if not uploading:
        return "No work is left."
    verb = "is" if uploading == 1 else "are"
    return f"No work waits just now; {counted(uploading, 'job')} {verb} being uploaded."


def queue_reasons(states: "Sequence[QueueState]") -> list[str]:
    """Return why nobody can run what waits, a sentence for each task and model."""
    reasons: dict[str, list[str]] = {}
    for state in states:
        if state.reason:
            names = reasons.setdefault(state.reason, [])
            name = f"{state.task} {state.model}"
            names += [] if name in names else [name]
    return [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]


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


def _workers(counts: "WorkerCounts", *, is_wide: bool) -> str:
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
