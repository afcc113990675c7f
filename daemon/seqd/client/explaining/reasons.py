"""Which workers can run a job, and what it waits for. Pure: reads records, changes nothing."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from seqd.client.explaining.records import Reason, WorkerAnswer
from seqd.kinds import KINDS
from seqd.ledger.model_pauses import pause_told
from seqd.ledger.unit_states import Holdings, UnitStates
from seqd.ledger.writing import no_writes_line
from seqd.scaling import Rate, is_overdue, item_seconds
from seqd.serving import (
    at_most,
    can_run,
    does,
    has_lost_claim,
    is_drained,
    lacks_store,
    leaves_out,
    lost_claim_told,
    place_of,
    reasons,
    recent_deaths,
    serves,
    starts_with,
    stopped_told,
    waiting_of,
)
from seqd.wording import counted, first_of, span
from seqd_schemas import (
    DeathCause,
    JobRecord,
    JobState,
    ModelPause,
    PluginState,
    QueueName,
    Step,
    WaitingCode,
    WorkerState,
    WorkerStatus,
    engine_of,
    output_folder_of,
    task_of,
)

#: Names of jobs, workers or units that a sentence has at most.
MOST_NAMED = 3

#: Seconds for which a client that uploads may be silent before that is worth a word.
SILENT_S = 5.0

#: What the client of an upload does, by what it was told to come again for.
_UPLOADS = {
    "memory": "its client waits for memory of Redis, whose share for new work is used up "
    "(SEQD_MAX_MEMORY_SHARE)",
    "tenant": "its client waits, since its tenant has as much waiting as it may",
    "workers": "its client waits, since as much of it waits in Redis as may",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read of a job and of the fleet at one moment."""

    record: JobRecord
    states: UnitStates
    #: Workers that are up.
    workers: Sequence[WorkerStatus] = ()
    holdings: Holdings = field(default_factory=lambda: Holdings({}, {}))
    rates: Mapping[str, Rate] = field(default_factory=dict)
    #: Items that nobody has done, by queue.
    work_left: Mapping[str, int] = field(default_factory=dict)
    #: Tenants with claimable units in its queue, the next one first.
    tenants: Sequence[str] = ()
    #: Open jobs of some of them, and items of these that are not done.
    accounts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    #: Items that failed, by code, as far as that is still written down.
    errors: Mapping[str, int] = field(default_factory=dict)
    #: Models that are paused or disabled.
    pauses: Mapping[str, ModelPause] = field(default_factory=dict)
    #: Why Redis takes no writes just now; None where it does.
    no_writes: str | None = None
    #: Those of the workers that report nothing, and for how many seconds: their parents renew.
    unheard: Mapping[str, float] = field(default_factory=dict)
    #: The tenant who is told, and learns no names of others; None for all.
    only_tenant: str | None = None

    @property
    def task(self) -> str:
        """The task that a worker must do for it."""
        return task_of(self.record.job)

    @property
    def model(self) -> str:
        """The model by which workers know that they can: of a training its plugin's."""
        record = self.record
        is_training = record.version is None and record.plugin is not None
        return record.plugin or record.model if is_training else record.model

    @property
    def able(self) -> list[WorkerStatus]:
        """Workers that can run it, but for those that still compute what they hold no more."""
        sound = (one for one in self.workers if not has_lost_claim(one))
        return [one for one in sound if why_not(one, self) is None]


def answers_of(facts: Facts) -> list[WorkerAnswer]:
    """Return what each worker that is up has to say of a job, those that can run it first."""
    answers = []
    workers = () if engine_of(facts.record.job) else facts.workers  # none of them takes part
    for status in workers:
        if is_drained(status):  # it has ended
            continue
        why = why_not(status, facts)
        code, message = why or _business(status, facts)
        message += _died(status, facts.states.now_ms)
        answers.append(WorkerAnswer(status.worker, code, message))
    return sorted(answers, key=lambda answer: (not answer.can_run, answer.worker))


def _died(status: WorkerStatus, now_ms: int) -> str:
    """Return which death of a worker's processes within the last hour was the latest, if any."""
    recent = recent_deaths(status, now_ms)
    if not recent:
        return ""
    ago_s = max(0.0, (now_ms - recent[-1].at_ms) / 1000)
    what = f"{recent[-1].cause}: {recent[-1].message.rstrip('.')}"
    # Of the place: a worker tells of those before it in its slot, too.
    is_whole = recent[-1].cause is DeathCause.WORKER_KILLED
    who = place_of(status.worker) if is_whole else f"{place_of(status.worker)}'s child"
    return f". {who} died {at_most(recent[-1])}{span(ago_s)} ago, {what}"


