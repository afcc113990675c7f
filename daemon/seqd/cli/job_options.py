"""The options that each command has which hands a job in: those of the client's `JobOptions`.

Each is described and read once, here. `parameters` are the commands' own (`--set`): each names some
of them.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, NamedTuple, cast

import typer

from seqd.cli import completion
from seqd.cli.completion import Offer
from seqd.cli.options import MOST_SECONDS, read_expires_in, read_priority, read_whole, taking
from seqd.errors import InvalidRequest

if TYPE_CHECKING:
    from seqd.client import JobOptions

#: Heading of these options in the help of a command.
_PANEL = "The job"

#: Most units of a job that its caller may let run at once, as in the schema.
_MOST_UNITS = 1_000_000


class _JobOption(NamedTuple):
    """An option: what typer makes of it, its default, and what reads what was typed."""

    annotation: object
    default: object
    read: Callable[[object], object]


def _as_typed(value: object) -> object:
    return value


def _priority(value: object) -> object:
    return read_priority(str(value))


def _expires_in(value: object) -> object:
    return read_expires_in(cast(str | None, value))


def _results_ttl(value: object) -> object:
    return read_whole("--results-ttl", value, 60, MOST_SECONDS, " seconds", " (366 days)")


def _max_running_units(value: object) -> object:
    return read_whole("--max-running-units", value, 1, _MOST_UNITS)


def read_metadata(value: object) -> "dict[str, str] | None":
    """Read `KEY=VALUE` pairs; None without any. Raises InvalidRequest for a wrong pair."""
    notes: dict[str, str] = {}
    for pair in cast(Iterable[str], value or ()):
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise InvalidRequest(
                f"--metadata is {pair!r}; allowed: KEY=VALUE, such as batch=2026-11"
            )
        if key in notes:
            raise InvalidRequest(f"--metadata has {key!r} twice; give it once")
        notes[key] = text
    return notes or None


def _option(
    kind: object,
    *names: str,
    metavar: str | None = None,
    help: str,  # noqa: A002 - typer's word
    offers: Callable[[str], list[Offer]] | None = None,
) -> object:
    described = typer.Option(
        *names, metavar=metavar, help=help, rich_help_panel=_PANEL, autocompletion=offers
    )
    return Annotated[kind, described]


#: By their names in `JobOptions`, in the order of the help.
_OPTIONS: Mapping[str, _JobOption] = {
    "priority": _JobOption(
        _option(
            str,
            "--priority",
            help="Which work goes first: interactive, normal or bulk.",
            offers=completion.priorities,
        ),
        "normal",
        _priority,
    ),
    "tenant": _JobOption(
        _option(
            str | None,
            "--tenant",
            metavar="NAME",
            help="On whose account the job runs; `default` when left out.",
            offers=completion.tenants,
        ),
        None,
        _as_typed,
    ),
    "metadata": _JobOption(
        _option(
            list[str] | None,
            "--metadata",
            metavar="KEY=VALUE",
            help="A note of your own, of 16 at most; may be given again.",
        ),
        None,
        read_metadata,
    ),
    "job_id": _JobOption(
        _option(
            str | None,
            "--job-id",
            metavar="ID",
            help="The job's identifier: sent again with it, the job is made once.",
        ),
        None,
        _as_typed,
    ),
    "idempotency_key": _JobOption(
        _option(
            str | None,
            "--idempotency-key",
            metavar="KEY",
            help="The same request and input with the same key is the same job.",
        ),
        None,
        _as_typed,
    ),
    "expires_in_s": _JobOption(
        _option(
            str | None,
            "--expires-in",
            metavar="SECONDS",
            help="Seconds in which the job must end; then what is undone gets the error `expired`.",
        ),
        None,
        _expires_in,
    ),
    "results_ttl_s": _JobOption(
        _option(
            str | None,
            "--results-ttl",
            metavar="SECONDS",
            help="Seconds for which the ended job and its results are kept; a week when left out.",
        ),
        None,
        _results_ttl,
    ),
    "max_running_units": _JobOption(
        _option(
            str | None,
            "--max-running-units",
            metavar="N",
            help="Units that may be worked on at once; the operator's limit when left out.",
        ),
        None,
        _max_running_units,
    ),
    "durable": _JobOption(
        _option(
            bool | None,
            "--durable/--no-durable",
            help="Wait until the server has the job on its disk, where it can say so; or do not.",
        ),
        None,
        _as_typed,
    ),
}


def takes_job_options(
    *, priority: str = "normal"
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command these options; it gets them as `given`, a `JobOptions`, without those unset.

    Raises InvalidRequest, when the command is called, for a value that cannot be read.
    """

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        shared = {name: (one.annotation, one.default) for name, one in _OPTIONS.items()}
        shared["priority"] = (_OPTIONS["priority"].annotation, priority)
        return taking(command, "given", shared, _read)

    return decorated


def _read(typed: dict[str, object]) -> "JobOptions":
    values = {name: option.read(typed[name]) for name, option in _OPTIONS.items()}
    set_ones = {name: value for name, value in values.items() if value is not None}
    return cast("JobOptions", set_ones)
