"""What an explanation says in words: its headline, its timeline, and what happens next. Pure."""

from collections.abc import Iterable, Sequence

from seqd.client.explaining.reasons import (
    Facts,
    answers_of,
    are,
    busy_with,
    held_s,
    last_event_ms,
    left_s,
    waits_for,
)
from seqd.client.explaining.records import (
    Explanation,
    ItemExplanation,
    Moment,
    Reason,
    UnitCounts,
    UnitInHand,
    UnitTriedAgain,
)
from seqd.client.requests import rest_told
from seqd.kinds import KINDS
from seqd.ledger.unit_states import MAX_LISTED, HeldUnit, TriedUnit
from seqd.wording import counted, span
from seqd_schemas import STATES, JobAction, JobRecord, JobState, engine_of

#: Seconds without progress after which a job is not said to run.
STANDS_STILL_S = 600.0

#: Events by which something of a job was done, or was to begin.
_SIGNS_OF_LIFE = ("progress", "step", "epoch", "sample", "started", "resumed")

#: Seconds within which workers release a unit whose lease is over: they look every few.
RELEASED_WITHIN_S = 60.0

#: Workers that are listed at most.
MAX_ANSWERS = 50


def explanation(facts: Facts, item: ItemExplanation | None = None) -> Explanation:
    """Return the explanation of a job by what was read of it."""
    record, answers, waits = facts.record, answers_of(facts), waits_for(facts)
    seconds, is_measured = left_s(facts)
    units = unit_counts(facts)
    # Who has another engine run a job holds none of its units.
    in_hand = () if engine_of(record.job) else facts.states.held
    return Explanation(
        job_id=record.job_id,
        state=record.state,
        kind=record.kind,
        model=record.model if record.version is None else f"{record.model}@{record.version}",
        tenant=record.tenant,
        priority=record.priority.value,
        headline=headline(facts, units, waits, seconds),
        timeline=tuple(timeline(facts)),
        units=units,
        in_hand=tuple(_in_hand(unit, facts) for unit in in_hand),
        tried_again=tuple(map(_tried_again, facts.states.tried)),
        waits_for=tuple(waits),
        workers=tuple(answers[:MAX_ANSWERS]),
        workers_up=len(answers),
        workers_able=sum(answer.can_run for answer in answers),
        busy_with=dict(busy_with(facts).most_common(MAX_LISTED)),
        next=tuple(what_is_next(facts, units)),
        left_s=seconds,
        is_measured=is_measured,
        item=item,
        errors=dict(facts.errors),
        takes_no_writes=facts.no_writes,
    )


def unit_counts(facts: Facts) -> UnitCounts:
    """Return how many units stand where."""
    record, states = facts.record, facts.states
    return UnitCounts(
        known=record.units if states.known is None else states.known,
        done=record.units_done if states.done is None else states.done,
        in_hand=0 if engine_of(record.job) else states.in_hand,
        waiting=states.claimable,
        backing_off=states.backing_off,
        tried_again=states.tried_again,
        is_input_complete=record.sealed,
        is_partial=states.is_partial,
    )


def headline(
    facts: Facts, units: UnitCounts, waits: Sequence[Reason], seconds: float | None
) -> str:
    """Return the state of a job and the first reason for it, as one sentence."""
    record = facts.record
    if record.state.is_terminal:
        return _ended(record)
    job = f"Job {record.job_id}"
    if engine := engine_of(record.job):
        return f"{job} is {record.state}: {_elsewhere(engine, facts, units)}"
    if not record.state.may_claim:
        return f"{job} is {record.state}: {_rest(waits[0].message)}"
    if facts.no_writes is not None:
        return f"{job} stands still: {_rest(waits[0].message)}"
    left = f"; about {span(seconds)} to its end" if seconds is not None else ""
    is_held = bool(units.in_hand) and _has_holder(facts)
    if units.in_hand and not is_held:
        if not (units.waiting and facts.able):
            return f"{job} stands still: {_rest(waits[0].message)}"
        # What is lost holds nothing else up: the units that wait are taken before.
        lost = ("dead_worker", "stopped_worker")
        waits = [reason for reason in waits if reason.code not in lost]
    if is_held:
        still_s = _no_progress_s(facts)
        runs = "runs" if still_s is None else f"has made no progress for {span(still_s)}"
        left = left if still_s is None else ""
        workers = len(facts.states.workers)
        done = f", {units.done:,} of {units.known:,} are done" if units.known else ""
        return (
            f"{job} {runs}: {counted(units.in_hand, 'unit')} in hand on "
            f"{counted(workers, 'worker')}{done}{left}."
        )
    if waits:
        begun = "is queued" if record.state is JobState.QUEUED else "has begun and stands still"
        return f"{job} {begun}: {_rest(waits[0].message, left)}"
    able = len(facts.able)
    return (
        f"{job} is {record.state}: {counted(able, 'worker')} can run it, and one takes its next "
        f"unit in a moment{left}."
    )


