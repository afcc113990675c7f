"""Counting the jobs that match a filter, and steering each of them, as exchanges.

Both faces of the client run these. They walk an index on the server in bounded steps. What was done
stays done where the walk is stopped: called again, it goes on with the others.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from seqd.client.job import JobSteps
from seqd.errors import REDIS_ERRORS, InvalidRequest, SeqdError, UnknownJob, wire_text
from seqd.ledger import LedgerParts
from seqd.ledger.audit import ALL_JOBS, is_refusal
from seqd.ledger.exchange import Exchange
from seqd.ledger.job_filter import ANY_JOB, JobFilter, JobFilters, job_filter
from seqd.ledger.many_jobs import JobGroup, Selection
from seqd.ledger.outage import waiting_at_most
from seqd.local.caller import caller
from seqd.validation import shown
from seqd_schemas import JobAction, JobState

if TYPE_CHECKING:
    from seqd.client.sending import Sender

#: Groups that a count tells apart; jobs of further ones are counted in the total alone.
MOST_GROUPS: Final = 1_000

#: Seconds for which a walk that is stopped waits for a Redis that is away, to have it written down.
_NOTE_WAIT_S: Final = 2.0

#: What jobs were left as they are for, where it is not the code of an error.
CONTINUED: Final = "continued"


@dataclass(slots=True)
class JobCount:
    """How many jobs match a filter, of those that were there when the count began."""

    #: What they are counted for: `cancel`, `pause`, `resume`, `retry` or `remove`.
    action: str
    #: How many it would act on.
    jobs: int = 0
    #: Jobs that were looked at.
    looked_at: int = 0
    #: The same by state, model and tenant, the first 1,000 kinds.
    groups: dict[JobGroup, int] = field(default_factory=dict)
    #: Until when they were accepted, in milliseconds of the server's clock.
    until_ms: int = 0


@dataclass(slots=True)
class JobsActedOn:
    """What was done to the jobs that match a filter."""

    action: str
    #: Jobs that were cancelled, paused, resumed, retried or removed.
    acted_on: int = 0
    #: Jobs that were looked at.
    looked_at: int = 0
    #: Jobs that went while the walk came to them.
    gone: int = 0
    #: Jobs that were left as they are, by reason: the code of an error, or `continued`.
    refused: Counter[str] = field(default_factory=Counter)
    #: Of each reason the first job, and a sentence.
    first_refused: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, int]:
        """The numbers, for the audit: on how many it was done, and of what else there was any."""
        others = {"gone": self.gone, "refused": self.refused.total()}
        return {"acted_on": self.acted_on, **{name: n for name, n in others.items() if n}}

    def refuse(self, job_id: str, reason: str, sentence: str) -> None:
        """Count a job that was left as it is."""
        self.refused[reason] += 1
        self.first_refused.setdefault(reason, (job_id, sentence))


OnCounted = Callable[[JobCount], object]
OnActed = Callable[[JobsActedOn], object]


def selection_of(action: str, filters: JobFilters, *, every: bool) -> Selection:
    """Return what an action is for. Raises InvalidRequest where nothing can match, or all would."""
    if action not in tuple(JobAction):
        known = ", ".join(JobAction)
        raise InvalidRequest(f"action is {shown(action)}; allowed: {known}.")
    does, wanted = JobAction(action), job_filter(filters)
    if every and wanted != ANY_JOB:
        raise InvalidRequest(f"every=True means all jobs: leave the filters out, or do not {does}.")
    if wanted == ANY_JOB and not every:
        raise InvalidRequest(
            f"No filter is given, so all jobs would be meant. Give one, such as tenant='acme', or "
            f"every=True to {does} all."
        )
    return _narrowed(does, wanted)


def _narrowed(action: JobAction, wanted: JobFilter) -> Selection:
    """Keep the states in which there is something to do."""
    able = _states_for(action)
    states = wanted.states & able if wanted.states else able
    if not states:
        named = ", ".join(sorted(wanted.states))
        raise InvalidRequest(
            f"A job that is {named} cannot be {past_of(action)}; allowed states: "
            f"{', '.join(sorted(able))}."
        )
    return Selection(action, replace(wanted, states=frozenset(states)))


def _states_for(action: JobAction) -> frozenset[str]:
    return frozenset(state.value for state in JobState if state.may(action))


def _in_words(selection: Selection) -> str:
    """Return a filter in a line, without the states where those are all that the action takes."""
    wanted, able = selection.wanted, _states_for(selection.action)
    if wanted.states == able:
        wanted = replace(wanted, states=frozenset())
    return wanted.in_words or ALL_JOBS


def past_of(action: JobAction) -> str:
    """Return what jobs are afterwards: `cancelled`."""
    return {"cancel": "cancelled", "retry": "retried"}.get(action, f"{action.value.rstrip('e')}ed")


def jobs_counted(
    ledger: LedgerParts, selection: Selection, on_step: OnCounted | None = None
) -> Exchange[JobCount]:
    """Return how many jobs match; see `Client.count_jobs`."""
    found, cursor = JobCount(selection.action.value), b""
    while True:
        step = yield from ledger.many_jobs.count.steps(selection, cursor)
        selection = replace(selection, until_ms=step.until_ms)
        found.until_ms, cursor = step.until_ms, step.cursor
        found.looked_at += step.looked_at
        for group, count in step.groups.items():
            found.jobs += count
            if group in found.groups or len(found.groups) < MOST_GROUPS:
                found.groups[group] = found.groups.get(group, 0) + count
        if on_step is not None:
            on_step(found)
        if not cursor:
            return found


def jobs_acted_on(
    ledger: LedgerParts,
    sender: "Sender",
    selection: Selection,
    until_ms: int | None = None,
    on_step: OnActed | None = None,
) -> Exchange[JobsActedOn]:
    """Act on all jobs that match and were accepted until a time; see `Client.cancel_jobs`."""
    if until_ms is None:
        until_ms = yield from ledger.fleet.now_ms.steps()
    selection = replace(selection, until_ms=until_ms)
    action, target = f"jobs.{selection.action}", _in_words(selection)
    done = JobsActedOn(selection.action.value)
    yield from ledger.audit.note.steps(action, target)
    try:
        yield from _walk(ledger, sender, selection, done, on_step)
    except GeneratorExit:  # nothing can be written down any more
        raise
    except SeqdError as error:
        if is_refusal(error):
            yield from ledger.audit.note.steps(action, target, done.figures, "stopped")
        raise
    except (
        BaseException
    ):  # whoever interrupts or cancels it waits for no outage, and is told of none
        with suppress(SeqdError), waiting_at_most(_NOTE_WAIT_S):
            yield from ledger.audit.note.steps(action, target, done.figures, "stopped")
        raise
    yield from ledger.audit.note.steps(action, target, done.figures, "done")
    return done


def _walk(
    ledger: LedgerParts,
    sender: "Sender",
    selection: Selection,
    done: JobsActedOn,
    on_step: OnActed | None,
) -> Exchange[None]:
    by = wire_text(f"{caller()}, with all that match {_in_words(selection)}")[:500]
    cursor = b""
    while True:
        step = yield from ledger.many_jobs.act.steps(selection, cursor, by)
        cursor = step.cursor
        done.looked_at += step.looked_at
        done.gone += step.gone
        for job_id, why in step.refused.items():
            _refuse(done, job_id, why)
        if selection.action is JobAction.RETRY:
            # One after the other, each with all of its input.
            for job_id in step.jobs:
                try:
                    record = yield from JobSteps[object](ledger, job_id).record()
                    sent = yield from sender.retry(record)
                    yield from sent.steps.uploaded()
                except UnknownJob:
                    done.gone += 1
                except REDIS_ERRORS:  # the next one would meet the same
                    raise
                except SeqdError as error:
                    done.refuse(job_id, error.code, str(error))
                else:
                    done.acted_on += 1
                if on_step is not None:
                    on_step(done)
        else:
            done.acted_on += len(step.jobs)
        if on_step is not None:
            on_step(done)
        if not cursor:
            return


def _refuse(done: JobsActedOn, job_id: str, why: str) -> None:
    what, _, other = why.partition(" ")
    if what == CONTINUED:
        sentence = f"Job {other} continues it, has not ended, and needs what is kept of it."
        done.refuse(job_id, what, sentence)
    else:  # it ended, or began again, between two looks of one script: not today
        done.refuse(job_id, "wrong_state", f"It is {what}.")
