"""Which workers can run what, by what they publish of themselves, and why nobody runs a job.

Pure: reads records, changes nothing.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from seqd.kinds import SERVED_TASKS, TRAIN, kind_of_task
from seqd.targets import EVERY_WORKER, Place, is_meant, option_of
from seqd.wording import first_of
from seqd_schemas import (
    MAX_DEATHS,
    CatalogEntry,
    ChildDeath,
    DeathCause,
    JobRecord,
    PluginState,
    UnfitCode,
    UnfitVersion,
    Waiting,
    WaitingCode,
    WorkerState,
    WorkerStatus,
    engine_of,
    route_of,
    task_of,
)

#: Reasons that a sentence has at most, and characters of each.
_MOST_REASONS = 5
_MOST_CHARS = 400

_LOOK_FOR_NEW = "Workers look for new versions at least at each heartbeat (SEQD_HEARTBEAT_S)."

#: Within how long a worker has found a new version in its store: three heartbeats, as they are set.
_LOOKED_WITHIN_MS = 30_000

#: How long ago a death of a worker's process is told of.
RECENT_MS = 3_600_000

#: Deaths within how long are a crash loop, and how long ago the last of them is at most.
LOOP_DEATHS = 3
_LOOP_MS = 600_000
_LOOP_LASTS_MS = 120_000


def serves(status: WorkerStatus, model: str) -> bool:
    """Return True for a model that the worker has, or that a plugin of it that is ready brings."""
    return model in status.versions or any(
        plugin.state is PluginState.READY and model in plugin.models for plugin in status.plugins
    )


def served_routes(plugin: str, entry: CatalogEntry | None) -> tuple[str, ...]:
    """Return the routes of what a plugin's model can do, but for its trainings.

    Where the model is not published those of all kinds of job that use a version.
    """
    tasks = SERVED_TASKS if entry is None else (one for one in entry.all_tasks if one != TRAIN)
    return tuple(route_of(task, plugin) for task in tasks)


def is_listening(status: WorkerStatus) -> bool:
    """Return True for a worker that has begun and is there to stay, a cordoned one among them.

    Not for one whose plugin goes on with what was taken from it.
    """
    if status.cordon is not None:
        return status.cordon.phase == "cordoned" and status.state is not WorkerState.STARTING
    return status.state in (WorkerState.READY, WorkerState.BUSY) and not has_lost_claim(status)


def has_lost_claim(status: WorkerStatus) -> bool:
    """Return True for a worker whose plugin computes what it holds no more, and nothing else."""
    return status.claim is not None and status.claim.is_lost


def shown_state(status: WorkerStatus, unheard: Collection[str] = ()) -> str:
    """Return what a worker is doing, as people are told it.

    `starting`, `ready`, `busy`, `unfit`, `stopped`, `cordoned`, `draining` or `drained`; `silent`
    for one that is among the `unheard`: what it has said last may be old.
    """
    if status.stopped_pid is not None:
        return "stopped"
    if status.worker in unheard:
        return "silent"
    if status.cordon is not None:
        return status.cordon.phase
    if status.state is WorkerState.READY and status.unfit and not _can_run_anything(status):
        return "unfit"
    return str(status.state)


def stopped_told(status: WorkerStatus) -> str:
    """Return that a signal has stopped a process of a worker, and what to do; or ''."""
    pid = status.stopped_pid
    if pid is None:
        return ""
    return (
        f"its process {pid} is stopped, by a signal: `kill -CONT {pid}` on {status.host} "
        "lets it go on"
    )


def lost_claim_told(status: WorkerStatus) -> str:
    """Return what a worker with a lost claim does, and until when; '' for any other."""
    if status.claim is None or not status.claim.is_lost:
        return ""
    return (
        f"its plugin has not stopped, and still computes for job {status.claim.job_id}, of which "
        "it holds nothing any more: it takes its next unit once the plugin stops, or is ended and "
        "started anew after SEQD_MAX_SILENT_S without a sign of the plugin"
    )


def starts_with(status: WorkerStatus) -> str:
    """Return what a worker that starts does first, such as `loads hello@0 and 2 more`."""
    if not status.loading:
        return "imports its plugins"
    first, rest = status.loading[0], len(status.loading) - 1
    return f"loads {first}{f' and {rest} more' if rest else ''}"


def place_of(worker: str) -> str:
    """Return the slot and host of a worker's name, `SLOT@HOST-NONCE`; a given name as it is."""
    return worker.rpartition("-")[0] if "@" in worker and "-" in worker else worker