def _elsewhere(engine: str, facts: Facts, units: UnitCounts) -> str:
    """Say which engine runs a job, by whom, and for how long; none of the workers does."""
    began_ms, now_ms = facts.record.started_at_ms, facts.states.now_ms
    since = "" if began_ms is None else f" for {span((now_ms - began_ms) / 1000)}"
    holder = next(iter(facts.states.workers), "a process that is gone")
    done = f"{units.done:,} of {counted(units.known, 'unit')} are done"
    return f"the engine {engine} computes it{since}, by the process {holder}; {done}."


def _has_holder(facts: Facts) -> bool:
    """Return whether a worker that is up, and not stopped, holds a unit of the job."""
    going = [status.worker for status in facts.workers if status.stopped_pid is None]
    return any(worker in facts.states.workers for worker in going)


def _no_progress_s(facts: Facts) -> float | None:
    """Return for how many seconds nothing of a job was done, where that is long; else None."""
    since_ms = last_event_ms(facts, *_SIGNS_OF_LIFE)
    if since_ms is None:
        return None
    seconds = (facts.states.now_ms - since_ms) / 1000
    return seconds if seconds >= STANDS_STILL_S else None


def _rest(message: str, left: str = "") -> str:
    """Return the reason as the end of a sentence, with the time left in front of its full stop."""
    return f"{message.rstrip('.')}{left}."


def _ended(record: JobRecord) -> str:
    counts, job = record.counts, f"Job {record.job_id}"
    took = _took(record)
    if record.failure is not None:
        return f"{job} {record.state}{took}: {record.failure.code}: {record.failure.message}"
    if not KINDS[record.kind].has_items:
        return f"{job} {_ended_in_words(record)}{took}."
    things = KINDS[record.kind].items
    things = things.removesuffix("s") if counts.total == 1 else things
    parts = [
        f"{number:,} {name}"
        for name in ("succeeded", "errored", "cancelled", "expired")
        if (number := getattr(counts, name))
    ]
    done = f"{', '.join(parts) or 'none'} of {counts.total:,} {things}"
    return f"{job} {_ended_in_words(record)}{took}: {done}."


def _took(record: JobRecord) -> str:
    """Return how long an ended job took and waited, such as ` in 3.5 s after a wait of 40 s`."""
    if record.ended_at_ms is None:
        return ""
    began_ms = record.started_at_ms
    waited = (
        f" after a wait of {span(((began_ms or record.ended_at_ms) - record.created_at_ms) / 1000)}"
    )
    took = "" if began_ms is None else f" in {span((record.ended_at_ms - began_ms) / 1000)}"
    return f"{took}{waited}"


def _ended_in_words(record: JobRecord) -> str:
    return "was cancelled" if record.state is JobState.CANCELLED else str(record.state)


def timeline(facts: Facts) -> Iterable[Moment]:
    """Yield what happened to a job, and when."""
    record, state = facts.record, facts.record.state
    progress = last_event_ms(facts, "progress", "step", "epoch")
    held = last_event_ms(facts, STATES[state].event) if state.is_held else None
    moments = [
        ("accepted", record.created_at_ms),
        ("started", record.started_at_ms),
        ("progress", None if state.is_terminal else progress),
        (str(state), held),
        ("ended", record.ended_at_ms),
        ("expires", None if state.is_terminal else record.expires_at_ms),
        ("kept_until", record.kept_until_ms),
    ]
    return [Moment(what, at_ms) for what, at_ms in moments if at_ms is not None]


