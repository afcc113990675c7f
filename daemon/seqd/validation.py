"""What pydantic found wrong, in words: the one place where a ValidationError becomes a sentence.

    units is 0: Input should be greater than or equal to 1

Says what arrived, where, and what is allowed. What to do about it is the caller's to add.
"""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pydantic import ValidationError

#: Longest value that a message shows, in characters.
_SHOWN_CHARS = 200


class Fault(NamedTuple):
    """One thing that is wrong."""

    #: Where: `source.path`, `items.3.text`; "" for the whole, as of fields that do not go together.
    place: str
    #: What arrived, as Python writes it, cut short; None where nothing did, or for the whole.
    value: str | None
    #: What is allowed: pydantic's sentence, without a full stop.
    allowed: str
    #: pydantic's name of the rule, such as `missing`.
    rule: str


def faults_of(error: "ValidationError") -> tuple[Fault, ...]:
    """Return all that is wrong, at least one fault, in the order of the fields."""
    return tuple(
        Fault(
            place=".".join(str(part) for part in one["loc"]),
            value=shown(one["input"]) if one["loc"] and one["type"] != "missing" else None,
            allowed=one["msg"].removeprefix("Value error, "),
            rule=one["type"],
        )
        for one in error.errors(include_url=False, include_context=False)
    )


def fault_sentence(
    error: "ValidationError", *, noun: str = "", whole: str = "", shows_value: bool = True
) -> str:
    """Return what is wrong first, in words, without a full stop.

    `noun` is what the fields are called: `parameter` makes `parameter 'units' is 0: …`. `whole`
    is said in the place of a field where none is to blame. A log line needs no value of a
    stranger's: `shows_value=False` leaves it out.
    """
    fault = faults_of(error)[0]
    if not fault.place:
        return f"{whole}: {fault.allowed}" if whole else fault.allowed
    place = f"{noun} {fault.place!r}" if noun else fault.place
    if fault.value is None or not shows_value:
        return f"{place}: {fault.allowed}"
    return f"{place} is {fault.value}: {fault.allowed}"


def shown(value: object) -> str:
    """Return a value as Python writes it, in printable characters, cut to 200 of them."""
    try:
        text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    except ValueError:  # a number of more than 4,300 digits
        return f"of type {type(value).__name__} and too long to show"
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
