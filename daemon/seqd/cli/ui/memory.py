"""What a worker has in memory, and what it leaves to others, as people read it."""

from collections.abc import Sequence

from seqd.cli.ui.numbers import size
from seqd.kinds import TRAIN
from seqd_schemas import WorkerStatus

#: Models that a line names.
_MOST_NAMES = 16


def memory_lines(worker: WorkerStatus) -> list[str]:
    """Return a line on the versions in memory with their bytes, and one on models left out."""
    lines = []
    if worker.loaded_bytes:
        told = [f"{ref} {size(held)}" for ref, held in worker.loaded_bytes.items()]
        budget = worker.memory_budget_bytes
        of_budget = "" if budget is None else f" of {size(budget)}"
        whole = size(sum(worker.loaded_bytes.values()))
        lines.append(f"{worker.worker} has loaded {_listed(told)}: {whole}{of_budget}")
    if worker.left_out and any(task != TRAIN for task in worker.tasks):
        lines.append(
            f"{worker.worker} leaves {_listed(worker.left_out)} to other workers "
            "(`seqd models place`)"
        )
    return lines


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
