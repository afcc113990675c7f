"""What is said of an action on all jobs that match filters."""

from collections import Counter
from collections.abc import Iterator

from seqd.client.many_jobs import JobCount, JobsActedOn, past_of
from seqd.views.numbers import count, counted
from seqd_schemas import JobAction


def states_told(found: JobCount) -> str:
    """Return how many of the counted jobs are in each state, such as `3 queued, 1 running`."""
    states = Counter[str]()
    for group, number in found.groups.items():
        states[group.state] += number
    return ", ".join(f"{count(number)} {state}" for state, number in states.most_common())


def done_told(done: JobsActedOn) -> str:
    """Return on how many jobs it was done, in a sentence."""
    past = past_of(JobAction(done.action))
    if not done.acted_on:
        return f"No job was {past}."
    return f"{counted(done.acted_on, 'job')} {'was' if done.acted_on == 1 else 'were'} {past}."


def refused_told(done: JobsActedOn) -> Iterator[str]:
    """Yield for each reason how many jobs stayed as they are, in a sentence."""
    for reason, number in done.refused.most_common():
        job_id, sentence = done.first_refused[reason]
        as_before = "as it is" if number == 1 else "as they are"
        stayed = f"{counted(number, 'job')} stayed {as_before} ({reason})"
        yield f"{stayed}, such as {job_id}: {sentence}"
