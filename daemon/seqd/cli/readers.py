"""How what is typed for an option is read: numbers, names, moments, pairs, parameters of a model.

What cannot be read is refused before anything else of the command is done: InvalidRequest says what
is allowed.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import typer

from seqd.errors import InvalidParameters, InvalidRequest, UserError

if TYPE_CHECKING:
    from seqd_schemas import ParameterValue

#: A time span; of a moment, so long ago.
_AGO = re.compile(r"([0-9]{1,6})([smhd])")
_SPANS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LONGEST_SPAN = timedelta(days=3_660)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the value of an option, which it takes by name; raises InvalidRequest."""

    read: Callable[[str, str], object]
    #: What stands for the value in the help.
    metavar: str


def typed(*names: str, by: Reader, **described: Any) -> Any:
    """Return an option of typer whose value is what a reader makes of its first name and a text."""
    parser = lambda text: by.read(names[0], str(text))  # noqa: E731
    return typer.Option(*names, parser=parser, **{"metavar": by.metavar} | described)


def whole(least: int, most: int, unit: str = " numbers", in_words: str = "") -> Reader:
    """Return the reader of whole numbers within bounds."""

    def read(option: str, text: str) -> int:
        # At most as many digits as the largest: Python refuses to read some thousands.
        is_whole = text.isascii() and text.isdigit() and len(text) <= len(str(most))
        if not is_whole or not least <= int(text) <= most:
            raise InvalidRequest(
                f"{option} is {text!r}; allowed: whole{unit}, {least:,} to {most:,}{in_words}"
            )
        return int(text)

    return Reader(read, "SECONDS" if unit == " seconds" else "N")


def number(least: float, most: float, allowed: str, metavar: str = "NUMBER") -> Reader:
    """Return the reader of numbers within bounds; `allowed` says which."""

    def read(option: str, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:  # as of nan, too
            raise InvalidRequest(f"{option} is {text!r}; allowed: {allowed}")
        return value

    return Reader(read, metavar)


def seconds(least: float, most: float) -> Reader:
    """Return the reader of a time in seconds, which need not be whole."""
    return number(least, most, f"{least:,} to {most:,} seconds", "SECONDS")


def one_of(*names: str) -> Reader:
    """Return the reader of a name."""
    return Reader(lambda option, text: choice(option, text, names), "NAME")


def choice(option: str, text: str, allowed: Iterable[str]) -> str:
    """Return a name when it is allowed."""
    names = list(allowed)
    if text not in names:
        raise InvalidRequest(f"{option} is {text!r}; allowed: {', '.join(names)}")
    return text


def _moment(option: str, text: str) -> datetime:
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            span = timedelta(**{_SPANS[ago[2]]: int(ago[1])})
            return datetime.now().astimezone() - span
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f"{option} is {text!r}; allowed: a span back from now (30m, 2h, 7d), a day "
            "(2026-11-26), or a time (2026-11-26T10:00)"
        ) from None


def _span(option: str, text: str) -> timedelta:
    given = _AGO.fullmatch(text)
    span = timedelta() if given is None else timedelta(**{_SPANS[given[2]]: int(given[1])})
    if not timedelta() < span <= _LONGEST_SPAN:
        raise InvalidRequest(
            f"{option} is {text!r}; allowed: a span such as 30m, 12h or 90d, at most "
            f"{_LONGEST_SPAN.days}d"
        )
    return span


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(
            f"{option} is {text!r}; allowed: a day as YYYY-MM-DD, such as 2026-11-01"
        ) from None


#: Reads a moment: so long ago, or a day or time.
moment = Reader(_moment, "TIME")

#: Reads how long something is to last.
span = Reader(_span, "SPAN")

#: Reads a day.
day = Reader(_day, "DAY")


def pairs(
    given: Iterable[str] | None,
    wrong: str,
    twice: str,
    *,
    may_be_empty: bool = True,
    error: type[UserError] = InvalidRequest,
) -> dict[str, str]:
    """Return values by name of texts such as `NAME=VALUE`.

    Raises `error`: it says what is `wrong` with a text, which stands for `{0!r}` there, and which
    name was given `twice`, for `{0}`.
    """
    found: dict[str, str] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not name or not equals or not (value or may_be_empty):
            raise error(wrong.format(text))
        if name in found:
            raise error(twice.format(name))
        found[name] = value
    return found


def notes(given: Iterable[str] | None) -> dict[str, str]:
    """Return the notes of `--metadata`."""
    return pairs(
        given,
        "--metadata is {0!r}; allowed: KEY=VALUE, such as batch=2026-11",
        "--metadata has {0!r} twice; give it once",
    )


def parameters(
    given: Iterable[str] | None, named: "Mapping[str, ParameterValue] | None" = None
) -> "dict[str, ParameterValue]":
    """Return parameters of a model. A value is JSON (5, 0.2, true, [0.2,0.5]), or else a text.

    `named` are options that stand for one, and win where they are not None. Raises
    InvalidParameters, also for an object.
    """
    texts = pairs(
        given,
        "{0!r} is no parameter; allowed: NAME=VALUE, such as length=200",
        "parameter {0!r} is given twice; give it once",
        error=InvalidParameters,
    )
    values = {name: parameter(name, text) for name, text in texts.items()}
    return values | {name: value for name, value in (named or {}).items() if value is not None}


def parameter(name: str, text: str) -> "ParameterValue":
    """Return one value: JSON, or else a text. Raises InvalidParameters for an object."""
    from seqd.parameters import read_value

    value = read_value(text)
    if isinstance(value, dict):
        raise InvalidParameters(
            f"parameter {name!r} is an object; allowed: a number, a text, true, false, null, or "
            "a list of these"
        )
    return value


def grid(given: Iterable[str]) -> "dict[str, list[ParameterValue]]":
    """Return the values to try of each parameter, `NAME=V1,V2,...`; each is read as `parameter`.

    Raises InvalidParameters, also for an object among values.
    """
    texts = pairs(
        given,
        "{0!r} is no list of values; allowed: NAME=V1,V2, such as embedding_dim=8,16,32",
        "parameter {0!r} is given twice; give all its values together, as {0}=V1,V2",
        may_be_empty=False,
        error=InvalidParameters,
    )
    return {name: _values(name, text) for name, text in texts.items()}


def _values(name: str, text: str) -> "list[ParameterValue]":
    try:
        values = json.loads(f"[{text}]")
    except ValueError:
        values = [parameter(name, part) for part in text.split(",")]
    if any(isinstance(value, dict) for value in values):
        raise InvalidParameters(
            f"parameter {name!r} has an object among its values; allowed: numbers, texts, true, "
            "false, null, and lists of these"
        )
    return list(values)
