"""What is said of an explanation of a job: what it stands on, under titles, and its item."""

from collections.abc import Sequence
from dataclasses import dataclass

from seqd.client.explaining.records import (
    Explanation,
    ItemExplanation,
    UnitInHand,
    UnitTriedAgain,
)
from seqd.escaping import one_line
from seqd.views.numbers import clock, count, counted
from seqd.wording import span

#: Lines of one kind that are shown at most; JSON has them all.
_MOST_LINES = 10

#: Moments that are called otherwise than in JSON.
_MOMENTS = {
    "started": "first claim",
    "progress": "last progress",
    "kept_until": "kept until",
}


@dataclass(frozen=True, slots=True)
class Section:
    """Lines of one kind, and how many more there are."""

    title: str
    lines: Sequence[str]
    more: int


def explanation_facts(found: Explanation) -> dict[str, str]:
    """Return the facts that an explanation begins with, by name; '' where that is nothing."""
    return {
        "job": f"{found.kind} {found.model}, tenant {found.tenant}, priority {found.priority}",
        **{_MOMENTS.get(one.what, one.what): clock(one.at_ms) for one in found.timeline},
        "units": units_told(found),
        "errors": _errors(found),
    }


def sections_of(found: Explanation) -> list[Section]:
    """Return what a job waits for, who has its units, who could run it, and what is next."""
    tried = [_tried(unit) for unit in found.tried_again]
    listed = (
        ("Waits for", [_sentence(reason.message) for reason in found.waits_for], None),
        ("In hand", [_held(unit, found) for unit in found.in_hand], found.units.in_hand),
        ("Units tried again", tried, max(len(tried), found.units.tried_again)),
        (
            _fleet(found),
            [f"{one.worker}: {one.message}" for one in found.workers],
            found.workers_up,
        ),
        ("Next", found.next, None),
    )
    return [_section(title, lines, total) for title, lines, total in listed if lines]


def item_told(item: ItemExplanation) -> str:
    """Return where an item stands, in a line."""
    named = f"Item {item.custom_id}" + (f", number {count(item.number)}" if item.number else "")
    return one_line(f"{named}: {item.state.replace('_', ' ')}. {item.message}")


def item_facts(item: ItemExplanation) -> dict[str, str | None]:
    """Return what there is to say of an item, by name; '' or None where that is nothing."""
    return {
        "unit": item.unit,
        "attempts": count(item.attempts) if item.attempts else None,
        "crashes": count(item.crashes) if item.crashes else None,
        "last death": one_line(_death(item.death_cause, item.death_message)),
        "version": ", ".join(map(str, item.versions)),
        "looked at": counted(item.units_read, "unit"),
    }


def units_told(found: Explanation) -> str:
    """Return how many units of a job stand where."""
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


def _section(title: str, lines: Sequence[str], total: int | None) -> Section:
    shown = lines[:_MOST_LINES]
    more = (len(lines) if total is None else total) - len(shown)
    return Section(title, [one_line(line) for line in shown], max(0, more))


def _errors(found: Explanation) -> str:
    """Return the items that failed by code, and where all of them are; '' without any."""
    if not found.errors:
        return ""
    told = ", ".join(f"{one_line(code, 64)} {count(n)}" for code, n in found.errors.items())
    return f"{told}. See: seqd failures list --job {found.job_id}"


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