def is_drained(status: WorkerStatus) -> bool:
    """Return whether a worker has ended by a drain: its record stands, and it is not up."""
    return status.cordon is not None and status.cordon.phase == "drained"


def uncordon_command(workers: Iterable[WorkerStatus]) -> str:
    """Return the command that ends the rules by which workers claim nothing."""
    targets = [one.cordon.target for one in workers if one.cordon is not None]
    if EVERY_WORKER in targets:
        return "`seqd workers uncordon --all`"
    named = " ".join(dict.fromkeys(map(option_of, filter(None, targets))))
    return f"`seqd workers uncordon {named or 'TARGET'}`"


def tellers_of_deaths(workers: Iterable[WorkerStatus]) -> list[WorkerStatus]:
    """Return of each place the worker that started last: it tells of those before it, too.

    Two are up for a while where one takes the place of another.
    """
    last = dict[str, WorkerStatus]()
    for one in workers:
        known = last.setdefault(place_of(one.worker), one)
        if one.started_at_ms > known.started_at_ms:
            last[place_of(one.worker)] = one
    return list(last.values())


def recent_deaths(status: WorkerStatus, now_ms: int) -> list[ChildDeath]:
    """Return the deaths of a worker's processes within the last hour, the latest last."""
    return [death for death in status.deaths if now_ms - death.at_ms <= RECENT_MS]


def deaths_in_loop(status: WorkerStatus, now_ms: int) -> list[ChildDeath]:
    """Return the deaths of the last ten minutes where they are a crash loop, else nothing."""
    found = [death for death in status.deaths if now_ms - death.at_ms <= _LOOP_MS]
    is_loop = len(found) >= LOOP_DEATHS and now_ms - found[-1].at_ms <= _LOOP_LASTS_MS
    return found if is_loop else []


def at_most(death: ChildDeath) -> str:
    """Return what stands before the age of a death: of a parent its last sign is known alone."""
    return "at most " if death.cause is DeathCause.WORKER_KILLED else ""


def times_told(deaths: int, kept: int) -> str:
    """Return how often a worker has died within a time, of which its record has `kept` deaths.

    A record has the last ones alone, so there may be more where all that it has are of that time.
    """
    times = "once" if deaths == 1 else f"{deaths} times"
    return f"at least {times}" if kept == MAX_DEATHS else times


class ServingWorker(NamedTuple):
    """A worker that has a model, and what of it."""

    worker: str
    #: What `shown_state` returns.
    state: str
    tasks: tuple[str, ...]
    #: Those that it can run now, ascending.
    versions: tuple[int, ...]
    #: What of the model it cannot run, each with the reason.
    unfit: tuple[str, ...]
    #: Whether it takes items of the model: no rule and no placement keeps it from them.
    takes_items: bool


def workers_of_model(workers: Iterable[WorkerStatus], model: str) -> list[ServingWorker]:
    """Return the workers that have a model, in their order, those that leave it alone too."""
    return [
        ServingWorker(
            status.worker,
            shown_state(status),
            (*status.tasks, *status.run_tasks.get(model, ())),
            status.versions[model],
            (
                *(["its items: left to others by placement"] if model in status.left_out else []),
                *(_told(entry) for entry in status.unfit if entry.model in (model, None)),
            ),
            takes_items(status, model),
        )
        for status in workers
        if model in status.versions
    ]


def _told(entry: UnfitVersion) -> str:
    what = TRAIN if entry.version is None else str(entry.version)
    return f"{what}: {entry.code}: {entry.message}"


def only_there(
    workers: Sequence[WorkerStatus], names: Collection[str]
) -> list[tuple[str, str, tuple[int, ...]]]:
    """Return what only the named workers can run: task, model and versions, () of trainings.

    So nobody is left for it once they claim nothing more.
    """
    inside = [one for one in workers if one.worker in names]
    outside = [one for one in workers if one.worker not in names]
    found: list[tuple[str, str, tuple[int, ...]]] = []
    for task, model in sorted({pair for one in inside for pair in _tasks_and_models(one)}):
        ours = _runnable(inside, task, model)
        left = ours - _runnable(outside, task, model)
        if left:
            found.append((task, model, tuple(sorted(n for n in left if n is not None))))
    return found


