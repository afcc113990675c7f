"""The options that each command has which hands a job in: those of the client's `JobOptions`.

`parameters` are the commands' own (`--set`): each names some of them. A command whose jobs can be
given more, such as `ClassifyOptions`, has a group of its own, which adds those.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated

import typer

from seqd.cli import completion, readers
from seqd.cli.options import takes

#: The longest time that a job may be given, as in the schema; its unit; the same in words.
_MOST_SECONDS = (366 * 24 * 3600, " seconds", " (366 days)")

_option = partial(typer.Option, rich_help_panel="The job")
_typed = partial(readers.typed, rich_help_panel="The job")


@dataclass(frozen=True, slots=True)
class TypedJob:
    """What was typed, by the names in `JobOptions`, in the order of the help."""

    priority: Annotated[
        str,
        _typed(
            "--priority",
            by=readers.one_of("interactive", "normal", "bulk"),
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
            help="A note on the job, such as batch=2026-11. May be given again, up to 16 times.",
        ),
    ] = None
    job_id: Annotated[
        str | None,
        _option(
            "--job-id",
            metavar="ID",
            help="The job's id. The same request sent again with it makes no second job.",
        ),
    ] = None
    idempotency_key: Annotated[
        str | None,
        _option(
            "--idempotency-key",
            metavar="KEY",
            help="A key of your own. The same request and input sent again with it makes no second"
            " job.",
        ),
    ] = None
    expires_in_s: Annotated[
        int | None,
        _typed(
            "--expires-in",
            by=readers.whole(1, *_MOST_SECONDS),
            help="Seconds within which the job must end. What is not done by then gets the error "
            "`expired`.",
        ),
    ] = None
    results_ttl_s: Annotated[
        int | None,
        _typed(
            "--results-ttl",
            by=readers.whole(60, *_MOST_SECONDS),
            help="Seconds for which the ended job and its results are kept; a week when left out.",
        ),
    ] = None
    max_running_units: Annotated[
        int | None,
        _typed(
            "--max-running-units",
            by=readers.whole(1, 1_000_000),
            help="Units of the job that may be worked on at once. Without it the operator's limit "
            "holds.",
        ),
    ] = None
    durable: Annotated[
        bool | None,
        _option(
            "--durable/--no-durable",
            help="Wait until the server has the job on its disk, where it can say so; or do not "
            "wait for that.",
        ),
    ] = None

    def read(self) -> dict[str, object]:
        """Return those that are given. Raises InvalidRequest for what is no note."""
        given = asdict(self) | {"metadata": readers.notes(self.metadata) or None}
        return {name: one for name, one in given.items() if one is not None}


@dataclass(frozen=True, slots=True)
class TypedItems(TypedJob):
    """The same of a job of items, by the names in `ItemOptions`."""

    expected_items: Annotated[
        int | None,
        readers.typed(
            "--expected-items",
            by=readers.whole(0, 2**53),
            help="Number of items that a pipe will have. Used for the time left alone.",
        ),
    ] = None
    output_folder: Annotated[
        str | None,
        typer.Option(
            "--output-folder",
            metavar="FOLDER",
            help="A folder into which the workers write the results, as they read the file, in the "
            "place of --out. They may where SEQD_INPUT_ROOTS and SEQD_OUTPUT_ROOTS allow it.",
        ),
    ] = None


def takes_job_options(
    group: type[TypedJob] = TypedJob, *, priority: str = "normal"
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command these options; it gets them as `given`, without those unset.

    Raises InvalidRequest, when the command is called, for a value that cannot be read.
    """
    return takes(group, "given", group.read, priority=priority)
