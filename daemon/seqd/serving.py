"""Which workers can run what, by what they publish of themselves, and why nobody runs a job.

Pure: reads records, changes nothing.
"""

from collections.abc import Iterable, Sequence

from seqd_schemas import (
    JobRecord,
    JobState,
    PluginState,
    Task,
    Waiting,
    WaitingCode,
    WorkerState,
    WorkerStatus,
    task_of,
)

#: Reasons that a sentence has at most, and characters of each.
_MOST_REASONS = 5
_MOST_CHARS = 400


def serves(worker: WorkerStatus, model: str) -> bool:
    """Return True where a plugin of the worker that is ready brings the model."""
    return any(
        plugin.state is PluginState.READY and model in plugin.models for plugin in worker.plugins
    )


def takes(worker: WorkerStatus, task: Task, model: str) -> bool:
    """Return True for a worker whose slot is for the task, and which has the model."""
    is_for_its_slot = not worker.versions or model in worker.versions
    return task in worker.tasks and serves(worker, model) and is_for_its_slot


def why_unable(worker: WorkerStatus, task: Task, model: str, version: int | None) -> str:
    """Return why a worker that takes the model cannot run a version of it; empty if it can.

    Without a version a training is meant. A worker that starts can: it has not looked yet.
    """
    if worker.state is WorkerState.STARTING:
        return ""
    for unfit in worker.unfit:
        if unfit.model == model and unfit.version == version:
            return unfit.message or str(unfit.code)
    if version is None or not worker.versions or version in worker.versions[model]:
        return ""
    return f"it has no version {version} of it that it can run"


def waiting_of(record: JobRecord, workers: Sequence[WorkerStatus]) -> Waiting | None:
    """Return why no worker that is up can go on with a job; None where one can, or none should."""
    if record.state not in (JobState.QUEUED, JobState.RUNNING):
        return None
    task, model, version = task_of(record.kind), record.model, record.version
    if not workers:
        return Waiting(
            code=WaitingCode.NO_WORKER, message="No worker is up: `seqd up` starts them."
        )
    able = [worker for worker in workers if takes(worker, task, model)]
    if not able:
        return Waiting(code=WaitingCode.NOT_SERVED, message=_not_served(task, model, workers))
    reasons = {worker.worker: why_unable(worker, task, model, version) for worker in able}
    if not all(reasons.values()):
        return None
    what = model if version is None else f"{model}@{version}"
    return Waiting(
        code=WaitingCode.UNFIT,
        message=f"No worker that is up can {task} {what} now. {_listed(reasons.items())}",
    )


def _not_served(task: Task, model: str, workers: Sequence[WorkerStatus]) -> str:
    if any(serves(worker, model) for worker in workers):
        return (
            f"No worker that is up takes jobs that {task} {model}, though its plugin is there: "
            "start a worker on such a slot. `seqd status` shows what each takes."
        )
    broken = {
        plugin.reason: f"{plugin.name} on {worker.worker}"
        for worker in workers
        for plugin in worker.plugins
        if plugin.state is PluginState.BROKEN
    }
    reasons = _listed((where, reason) for reason, where in broken.items())
    why = f" Plugins that are broken there: {reasons}" if broken else ""
    return f"No worker that is up has a plugin with the model {model}.{why}"


def _listed(reasons: Iterable[tuple[str, str]]) -> str:
    """Return reasons by whose they are, in one sentence each."""
    lines = [f"{where}: {reason[:_MOST_CHARS].rstrip('.')}." for where, reason in reasons]
    rest = f" And {len(lines) - _MOST_REASONS} more." if len(lines) > _MOST_REASONS else ""
    return " ".join(lines[:_MOST_REASONS]) + rest