def _tasks_and_models(status: WorkerStatus) -> list[tuple[str, str]]:
    """Return what a worker does, with each model that it may do it with."""
    named = [(task, model) for task in status.tasks for model in _of(status, task)]
    return named + [(task, model) for model, more in status.run_tasks.items() for task in more]


def _of(status: WorkerStatus, task: str) -> list[str]:
    """Return the models of a worker that a task is done with: plugins' own for a training."""
    own = {model for plugin in status.plugins for model in plugin.models}
    if task != TRAIN or not own:
        return list(status.versions)
    return [model for model in status.versions if model in own]


def _runnable(workers: Iterable[WorkerStatus], task: str, model: str) -> set[int | None]:
    """Return the versions that some of the workers can run; None for a training."""
    versions = set[int | None]()
    for one in workers:
        if task == TRAIN:
            versions |= {None} if can_run(one, task, model, None) else set()
        elif takes(one, task, model):
            versions |= set(one.versions[model])
    return versions


def _can_run_anything(status: WorkerStatus) -> bool:
    if any(entry.code == UnfitCode.DEVICE_FAULT for entry in status.unfit):
        return False
    trained = _of(status, TRAIN) if TRAIN in status.tasks else []
    if any(can_run(status, TRAIN, model, None) for model in trained):
        return True
    return serves_items(status) and any(status.versions.values())


def serves_items(status: WorkerStatus) -> bool:
    """Return True for a worker whose slot does more than train."""
    return any(task != TRAIN for task in status.tasks)


def does(status: WorkerStatus, task: str, model: str) -> bool:
    """Return True where a worker's slot takes a task of a model, and its plugin has the task."""
    if kind_of_task(task).task is None:
        return task in status.run_tasks.get(model, ())
    return task in status.tasks


def takes_items(status: WorkerStatus, model: str) -> bool:
    """Return True for a worker that takes items of a model, whatever is done with them."""
    tasks = [task for task in status.tasks if task != TRAIN]
    return any(takes(status, task, model) for task in [*tasks, *status.run_tasks.get(model, ())])


def takes(status: WorkerStatus, task: str, model: str) -> bool:
    """Return True for a worker that is there for a task of a model, whatever it can run now."""
    return (
        not _claims_no_more(status)
        and does(status, task, model)
        and model in status.versions
        and not leaves_out(status, task, model)
    )


def _claims_no_more(status: WorkerStatus) -> bool:
    """Return True for a worker that ends, or is kept from work by a rule, also while it starts."""
    return status.cordon is not None or status.state is WorkerState.DRAINING


def leaves_out(status: WorkerStatus, task: str, model: str) -> bool:
    """Return True for a worker that has a model and leaves its items to others."""
    return task != TRAIN and model in status.left_out


def can_run(status: WorkerStatus, task: str, model: str, version: int | None) -> bool:
    """Return True for a worker that says it can run a version; None: a training."""
    if not takes(status, task, model):
        return False
    if version is None:
        return _unfit_of(status, model, None) is None
    return version in status.versions[model]


def reasons(
    workers: Iterable[WorkerStatus], task: str, model: str, version: int | None
) -> dict[str, tuple[str, str]]:
    """Return, by worker, why each that takes a task and model cannot run a version of it."""
    return {
        status.worker: _reason(status, model, version)
        for status in workers
        if takes(status, task, model) and not can_run(status, task, model, version)
    }


def waiting_of(record: JobRecord, workers: Sequence[WorkerStatus]) -> Waiting | None:
    """Return why no worker that is up can go on with a job; None where one can, or none should."""
    if not record.state.may_claim or engine_of(record.job):
        return None
    task, model, version = task_of(record.job), record.model, record.version
    if version is None and record.plugin is not None:
        model = record.plugin  # a training; the model may not be there yet
    return waiting_for(task, model, version, workers, record)


def waiting_of_each(
    records: Iterable[JobRecord], workers: Sequence[WorkerStatus]
) -> list[Waiting | None]:
    """Return the same for each of many jobs; those with the same demand share one look."""
    found = dict[tuple[object, ...], Waiting | None]()
    reasons = list[Waiting | None]()
    for record in records:
        job = record.job
        asked = task_of(job), record.model, record.version, record.plugin, job.format
        demand = *asked, record.state.may_claim, engine_of(job)
        if demand not in found:
            found[demand] = waiting_of(record, workers)
        reasons.append(found[demand])
    return reasons


