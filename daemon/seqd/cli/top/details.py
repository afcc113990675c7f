"""The details of a row: of a queue, a worker or a job, a line a fact."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from rich.text import Text

from seqd.cli.top.reading import TopState
from seqd.cli.top.rows import failure_key, route_key
from seqd.cli.top.view import View
from seqd.cli.ui.explanation import explanation_facts
from seqd.cli.ui.failures import group_facts
from seqd.cli.ui.jobs import job_facts
from seqd.cli.ui.numbers import age, count, duration, rate, size
from seqd.cli.ui.tables import fact_lines
from seqd.serving import shown_state
from seqd_schemas import PluginState

if TYPE_CHECKING:
    from seqd.queue_states import QueueState
    from seqd_schemas import WorkerStatus

Facts = Mapping[str, object]

#: Entries of a list that are shown.
_MOST_ENTRIES: Final = 50


def is_of_job(view: View) -> bool:
    """Return True where the details of a view's rows are those of a job."""
    return view.name == "jobs"


def detail_lines(state: TopState, view: View, width: int) -> list[Text]:
    """Return the details of the row that the view asks for, in lines of at most `width` columns."""
    assert state.overview is not None and view.detail is not None
    return fact_lines(_facts(state, view, view.detail), width)


def _facts(state: TopState, view: View, key: str) -> Facts:
    assert state.overview is not None
    if is_of_job(view):
        return _facts_of_job(state, key)
    if view.name == "failures":
        groups = (one for one in state.failures if failure_key(one) == key)
        group = next(groups, None)
        gone = {"failure": "it is not among the newest dead letters any more: seqd failures list"}
        return gone if group is None else group_facts(group, state.overview.at_ms)
    if view.name == "workers":
        for worker in state.overview.workers:
            if worker.worker == key:
                return _facts_of_worker(state, worker)
        seen_at_ms = state.overview.silent.get(key)
        if seen_at_ms is not None:
            ago = age(seen_at_ms, state.overview.at_ms)
            return {"worker": key, "state": "silent", "heard of": f"{ago} ago"}
        return {"worker": key, "state": "it has ended"}
    for queue in state.overview.queues:
        if route_key(queue) == key:
            return _facts_of_queue(state, queue)
    return {"queue": key, "state": "no work is left, and no worker that is up has it"}


def _facts_of_job(state: TopState, job_id: str) -> Facts:
    job = state.job
    if job is None or job.job_id != job_id:
        return {"job": job_id, "state": "being read"}
    if job.record is None or job.activity is None:
        return {"job": job_id, "state": job.gone}
    facts = job_facts(job.record, job.activity)
    if job.found is None or job.record.state.is_terminal:
        return facts
    return {"job": job_id, "state": facts["state"], **explanation_facts(job.found), **facts}


def _facts_of_queue(state: TopState, queue: "QueueState") -> Facts:
    assert state.overview is not None
    per_s, errors = queue.rate_per_s or 0.0, 60 * (queue.errors_per_s or 0.0)
    workers = queue.workers
    waiting = [job.job_id for job in state.overview.jobs if job.model == queue.model]
    measured = "" if queue.is_measured else ", by a default: it was never measured"
    return {
        "task": queue.task,
        "model": queue.model,
        "state": queue.state,
        "why": queue.reason,
        "pause": queue.model_pause,
        "waiting": count(queue.waiting_items),
        "in hand": count(queue.items_in_hand),
        "paused": count(queue.paused_items) if queue.paused_items else "",
        "oldest wait": "" if queue.oldest_wait_s is None else duration(queue.oldest_wait_s),
        "items/s": rate(per_s) if per_s else "0",
        "errors/min": rate(errors) if errors else "0",
        "done so far": f"{count(queue.items_done)}, {count(queue.errors)} of them with errors",
        "work left": f"{duration(queue.work_left_s)} of one slot{measured}",
        "ends in": _ends_in(queue, per_s),
        "workers": f"{workers.busy} busy, {workers.idle} idle, {workers.unfit} unfit, "
        f"{workers.cordoned} cordoned, {workers.silent} silent",
        "jobs": ", ".join(waiting[:_MOST_ENTRIES]),
    }


def _ends_in(queue: "QueueState", per_s: float) -> str:
    """Return when a queue will end: by its workers, and at its present rate."""
    told = (
        [] if queue.eta_s is None else [f"{duration(queue.eta_s)} by the workers that can run it"]
    )
    left = queue.waiting_items + queue.items_in_hand
    if left and per_s:
        told.append(f"{duration(left / per_s)} at this rate")
    return ", ".join(told)


def _facts_of_worker(state: TopState, worker: "WorkerStatus") -> Facts:
    assert state.overview is not None
    now_ms, work = state.overview.at_ms, worker.work
    per_s = state.rates.by_worker.get(worker.worker, 0.0)
    loaded = [f"{ref} {size(held)}" for ref, held in worker.loaded_bytes.items()]
    cordon = worker.cordon
    facts: dict[str, object] = {
        "worker": worker.worker,
        "state": shown_state(worker, state.overview.unheard),
        "cordon": "" if cordon is None else f"{cordon.phase} by {cordon.by}: {cordon.reason}",
        "units in hand": count(state.overview.units_in_hand.get(worker.worker, 0)),
        "items/s": rate(per_s) if per_s else "0",
        "done": f"{count(work.items)} items in {count(work.units)} units since it started",
        "time in": f"claim {duration(work.claim_s)}, unpack {duration(work.unpack_s)}, vectorise "
        f"{duration(work.vectorise_s)}, compute {duration(work.compute_s)}, commit "
        f"{duration(work.commit_s)}",
        "heard of": f"{age(worker.seen_at_ms, now_ms)} ago",
        "child up": age(worker.started_at_ms, now_ms),
        "host": worker.host,
        "slot": worker.slot,
        "pid": worker.pid,
        "version": worker.seqd_version,
        "device": "" if worker.device is None else f"{worker.device.name} ({worker.device.uuid})",
        "loaded": ", ".join((loaded or list(worker.models_loaded))[:_MOST_ENTRIES]),
        "leaves out": ", ".join(worker.left_out[:_MOST_ENTRIES]),
        "labels": ", ".join(f"{name}={value}" for name, value in worker.labels.items()),
    }
    for number, entry in enumerate(worker.unfit[:_MOST_ENTRIES], 1):
        what = entry.model if entry.version is None else f"{entry.model}@{entry.version}"
        since = age(entry.since_ms, now_ms)
        facts[f"unfit {number}"] = f"{what} since {since}: {entry.code}: {entry.message}"
    for number, death in enumerate(reversed(worker.deaths), 1):
        ago = age(death.at_ms, now_ms)
        facts[f"death {number}"] = f"{ago} ago: {death.cause}: {death.message}"
    for plugin in worker.plugins[:_MOST_ENTRIES]:
        if plugin.state is not PluginState.READY:
            facts[f"plugin {plugin.name}"] = f"{plugin.state}: {plugin.reason}"
    return facts
