"""Dead letters as people read them: groups with one cause, and one in full."""

from collections.abc import Sequence

from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_facts
from seqd.client.failures import FailureGroup, FailureGroups
from seqd.escaping import one_line, printable
from seqd.views.failures import (
    MAX_INPUT_CHARS,
    MAX_MESSAGE_CHARS,
    code_of,
    failure_facts,
    groups_told,
    items_of,
    model_ref_of,
    what_to_do,
    why_no_input,
)
from seqd.views.numbers import age, count, counted
from seqd_schemas import FailureRecord, FailureScope, Item


def print_groups(
    screen: Screen, groups: FailureGroups, by: str, limit: int, now_ms: int, *, is_filtered: bool
) -> None:
    """Print groups of dead letters, that with the most items first."""
    listed = groups.listed()
    if not listed:
        _say_none(screen, is_filtered=is_filtered)
        return
    screen.say(groups_told(groups, "cause" if by == "failure" else by), "bold")
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
    for line in what_to_do(record, is_kept=is_kept):
        screen.say(line)


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
    else:
        screen.say(why_no_input(record, is_kept=is_kept), "dim")