def waiting_for(
    task: str,
    model: str,
    version: int | None,
    workers: Sequence[WorkerStatus],
    record: JobRecord | None = None,
) -> Waiting | None:
    """Return why no worker that is up can run a version now; None where one can.

    A version None is that of trainings of a model's plugin. Of a job, by its `record`, also where
    all who could are of a release before it, or take no work until their plugin lets them.
    """
    if not workers:
        return Waiting(
            code=WaitingCode.NO_WORKER,
            message="No worker is up: `seqd up` starts them, in some seconds.",
        )
    if any(
        can_run(one, task, model, version)
        and not _may_begin(one, task, model)
        and (record is None or not (_is_older(one, record) or has_lost_claim(one)))
        for one in workers
    ):
        return None
    starting = [status for status in workers if _may_begin(status, task, model)]
    takers = [one for one in workers if takes(one, task, model) and one not in starting]
    # What leaves the model to others, and could take it as it is.
    leaving = [
        one.worker
        for one in workers
        if leaves_out(one, task, model) and not _claims_no_more(one) and does(one, task, model)
    ]
    why = reasons(takers, task, model, version)
    if record is not None:
        for one in takers:
            if _is_older(one, record):
                sentence = (
                    f"it is of seqd {one.seqd_version}, which cannot read what this job asks for"
                )
                why[one.worker] = ("later_version", f"{sentence}: upgrade it")
    able = [one for one in takers if one.worker not in why]
    if able:  # who goes on with what it lost
        stuck = able[:_MOST_REASONS]
        held_up = (f"{one.worker} takes no work: {lost_claim_told(one)}." for one in stuck)
        return Waiting(code=WaitingCode.UNFIT, message=" ".join(held_up))
    if starting:
        return Waiting(code=WaitingCode.STARTING, message=_starts(starting))
    if not takers and leaving and not _held_by_rules(workers, task, model):
        return Waiting(code=WaitingCode.NOT_PLACED, message=_not_placed(task, model, leaving))
    if not takers:
        told = _no_version(record, workers) if record is not None else None
        told = told or _not_served(task, model, workers)
        return Waiting(code=WaitingCode.NOT_SERVED, message=told)
    what = model if version is None else f"{model}@{version}"
    if version is not None and all(_is_new_to(one, model, version) for one in takers):
        return Waiting(code=WaitingCode.UNFIT, message=_not_found_yet(what, takers, model))
    told = _listed((name, f"{code}: {message}") for name, (code, message) in why.items())
    return Waiting(
        code=WaitingCode.UNFIT, message=f"No worker that is up can {task} {what} now. {told}"
    )


def _may_begin(status: WorkerStatus, task: str, model: str) -> bool:
    """Return True for a worker that starts, and takes a task of a model then, or may."""
    if status.state is not WorkerState.STARTING or status.cordon is not None:
        return False
    may = not status.versions and _may_do(status, task, model) and _may_have(status, model)
    return may or takes(status, task, model)


def _starts(starting: Sequence[WorkerStatus]) -> str:
    loading = list(dict.fromkeys(ref for status in starting for ref in status.loading))
    return (
        f"{_who_starts(starting)}. Before jobs are taken, plugins are imported and models loaded"
        f"{': ' if loading else ''}{', '.join(loading)}."
    )


def _is_new_to(status: WorkerStatus, model: str, version: int) -> bool:
    """Return True where a version is newer than all that a worker has found in its store."""
    known = [
        *status.versions[model],
        *(one.version for one in status.unfit if one.model == model and one.version is not None),
    ]
    return _unfit_of(status, model, version) is None and version > max(known, default=0)


def _not_found_yet(what: str, takers: Sequence[WorkerStatus], model: str) -> str:
    found = _listed(
        (status.worker, f"its newest is {model}@{status.versions[model][-1]}")
        for status in takers
        if status.versions[model]
    )
    named = first_of(one.worker for one in takers)
    return (
        f"{what} is new, and not yet found by {named}. {_LOOK_FOR_NEW} One that does not "
        f"find it has another store than the worker that made it.{' ' if found else ''}{found}"
    )


def _is_older(status: WorkerStatus, record: JobRecord) -> bool:
    return status.reads < record.job.format


