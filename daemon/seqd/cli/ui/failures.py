"""Dead letters as people read them: groups with one cause, one in full, and what a replay did."""

from collections.abc import Sequence

from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_facts
from seqd.client.failures import FailureGroup, FailureGroups, ReplayedJob
from seqd.escaping import one_line, printable
from seqd.kinds import kind_of_task
from seqd.views.failures import MAX_MESSAGE_CHARS, code_of, failure_facts, items_of, model_ref_of
from seqd.views.jobs import OF_THE_TEXT
from seqd.views.numbers import age, count, counted
from seqd_schemas import FailureRecord, FailureScope, Item

MAX_INPUT_CHARS = 2_000

#: Jobs that a replay names.
_MAX_NAMED_JOBS = 20


def print_groups(
    screen: Screen, groups: FailureGroups, by: str, limit: int, now_ms: int, *, is_filtered: bool
) -> None:
    """Print groups of dead letters, that with the most items first."""
    listed = groups.listed()
    if not listed:
        _say_none(screen, is_filtered=is_filtered)
        return
    noun = "cause" if by == "failure" else by
    screen.say(
        f"{counted(len(listed), noun)}, {counted(groups.items, 'failed item')}, "
        f"{counted(groups.jobs, 'job')}",
        "bold",
    )
    for group in listed[:limit]:
        screen.say()
        _print_group(screen, group, by, now_ms)
    if len(listed) > limit:
        screen.say()
        screen.say(f"{count(len(listed) - limit)} more: say -n {len(listed)}", "dim")


def _say_none(screen: Screen, *, is_filtered: bool) -> None:
    screen.say(f"There are no dead letters{' that match' if is_filtered else ''}.")


def print_failures(
    screen: Screen, records: Sequence[FailureRecord], now_ms: int, *, is_filtered: bool
) -> None:
    """Print dead letters one by one."""
    if not records:
        _say_none(screen, is_filtered=is_filtered)
        return
    for record in records:
        again = f", tried again by {record.replayed_by}" if record.replayed_by else ""
        screen.say(
            f"{record.id}  {code_of(record)}  job {record.job_id}: {items_of(record)}, "
            f"{model_ref_of(record)}, {age(record.at_ms, now_ms)} ago{again}",
            "bold",
        )
        screen.say(f"  {one_line(record.message, MAX_MESSAGE_CHARS)}")


def print_failure(
    screen: Screen, record: FailureRecord, items: Sequence[Item], *, is_kept: bool
) -> None:
    """Print one dead letter in full, and what to do about it."""
    print_facts(screen, failure_facts(record))
    _print_input(screen, record, items, is_kept=is_kept)
    if record.traceback:
        screen.say()
        screen.say("traceback, in the plugin", "dim")
        for line in printable(record.traceback).splitlines():
            screen.say(line)
    screen.say()
    for line in _what_to_do(record, is_kept=is_kept):
        screen.say(line)


def say_plan(screen: Screen, ready: Sequence[ReplayedJob], *, current_version: bool) -> None:
    """Say what a replay will do."""
    items, letters = sum(one.items for one in ready), sum(len(one.failure_ids) for one in ready)
    version = "the version in service" if current_version else "the versions that failed"
    screen.say(
        f"{_of_jobs(items, len(ready))} ({counted(letters, 'dead letter')}) will be tried again on "
        f"{version}.{_left_out(items)}"
    )