def why_not(status: WorkerStatus, facts: Facts) -> tuple[str, str] | None:
    """Return why a worker cannot run a job, as a code and words; None where it can."""
    record, task, model = facts.record, facts.task, facts.model
    if status.stopped_pid is not None:
        return "stopped", stopped_told(status)
    if status.cordon is not None:
        told = f": {status.cordon.reason}" if status.cordon.reason else ""
        return status.cordon.phase, f"{status.cordon.phase} by an operator{told}"
    if status.state is WorkerState.DRAINING:
        return "draining", "it drains, and ends"
    if status.state is WorkerState.STARTING:
        return "starting", f"it is starting, and {starts_with(status)} before it takes jobs"
    is_without = lacks_store(status, record)
    if not is_without and not serves(status, model):
        return _lacks(status, model)
    if not does(status, task, (record.plugin or model) if is_without else model):
        return "slot", f"its slot {status.slot} does not take the task {task} of {model}"
    if is_without:
        what = f"{record.model}@{record.version}"
        return (
            "missing",
            f"its store had no {what} on {status.host} at its last heartbeat: see SEQD_DATA_DIR "
            "there",
        )
    if leaves_out(status, task, model):
        return "left_out", "a placement or SEQD_SERVES has it leave this model to others"
    if status.reads < record.job.format:
        return (
            "later_version",
            f"it is of seqd {status.seqd_version}, which cannot read this job: upgrade it",
        )
    if can_run(status, task, model, record.version):
        return None
    found = reasons([status], task, model, record.version)
    return found.get(status.worker, ("unfit", "it cannot run it now"))


def _lacks(status: WorkerStatus, model: str) -> tuple[str, str]:
    """Say of a worker that has no such model whether a plugin is to blame."""
    for plugin in status.plugins:
        if model == plugin.name or model in plugin.models:
            if plugin.state is PluginState.BROKEN:
                return "broken", f"its plugin {plugin.name} is broken: {plugin.reason.rstrip('.')}"
            if plugin.state is PluginState.DISABLED:
                return "disabled", f"its plugin {plugin.name} is disabled by its settings"
    return "no_plugin", f"it has no plugin with the model {model}"


def _business(status: WorkerStatus, facts: Facts) -> tuple[str, str]:
    if told := lost_claim_told(status):
        return "busy", told
    units = _units_of(status, facts)
    if not units:
        return "idle", "idle, it has nothing in hand"
    return "busy", f"busy with {jobs_in_words(units, facts)}"


def _units_of(status: WorkerStatus, facts: Facts) -> Mapping[str, int]:
    """Return the units that a worker has in hand by job; of this job also those of a moment ago."""
    held = facts.states.workers.get(status.worker)
    own = {facts.record.job_id: held} if held else {}
    return facts.holdings.units.get(status.worker) or own


def busy_with(facts: Facts) -> Counter[str]:
    """Return the units in hand by job, of the workers that can run the job."""
    held = Counter[str]()
    for status in facts.able:
        held.update(_units_of(status, facts))
    return held


def jobs_in_words(units: Mapping[str, int], facts: Facts) -> str:
    """Return whose jobs units in hand are of, with their shares, the largest first."""
    total, shares = sum(units.values()), Counter[str]()
    for job_id, count in units.items():
        shares[_job_named(job_id, facts)] += count
    parts = [f"{named} ({count / total:.0%})" for named, count in shares.most_common()]
    return first_of(parts, MOST_NAMED)


def _job_named(job_id: str, facts: Facts) -> str:
    tenant = facts.holdings.tenants.get(job_id)
    if job_id == facts.record.job_id:
        return "this job"
    if facts.only_tenant not in (None, tenant):
        return "jobs of other tenants"
    return f"job {job_id} of tenant {tenant}" if tenant else f"job {job_id}"


def waits_for(facts: Facts) -> list[Reason]:
    """Return what a job waits for, the first reason first; nothing of one that has ended."""
    record = facts.record
    if record.state.is_terminal or engine_of(record.job):
        return []
    held_up = _held_up(facts)
    if record.state is JobState.PAUSED:
        return [_paused(facts), *held_up, *_upload(facts)]
    if facts.no_writes is not None:
        # Who is up, and what a lease says, is not known by what workers wrote before.
        return [*held_up, Reason("no_writes", no_writes_line(facts.no_writes))]
    nobody = waiting_of(record, facts.workers)
    if nobody is not None:
        return [*held_up, Reason(nobody.code, nobody.message), *_upload(facts)]
    if held_up:
        return [*held_up, *_lost_workers(facts), *_upload(facts), *_reading(facts)]
    found = [
        *_lost_workers(facts),
        *_busy(facts),
        *_back_off(facts),
        *_limit(facts),
    ]
    return [*found, *_upload(facts), *_reading(facts), *_turn(facts)]


