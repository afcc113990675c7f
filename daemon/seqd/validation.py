"""What error messages say of a wrong value or name: what arrived, what is allowed, what was meant.

    units is 0: Input should be greater than or equal to 1

What to do about it is for the caller to add. Every ValidationError of pydantic becomes a sentence
here. Light to import.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

#: The names of models, plugins and tasks.
MODEL_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")

#: Longest value that a message shows, in characters.
_SHOWN_CHARS = 200


class Fault(NamedTuple):
    """One thing that is wrong."""

    #: Where: `source.path`, `items.3.text`; "" for the whole, as of fields that do not go together.
    field: str
    #: What arrived, as Python writes it, cut short; None where nothing did, or for the whole.
    value: str | None
    #: What is allowed: pydantic's sentence, without a full stop.
    allowed: str
    #: pydantic's name of the rule, such as `missing`.
    rule: str


def faults_of(error: "ValidationError") -> tuple[Fault, ...]:
    """Return all that is wrong, at least one fault, in the order of the fields.

    Unknown fields come first: the name of one that is missing may have been meant by them.
    """
    found = error.errors(include_url=False, include_context=False)
    missing = [one["loc"] for one in found if one["type"] == "missing"]
    found.sort(key=lambda one: one["type"] != "extra_forbidden")
    return tuple(
        Fault(
            field=".".join(str(part) for part in one["loc"]),
            value=shown(one["input"]) if one["loc"] and one["type"] != "missing" else None,
            allowed=_allowed(one, missing),
            rule=one["type"],
        )
        for one in found
    )


def _allowed(one: "ErrorDetails", missing: Iterable[tuple[int | str, ...]]) -> str:
    if one["type"] != "extra_forbidden":
        return one["msg"].removeprefix("Value error, ")
    place = one["loc"][:-1]
    beside = [str(loc[-1]) for loc in missing if loc[:-1] == place]
    lacks = f"; {listed(beside)} is missing" if beside else ""
    return f"there is no such field{lacks}"


def fault_sentence(
    error: "ValidationError", *, noun: str = "", whole: str = "", shows_value: bool = True
) -> str:
    """Return what is wrong first, in words, without a full stop.

    `noun` is what the fields are called: `parameter` makes `parameter 'units' is 0: …`. `whole`
    is the subject where no single field is to blame. `shows_value=False` leaves the value out, as
    a log should.
    """
    fault = faults_of(error)[0]
    if not fault.field:
        return f"{whole}: {fault.allowed}" if whole else fault.allowed
    field = f"{noun} {fault.field!r}" if noun else fault.field
    if fault.value is None or not shows_value:
        return f"{field}: {fault.allowed}"
    return f"{field} is {fault.value}: {fault.allowed}"


def shown(value: object) -> str:
    """Return a value as Python writes it, in printable characters, cut to 200 of them."""
    try:
        text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    except ValueError:  # a number of more than 4,300 digits
        return f"of type {type(value).__name__} and too long to show"
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def listed(names: Iterable[str]) -> str:
    """Return names joined for a sentence, sorted; `none` when there are none."""
    return ", ".join(sorted(names)) or "none"


def did_you_mean(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    """Return ` Did you mean 'x'?`, with the space, or nothing when no known name is similar.

    A `prefix` that all of them have makes none of them more similar.
    """
    import difflib  # 3 ms, paid only by a request that is wrong

    rests = sorted(other.removeprefix(prefix) for other in known)
    close = difflib.get_close_matches(name.removeprefix(prefix), rests, n=1, cutoff=0.6)
    return f" Did you mean {prefix + close[0]!r}?" if close else ""