def _unfit_of(status: WorkerStatus, model: str, version: int | None) -> UnfitVersion | None:
    for entry in status.unfit:
        if entry.code == UnfitCode.DEVICE_FAULT:
            return entry
        if entry.model == model and entry.version == version:
            return entry
    return None


def _reason(status: WorkerStatus, model: str, version: int | None) -> tuple[str, str]:
    entry = _unfit_of(status, model, version)
    if entry is not None:
        return entry.code, entry.message.rstrip(".")
    there = ", ".join(str(one) for one in status.versions[model][-5:])
    return UnfitCode.MISSING, f"its store has no such version (it can run {there or 'none'})"


def lacks_store(status: WorkerStatus, record: JobRecord) -> bool:
    """Return True for a worker that has a job's plugin, and no version of the job's model."""
    plugin = record.plugin
    return (
        plugin is not None
        and record.version is not None
        and record.model not in status.versions
        and serves(status, plugin)
    )


def lacking(
    workers: Iterable[WorkerStatus], catalog: Mapping[str, CatalogEntry], now_ms: int
) -> dict[str, list[WorkerStatus]]:
    """Return the versions in service, `name@3`, that workers with their plugin do not have.

    None that is in service for so short a time that they need not have looked yet.
    """
    found: dict[str, list[WorkerStatus]] = {}
    for status in workers:
        ready = {one.name for one in status.plugins if one.state is PluginState.READY}
        for name, entry in catalog.items():
            version = entry.labels.get("production", 0)  # version 0 comes with the plugin
            since_ms = entry.history[-1].at_ms if entry.history else 0
            if (
                version
                and abs(now_ms - since_ms) > _LOOKED_WITHIN_MS
                and entry.plugin in ready
                and is_listening(status)
                and serves_items(status)
                and name not in status.left_out
                and version not in status.versions.get(name, ())
                and _unfit_of(status, name, version) is None
            ):
                found.setdefault(f"{name}@{version}", []).append(status)
    return found


def _no_version(record: JobRecord, workers: Sequence[WorkerStatus]) -> str | None:
    """Say which workers have not found the version of a job that they would take.

    It may be new to them, and may be in another store: that cannot be told from here.
    None where one has it, which then is held back or stops, and where no slot takes the job.
    """
    task, model, plugin = task_of(record.job), record.model, record.plugin
    if plugin is None or any(model in one.versions and does(one, task, model) for one in workers):
        return None
    without = [one for one in workers if does(one, task, plugin) and lacks_store(one, record)]
    if not without:
        return None
    named = first_of(f"{one.worker} (host {one.host})" for one in without)
    return (
        f"No worker that is up and does {task} has found {model}@{record.version} yet: {named}. "
        f"{_LOOK_FOR_NEW} One that does not find it has another store: have them share one "
        "(SEQD_DATA_DIR)."
    )


def _not_served(task: str, model: str, workers: Sequence[WorkerStatus]) -> str:
    told = [
        (one.worker, stopped_told(one))
        for one in workers
        if one.stopped_pid is not None and does(one, task, model) and model in one.versions
    ]
    if told:
        return f"No worker that is up can {task} {model} now. {_listed(told)}"
    held = _held_by_rules(workers, task, model)
    if held:
        named = first_of(status.worker for status in held)
        return (
            f"All workers that {task} {model} are cordoned or drained by an operator: {named}. "
            f"`seqd workers list` shows the rules, {uncordon_command(held)} ends them."
        )
    having = [one for one in workers if serves(one, model)]
    # One that was drained has not said which plugins it would have.
    having = having or [one for one in workers if one.cordon is not None and not one.plugins]
    if having:
        return _no_slot(task, model, having)
    why = broken_told(workers)
    disabled = _disabled(workers)
    if disabled:
        why += f" Plugins that settings disable there: {', '.join(disabled)}."
    return f"No worker that is up has a plugin with the model {model}.{why}"


def _held_by_rules(workers: Sequence[WorkerStatus], task: str, model: str) -> list[WorkerStatus]:
    """Return the workers that a task of a model waits for until a cordon or a drain ends."""
    return [
        status
        for status in workers
        if status.cordon is not None
        and _may_do(status, task, model)
        and _may_have(status, model)
        and not leaves_out(status, task, model)
    ]