def _held_up(facts: Facts) -> list[Reason]:
    """Say that a job's model is paused or disabled, also of one that is paused itself."""
    pause = facts.pauses.get(facts.record.model)
    if pause is None or facts.record.version is None:
        return []
    return [Reason(WaitingCode.MODEL_PAUSED, pause_told(pause))]


def _paused(facts: Facts) -> Reason:
    at_ms = last_event_ms(facts, "paused")
    held = facts.states.in_hand
    still = f"; {counted(held, 'unit')} that workers had begun will be finished" if held else ""
    since = "" if at_ms is None else f" for {span((facts.states.now_ms - at_ms) / 1000)}"
    return Reason(
        "paused",
        f"it has been paused{since}{_by(facts)}: no unit is begun until it is resumed{still}",
    )


def _by(facts: Facts) -> str:
    """Return who paused a job, and with which filter where that paused others, too."""
    event = next((event for event in facts.states.events if event.event == "paused"), None)
    return f" by {event.by}" if event is not None and event.by else ""


def _lost_workers(facts: Facts) -> Iterable[Reason]:
    up = {status.worker for status in facts.workers}
    gone = [(name, units) for name, units in facts.states.workers.items() if name not in up]
    if gone:
        names = first_of([f"{name} ({counted(units, 'unit')})" for name, units in gone], MOST_NAMED)
        yield Reason("dead_worker", f"units are held by workers that are not heard of: {names}")
    for status in facts.workers:
        if status.stopped_pid is not None and (held := facts.states.workers.get(status.worker)):
            told = (
                f"{status.worker} has {counted(held, 'unit')} in hand, and {stopped_told(status)}"
            )
            yield Reason("stopped_worker", told)


def _busy(facts: Facts) -> Iterable[Reason]:
    able = facts.able
    if not facts.states.claimable or not able:
        return
    idle = [one.worker for one in able if not facts.holdings.units.get(one.worker)]
    held = busy_with(facts)
    if idle or not held or set(held) == {facts.record.job_id}:
        return
    count = (
        "the one worker that can run it is"
        if len(able) == 1
        else f"{len(able):,} workers can run it, all"
    )
    # Of one moment: who has how much waiting says more, and is told with whose turn it is.
    yield Reason("busy", f"{count} busy at this moment with {jobs_in_words(held, facts)}")


def _back_off(facts: Facts) -> Iterable[Reason]:
    states = facts.states
    if states.next_due_s is not None:
        count = states.backing_off
        later = "again" if count == 1 else "again later, the first"
        yield Reason(
            "back_off",
            f"{counted(count, 'unit')} failed with a worker and {are(count)} tried {later} in "
            f"{span(states.next_due_s)}",
        )


def _limit(facts: Facts) -> Iterable[Reason]:
    states = facts.states
    if states.max_units is not None and states.claimable and states.in_hand >= states.max_units:
        yield Reason(
            "max_units",
            f"it has as many units in hand as one job may have at once ({states.max_units:,}: "
            "max_running_units of the job, SEQD_MAX_JOB_UNITS of the workers)",
        )


def _upload(facts: Facts) -> Iterable[Reason]:
    record, states = facts.record, facts.states
    if record.sealed or states.upload_silent_s is None:
        return
    silent_s, waits = states.upload_silent_s, states.upload_waits
    does = _UPLOADS.get(waits, "its client is still sending")
    if silent_s >= SILENT_S:
        does = f"its client has not been heard of for {span(silent_s)}"
    yield Reason(
        "redis_full" if waits == "memory" and silent_s < SILENT_S else "upload",
        f"its upload is not complete: {record.counts.total:,} items by now, {does}",
    )


def _reading(facts: Facts) -> Iterable[Reason]:
    states = facts.states
    if facts.record.sealed or states.upload_silent_s is not None or not states.is_ingest_open:
        return
    rest = f", about {states.unread_items:,} items are left" if states.unread_items else ""
    holder = next((one.worker for one in states.held if one.unit == "ingest"), None)
    who = "a worker is yet to read on" if holder is None else f"{holder} reads it"
    more = ", or its folder not closed" if output_folder_of(facts.record.job) else ""
    yield Reason("reading", f"its file is not read to the end{more}{rest}: {who}")