def what_is_next(facts: Facts, units: UnitCounts) -> Iterable[str]:
    """Yield what happens next, in words, the soonest first."""
    record, states = facts.record, facts.states
    if record.state.is_terminal:
        yield from _after_the_end(facts)
        return
    if record.state.may(JobAction.RESUME):
        yield f"Let it go on: seqd jobs resume {record.job_id}"
    else:
        up = {status.worker for status in facts.workers}
        lost = [unit for unit in states.held if unit.worker not in up]
        for name in sorted(facts.unheard.keys() & states.workers.keys())[:1]:
            yield (
                f"{name} has not been heard of for {span(facts.unheard[name])}, as while it "
                "computes without letting its other threads run. It keeps its units, and is ended "
                "if it stays silent until its SEQD_MAX_SILENT_S."
            )
        yield from _leases_that_run_out(lost, facts)
        if states.next_due_s is not None:
            yield f"The first unit that backs off is claimable again in {span(states.next_due_s)}."
        goes_on = not lost and _has_holder(facts)
        if units.in_hand and not units.waiting and goes_on and record.sealed:
            held = units.in_hand
            yield f"It ends when the {counted(held, 'unit')} in hand {are(held)} done."
    if record.expires_at_ms is not None:
        in_s = max(0.0, (record.expires_at_ms - states.now_ms) / 1000)
        yield f"It expires in {span(in_s)} unless it has ended; undone items then get `expired`."


def _leases_that_run_out(lost: Sequence[HeldUnit], facts: Facts) -> Iterable[str]:
    """Say what becomes of units whose workers are not heard of, of the one that is first."""
    ends = [(unit.lease_left_s, unit) for unit in lost if unit.lease_left_s is not None]
    for end_s, unit in sorted(ends, key=lambda end: end[0])[:1]:
        lease = f"The lease of unit {unit.unit} on {unit.worker}"
        then = "another worker takes it" if facts.able else "it waits for a worker that can run it"
        if engine_of(facts.record.job):
            then = f"the job fails, unless {unit.worker} has renewed it"
        if end_s > 0:
            yield f"{lease} runs out in {span(end_s)}; then {then}."
        elif facts.no_writes is None and facts.workers and end_s > -RELEASED_WITHIN_S:
            yield f"{lease} ran out {span(-end_s)} ago: a worker releases it soon; then {then}."
        else:
            yield (
                f"{lease} ran out {span(-end_s)} ago, and no worker has released it: "
                f"{_unreleased(facts)}."
            )


def _unreleased(facts: Facts) -> str:
    """Return why nobody releases a unit whose lease is over."""
    if facts.no_writes is not None:
        return "Redis takes no writes"
    return "see the logs of workers for `reconciler`" if facts.workers else "none is up that could"


def _after_the_end(facts: Facts) -> Iterable[str]:
    record, now_ms = facts.record, facts.states.now_ms
    if record.continued_by is not None:
        yield f"Job {record.continued_by} continues it: seqd explain {record.continued_by}"
    elif rest := rest_told(record):
        yield rest
    if record.kept_until_ms is not None:
        in_s = max(0.0, (record.kept_until_ms - now_ms) / 1000)
        yield f"It is kept for {span(in_s)} at most, then it is removed with its results."


def _in_hand(unit: HeldUnit, facts: Facts) -> UnitInHand:
    status = next((one for one in facts.workers if one.worker == unit.worker), None)
    return UnitInHand(
        unit.unit,
        unit.worker,
        unit.attempt,
        held_s=None if status is None else held_s(status, facts),
        lease_left_s=unit.lease_left_s,
        is_worker_up=status is not None,
        is_renewed=unit.worker in facts.unheard,
    )


def _tried_again(unit: TriedUnit) -> UnitTriedAgain:
    death = unit.death
    return UnitTriedAgain(
        unit=unit.unit,
        attempts=unit.attempts,
        crashes=unit.crashes,
        released=unit.released,
        released_by=unit.released_by,
        death_cause=None if death is None else death.cause.value,
        death_message=None if death is None else death.message,
        due_in_s=unit.due_in_s,
        held_by=unit.held_by,
    )