def _no_slot(task: str, model: str, workers: Sequence[WorkerStatus]) -> str:
    """Say which slot would take jobs that all slots with their plugin leave alone."""
    if any(does(status, task, model) for status in workers):
        return f"All workers that {task} {model} are stopping: it goes on when another is up."
    first = workers[0]
    slots = [one.slot for one in workers if one.host == first.host]
    wanted = slot_for(task, first.slot)
    though = ", though its plugin is there" if serves(first, model) else ""
    told = f"No worker that is up takes jobs that {task} {model}{though}: start one that does"
    held = [
        one
        for one in workers
        if one.cordon is not None
        and is_meant(Place("", wanted, first.host, first.labels), one.cordon.target)
    ]
    if held:  # it would end at once
        return f"{told}, after {uncordon_command(held)}."
    told += f", by `seqd worker --slot {wanted}`"
    if first.supervised:
        return f"{told}."  # a second `seqd up` is refused there
    return f"{told}, or by `seqd up --slots {','.join(dict.fromkeys([*slots, wanted]))}`."


def slot_for(task: str, slot: str) -> str:
    """Return a slot that takes a task, on the kind of device that another slot has.

    A share of a GPU's memory is left out: how much there is for another one is not known here.
    """
    device = slot.rpartition("@")[2].partition("=")[0]
    is_cpu = device.startswith("cpu")
    if task == TRAIN:
        return f"{TRAIN}@{'cpu' if is_cpu else device}"
    return "cpu:0" if is_cpu else device


def unpublished_told(workers: Sequence[WorkerStatus]) -> str:
    """Return why workers may publish no model, as a sentence behind another; or ''."""
    return starting_told(workers) or broken_told(workers)


def broken_told(workers: Iterable[WorkerStatus]) -> str:
    """Return which plugins are broken on workers and why, as a sentence behind another; or ''."""
    broken = {
        plugin.reason: f"{plugin.name} on {status.worker}"
        for status in workers
        for plugin in status.plugins
        if plugin.state is PluginState.BROKEN
    }
    told = _listed((who, why) for why, who in broken.items())
    return f" Plugins that are broken on workers: {told}" if told else ""


def starting_told(workers: Iterable[WorkerStatus]) -> str:
    """Return which workers have not said what they have, as a sentence behind another; or ''."""
    silent = [one for one in workers if one.state is WorkerState.STARTING and not one.plugins]
    return f" {_who_starts(silent)}: try again in a moment." if silent else ""


def _who_starts(starting: Sequence[WorkerStatus]) -> str:
    who = "A worker is" if len(starting) == 1 else "Workers are"
    named = first_of(one.worker for one in starting)
    return f"{who} still starting ({named})"


def _not_placed(task: str, model: str, leaving: Sequence[str]) -> str:
    named = first_of(leaving)
    return (
        f"No worker that is up serves {model}. These could {task} with it, and a placement or "
        f"SEQD_SERVES has them leave it to others: {named}. `seqd models place` lists "
        f"placements, `seqd models place {model} --anywhere` ends that of {model}; or start a "
        "worker that serves it."
    )


def _may_do(status: WorkerStatus, task: str, model: str) -> bool:
    """Return True where a worker does a task, or has not said yet that its plugins do."""
    is_unknown = kind_of_task(task).task is None and not status.versions and serves_items(status)
    return does(status, task, model) or is_unknown


def _may_have(status: WorkerStatus, model: str) -> bool:
    """Return True where a worker has a model, or has not said yet that it has."""
    return model in status.versions or serves(status, model) or not status.plugins


def _disabled(workers: Sequence[WorkerStatus]) -> list[str]:
    """Return the plugins that are disabled somewhere and ready nowhere, the first of them."""
    plugins = [plugin for status in workers for plugin in status.plugins]
    ready = {plugin.name for plugin in plugins if plugin.state is PluginState.READY}
    disabled = {plugin.name for plugin in plugins if plugin.state is PluginState.DISABLED}
    return sorted(disabled - ready)[:_MOST_REASONS]


def _listed(found: Iterable[tuple[str, str]]) -> str:
    """Return reasons by whose they are, in one sentence each."""
    lines = [f"{where}: {reason[:_MOST_CHARS].rstrip('.')}." for where, reason in found]
    rest = f" And {len(lines) - _MOST_REASONS} more." if len(lines) > _MOST_REASONS else ""
    return " ".join(lines[:_MOST_REASONS]) + rest