def say_replayed(screen: Screen, jobs: Sequence[ReplayedJob], *, is_dry_run: bool) -> None:
    """Say what a replay did, or would do, and which jobs were left and why."""
    if not jobs:
        screen.say("No dead letter matches that was not replayed before (--again for those).")
        return
    left = [one for one in jobs if one.left_because]
    taken = [one for one in jobs if not one.left_because]
    if taken and is_dry_run:
        total = sum(one.items for one in taken)
        screen.say(f"{_of_jobs(total, len(taken))} would be tried again.{_left_out(total)}")
    for one in taken[:_MAX_NAMED_JOBS]:
        if one.new_job_id is None:
            items = f": {counted(one.items, 'item')}" if one.items else ""
            screen.say(f"Job {one.job_id}{items}")
        else:
            screen.say(f"What failed of job {one.job_id} is tried again by job {one.new_job_id}.")
    if len(taken) > _MAX_NAMED_JOBS:
        screen.say(f"and {counted(len(taken) - _MAX_NAMED_JOBS, 'more job')}")
    of_items = [one.job_id for one in taken if one.new_job_id and one.items]
    if of_items:  # trainings have none, and no results
        screen.say(f"The results of the whole: seqd jobs results {of_items[0]} --merged", "dim")
    for one in left[:_MAX_NAMED_JOBS]:
        screen.say(f"Job {one.job_id} was left: {one_line(one.left_because)}", "yellow")
    if len(left) > _MAX_NAMED_JOBS:
        screen.say(f"and {counted(len(left) - _MAX_NAMED_JOBS, 'more job')} left", "yellow")


def _of_jobs(items: int, jobs: int) -> str:
    """Return items with their jobs; jobs alone of trainings, which have no items."""
    of = f"{counted(items, 'item')} of " if items else ""
    return f"{of}{counted(jobs, 'job')}"


def _left_out(items: int) -> str:
    return " What has no readable text is left out." if items else ""


def _print_group(screen: Screen, group: FailureGroup, by: str, now_ms: int) -> None:
    when = f"last {age(group.last_at_ms, now_ms)} ago"
    if group.first_at_ms != group.last_at_ms:
        when = f"first {age(group.first_at_ms, now_ms)} ago, {when}"
    items = f"{counted(group.items, 'item')}, " if group.items else ""
    what = f"{items}{counted(group.jobs, 'job')}"
    if by == "failure":
        screen.say(f"{code_of(group)}  {group.task} {group.model}  {what}", "bold")
    else:
        screen.say(f"{group.name}  {what}", "bold")
    screen.say(f"  {one_line(group.message, MAX_MESSAGE_CHARS)}")
    again = f", {count(group.replayed)} tried again" if group.replayed else ""
    screen.say(f"  {when}, in {counted(group.entries, 'dead letter')}{again}", "dim")
    screen.say(f"  seqd failures show {group.example_id}", "dim")


def _print_input(
    screen: Screen, record: FailureRecord, items: Sequence[Item], *, is_kept: bool
) -> None:
    if record.scope is FailureScope.JOB:
        return
    screen.say()
    if items:
        screen.say(f"input of item {one_line(items[0].custom_id, 128)}", "dim")
        screen.say(one_line(items[0].text, MAX_INPUT_CHARS))
    elif not is_kept:
        screen.say("Its input is gone, since the job was removed.", "dim")
    elif record.code in OF_THE_TEXT:
        screen.say("The item held no text that could be read, so there is no input to show.", "dim")
    else:
        screen.say("Its input is not kept.", "dim")


def _what_to_do(record: FailureRecord, *, is_kept: bool) -> list[str]:
    if record.replayed_by is not None:
        return [f"It is tried again: seqd jobs show {record.replayed_by}"]
    if not is_kept:
        return ["The job is not kept any more: hand its input in again as a new job."]
    if record.code in OF_THE_TEXT:
        return [
            "The input is at fault: mend it, and hand it in again. For other texts under the same "
            "names see `retry` of the client."
        ]
    mended = "Once it is mended, try it again"
    if record.scope is FailureScope.JOB and kind_of_task(record.task).trains:
        return [f"{mended}: seqd failures replay {record.id}"]
    return [
        f"{mended}: seqd failures replay {record.id}",
        f"All with this code: seqd failures replay --code {record.code} --model {record.model}",
        "On the version that is in service by then: --current-version",
    ]