def _turn(facts: Facts) -> Iterable[Reason]:
    others = [name for name in facts.tenants if name != facts.record.tenant]
    if facts.states.claimable and others:
        waiting = sorted(facts.tenants, key=lambda name: facts.accounts.get(name, (0, 0))[::-1])
        seen = [name for name in reversed(waiting) if facts.only_tenant in (None, name)]
        told = [_account(name, facts) for name in seen]
        have = "has" if len(facts.tenants) == 1 else "have"
        yield Reason(
            "turn",
            f"{counted(len(facts.tenants), 'tenant')} {have} work in the "
            f"same queue, each gets its share by weight in turn: {first_of(told, MOST_NAMED)}",
        )


def _account(tenant: str, facts: Facts) -> str:
    """Return a tenant with all that it has open, in this queue and in others."""
    if tenant not in facts.accounts:
        return tenant
    jobs, items = facts.accounts[tenant]
    return f"{tenant} ({counted(jobs, 'open job')}, {counted(items, 'item')} to do)"


def left_s(facts: Facts) -> tuple[float | None, bool]:
    """Return the seconds to a job's end, and whether its rate was measured.

    Of other tenants' work each may come in between for as long as the job's own takes, at most. A
    training says itself how long it will take; what a job of items says goes by the mean since its
    start, with the time in it for which it was paused. None where nobody can run it, it has ended,
    all that is left has been in hand for longer than it was reckoned to take, or a unit is overdue.
    """
    record, able = facts.record, facts.able
    if not record.state.may_claim or not able:
        return None, False
    if _held_up(facts) or facts.states.crashes:
        return None, False  # nobody knows for how long what a worker died with takes
    for event in facts.states.events:
        if isinstance(event, Step) and event.eta_s is not None:
            left = event.eta_s - max(0.0, (facts.states.now_ms - event.at_ms) / 1000)
            if left > 0:
                return left, True
            break  # it takes longer than it said that it would
    queue, is_uploaded = facts.states.queue, facts.states.upload_silent_s is not None
    if queue is None or is_uploaded:
        return None, False  # nobody knows what is still to come
    item_s, is_measured = item_seconds(queue, facts.rates)
    has_items = KINDS[record.kind].has_items
    items = record.counts.processing + facts.states.unread_items if has_items else 1
    own_s = items * item_s
    others_s = max(0.0, _work_of(able, facts) - own_s)
    competitors = max(1, len([name for name in facts.tenants if name != record.tenant]))
    units = max(1, record.units - record.units_done)
    # Nothing is done before the first unit is claimable again, where all of them back off.
    is_idle = not facts.states.claimable and not facts.states.in_hand
    wait_s = facts.states.next_due_s or 0.0 if is_idle else 0.0
    spent = _spent_s(facts, own_s / units)
    spent_s = sum(min(held, reckoned) for held, reckoned in spent)
    if own_s and (spent_s >= own_s or any(is_overdue(*one) for one in spent)):
        return None, False  # it takes longer than others of its model did
    work_s = own_s - spent_s + min(others_s, competitors * own_s)
    return wait_s + work_s / min(len(able), units), is_measured


def _spent_s(facts: Facts, unit_s: float) -> list[tuple[float, float]]:
    """Return the seconds for which each worker has its units, and those that they are to take."""
    return [
        (held_s(one, facts) or 0.0, facts.states.workers.get(one.worker, 0) * unit_s)
        for one in facts.workers
    ]


def held_s(status: WorkerStatus, facts: Facts) -> float | None:
    """Return the seconds since a worker claimed what it has in hand of the job.

    None where its record is of an earlier claim: it says so at each heartbeat alone.
    """
    claim, states = status.claim, facts.states
    if claim is None or claim.job_id != facts.record.job_id:
        return None
    is_held = any(one.unit == claim.unit and one.worker == status.worker for one in states.held)
    return max(0.0, (states.now_ms - claim.since_ms) / 1000) if is_held else None


def _work_of(able: Sequence[WorkerStatus], facts: Facts) -> float:
    """Return the seconds of one slot of all that these workers can run."""
    total = 0.0
    for queue, items in facts.work_left.items():
        task, model, version = QueueName.parse(queue)
        if any(can_run(one, task, model, version) for one in able):
            total += items * item_seconds(queue, facts.rates)[0]
    return total


def last_event_ms(facts: Facts, *names: str) -> int | None:
    """Return when the last event of these names was; None where none is kept."""
    return next((event.at_ms for event in facts.states.events if event.event in names), None)


def are(number: int) -> str:
    """Return the verb of so many."""
    return "is" if number == 1 else "are"
