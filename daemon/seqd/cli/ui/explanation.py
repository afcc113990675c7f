"""An explanation of a job for people: the answer first, then what it stands on."""

from collections.abc import Iterable, Sequence

from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_facts
from seqd.client.explaining.records import (
    Explanation,
    ItemExplanation,
    Moment,
    UnitInHand,
    UnitTriedAgain,
    WorkerAnswer,
)
from seqd.escaping import one_line
from seqd.views.numbers import clock, count, counted
from seqd.wording import span

#: Lines of one kind that are printed at most; `--json` has them all.
_MOST_LINES = 10

#: Moments that are called otherwise than in JSON.
_MOMENTS = {
    "started": "first claim",
    "progress": "last progress",
    "kept_until": "kept until",
}


def print_explanation(screen: Screen, found: Explanation) -> None:
    """Print an explanation: the headline, the item, the facts, the reasons, what is next."""
    screen.say(one_line(found.headline), "bold")
    if found.item is not None:
        _print_item(screen, found.item)
    screen.say()
    print_facts(
        screen,
        {
            "job": _job(found),
            **_times(found.timeline),
            "units": _units(found),
            "errors": _errors(found),
        },
    )
    reasons = [_sentence(reason.message) for reason in found.waits_for]
    _print_lines(screen, "Waits for", reasons)
    _print_lines(
        screen, "In hand", [_held(unit, found) for unit in found.in_hand], found.units.in_hand
    )
    tried = [_tried(unit) for unit in found.tried_again]
    _print_lines(screen, "Units tried again", tried, max(len(tried), found.units.tried_again))
    answers = [_answer(answer) for answer in found.workers]
    _print_lines(screen, _fleet(found), answers, found.workers_up)
    _print_lines(screen, "Next", list(found.next))


def _print_item(screen: Screen, item: ItemExplanation) -> None:
    named = f"Item {item.custom_id}" + (f", number {count(item.number)}" if item.number else "")
    screen.say()
    state = item.state.replace("_", " ")
    screen.say(one_line(f"{named}: {state}. {item.message}"), "bold")
    facts = {
        "unit": item.unit,
        "attempts": count(item.attempts) if item.attempts else None,
        "crashes": count(item.crashes) if item.crashes else None,
        "last death": one_line(_death(item.death_cause, item.death_message)),
        "version": ", ".join(map(str, item.versions)),
        "looked at": counted(item.units_read, "unit"),
    }
    print_facts(screen, facts)


def _job(found: Explanation) -> str:
    return f"{found.kind} {found.model}, tenant {found.tenant}, priority {found.priority}"


def _errors(found: Explanation) -> str:
    """Return the items that failed by code, and where all of them are; '' without any."""
    if not found.errors:
        return ""
    told = ", ".join(f"{one_line(code, 64)} {count(n)}" for code, n in found.errors.items())
    return f"{told}. See: seqd failures list --job {found.job_id}"


def _times(moments: Iterable[Moment]) -> dict[str, str]:
    return {_MOMENTS.get(moment.what, moment.what): clock(moment.at_ms) for moment in moments}


def _units(found: Explanation) -> str:
    units = found.units
    parts = [f"{count(units.done)} of {count(units.known)} done"]
    names = ("in_hand", "waiting", "backing_off", "tried_again")
    words = ("in hand", "waiting", "backing off", "claimed again")
    for name, word in zip(names, words, strict=True):
        if number := getattr(units, name):
            parts.append(f"{count(number)} {word}")
    if not units.is_input_complete and not found.state.is_terminal:
        parts.append("more may come")
    if units.is_partial:
        parts.append("counted of the first 10,000")
    return ", ".join(parts)


def _print_lines(
    screen: Screen, title: str, lines: Sequence[str], total: int | None = None
) -> None:
    """Print lines under a title, and how many more there are; nothing without any."""
    if not lines:
        return
    screen.say()
    screen.say(title, "dim")
    for line in lines[:_MOST_LINES]:
        screen.say(f"- {one_line(line)}")
    more = (len(lines) if total is None else total) - min(len(lines), _MOST_LINES)
    if more > 0:
        screen.say(f"- and {count(more)} more")


def _sentence(text: str) -> str:
    """Return a text as a sentence; one that begins with a name, such as `cpu:0@h1`, keeps that."""
    first = text[:1].upper() if text.partition(" ")[0].isalpha() else text[:1]
    return f"{first}{text[1:].rstrip('.')}."


def _held(unit: UnitInHand, found: Explanation) -> str:
    since = unit.held_s
    held = "" if since is None else f" for {span(since)}"
    silent = "computes and reports nothing" if unit.is_renewed else "is not heard of any more"
    silent = silent if found.takes_no_writes is None else "cannot report"
    gone = f", which {silent}" if unit.is_renewed or not unit.is_worker_up else ""
    attempt = f", attempt {count(unit.attempt)}" if unit.attempt > 1 else ""
    return f"unit {unit.unit}: {unit.worker}{held}{gone}{attempt}{_lease(unit.lease_left_s)}"


def _lease(left_s: float | None) -> str:
    if left_s is None:
        return ""
    return f", lease for {span(left_s)} more" if left_s > 0 else f", lease over for {span(-left_s)}"


def _tried(unit: UnitTriedAgain) -> str:
    parts = [f"unit {unit.unit}: {counted(unit.attempts, 'attempt')}"]
    if unit.crashes:
        parts.append(f"a worker died or went silent with it {_times_of(unit.crashes)}")
    if unit.released:
        parts.append(f"released {_times_of(unit.released)}, last by {unit.released_by}")
    if unit.due_in_s is not None:
        parts.append(f"again in {span(unit.due_in_s)}")
    if unit.held_by is not None:
        parts.append(f"now with {unit.held_by}")
    death = _death(unit.death_cause, unit.death_message)
    return f"{', '.join(parts)}{f'. Last death: {death}' if death else ''}"


def _times_of(number: int) -> str:
    return "once" if number == 1 else f"{count(number)} times"


def _death(cause: str | None, message: str | None) -> str:
    return "" if cause is None else f"{cause.replace('_', ' ')}: {message}"


def _fleet(found: Explanation) -> str:
    up = counted(found.workers_up, "worker")
    verb = "is" if found.workers_up == 1 else "are"
    return f"Of {up} that {verb} up, {found.workers_able:,} can run it"


def _answer(answer: WorkerAnswer) -> str:
    return f"{answer.worker}: {answer.message}"
