"""The options that each command has which hands a job in: those of the client's `JobOptions`.

`parameters` are the commands' own (`--set`): each names some of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from seqd.cli import completion
from seqd.cli.options import MOST_SECONDS, read_expires_in, read_priority, read_whole, takes
from seqd.errors import InvalidRequest

if TYPE_CHECKING:
    from seqd.client import JobOptions

#: Most units of a job that its caller may let run at once, as in the schema.
_MOST_UNITS = 1_000_000


def _option(*names: str, **described: Any) -> Any:
    return typer.Option(*names, rich_help_panel="The job", **described)


@dataclass(frozen=True, slots=True)
class _Typed:
    """What was typed, by the names in `JobOptions`, in the order of the help."""

    priority: Annotated[
        str,
        _option(
            "--priority",
            help="Which work goes first: interactive, normal or bulk.",
        ),
    ] = "normal"
    tenant: Annotated[
        str | None,
        _option(
            "--tenant",
            metavar="NAME",
            help="On whose account the job runs; `default` when left out.",
            autocompletion=completion.tenants,
        ),
    ] = None
    metadata: Annotated[
        list[str] | None,
        _option(
            "--metadata",
            metavar="KEY=VALUE",
            help="A note of your own, of 16 at most; may be given again.",
        ),
    ] = None
    job_id: Annotated[
        str | None,
        _option(
            "--job-id",
            metavar="ID",
            help="The job's identifier: sent again with it, the job is made once.",
        ),
    ] = None
    idempotency_key: Annotated[
        str | None,
        _option(
            "--idempotency-key",
            metavar="KEY",
            help="The same request and input with the same key is the same job.",
        ),
    ] = None
    expires_in_s: Annotated[
        str | None,
        _option(
            "--expires-in",
            metavar="SECONDS",
            help="Seconds in which the job must end; then what is undone gets the error `expired`.",
        ),
    ] = None
    results_ttl_s: Annotated[
        str | None,
        _option(
            "--results-ttl",
            metavar="SECONDS",
            help="Seconds for which the ended job and its results are kept; a week when left out.",
        ),
    ] = None
    max_running_units: Annotated[
        str | None,
        _option(
            "--max-running-units",
            metavar="N",
            help="Units that may be worked on at once; the operator's limit when left out.",
        ),
    ] = None
    durable: Annotated[
        bool | None,
        _option(
            "--durable/--no-durable",
            help="Wait until the server has the job on its disk, where it can say so; or do not.",
        ),
    ] = None

    def read(self) -> "JobOptions":
        """Return those that are given. Raises InvalidRequest for what cannot be read."""
        ttl = read_whole("--results-ttl", self.results_ttl_s, 60, MOST_SECONDS, *_SECONDS)
        units = read_whole("--max-running-units", self.max_running_units, 1, _MOST_UNITS)
        given = {
            "priority": read_priority(self.priority),
            "tenant": self.tenant,
            "metadata": read_metadata(self.metadata),
            "job_id": self.job_id,
            "idempotency_key": self.idempotency_key,
            "expires_in_s": read_expires_in(self.expires_in_s),
            "results_ttl_s": ttl,
            "max_running_units": units,
            "durable": self.durable,
        }
        return cast("JobOptions", {name: one for name, one in given.items() if one is not None})


#: What `read_whole` says of seconds.
_SECONDS = (" seconds", " (366 days)")


def takes_job_options(
    *, priority: str = "normal"
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command these options; it gets them as `given`, a `JobOptions`, without those unset.

    Raises InvalidRequest, when the command is called, for a value that cannot be read.
    """
    return takes(_Typed, "given", _Typed.read, priority=priority)


def read_metadata(pairs: list[str] | None) -> "dict[str, str] | None":
    """Read `KEY=VALUE` pairs; None without any. Raises InvalidRequest for a wrong pair."""
    notes: dict[str, str] = {}
    for pair in pairs or ():
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise InvalidRequest(
                f"--metadata is {pair!r}; allowed: KEY=VALUE, such as batch=2026-11"
            )
        if key in notes:
            raise InvalidRequest(f"--metadata has {key!r} twice; give it once")
        notes[key] = text
    return notes or None
