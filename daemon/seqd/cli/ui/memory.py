"""What a worker has in memory, and what it leaves to others, as people read it."""

from seqd.cli.ui.numbers import size
from seqd.serving import serves
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
    left_out = [name for name in worker.left_out if name in worker.versions or serves(worker, name)]
    if left_out:
        lines.append(
            f"{worker.worker} leaves {_listed(left_out)} to other workers (`seqd models place`)"
        )
    return lines


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
