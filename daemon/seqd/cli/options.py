"""What commands share: options, each described once, and what they open."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from seqd.cli import completion, readers
from seqd.errors import StoreUnreachable, Unconfirmed
from seqd.escaping import printable

if TYPE_CHECKING:
    from seqd.client import Client
    from seqd.hookspecs import Model
    from seqd.ledger import Ledger
    from seqd.models.registry import Registry
    from seqd.models.store import ModelStore
    from seqd.settings import Settings
    from seqd_schemas import CatalogEntry

Detach = Annotated[
    bool,
    typer.Option(
        "--detach", "--no-wait", help="Hand the job in, print its id, and do not wait for it."
    ),
]


def parameters(of: str, *letters: str) -> Any:
    """Return the option of a parameter of what is named."""
    return typer.Option(
        "--param",
        *letters,
        "--set",
        metavar="NAME=VALUE",
        help=f"A parameter of the {of}; may be given again. `seqd models params` lists them.",
        autocompletion=completion.parameters,
    )


Parameters = Annotated[list[str] | None, parameters("model", "-p")]
FormatName = Annotated[
    str,
    typer.Option(
        "--format",
        help="How the file holds its records: auto, jsonl, csv, lines or folder.",
    ),
]
InputFormatName = Annotated[
    str,
    typer.Option(
        "--format",
        help="How the file holds its records: auto, jsonl, csv, tsv, lines, parquet or folder.",
    ),
]
IdField = Annotated[
    str, typer.Option("--id-field", help="Field with the item's identifier; `id` is taken too.")
]
TextField = Annotated[str, typer.Option("--text-field", help="Field with the text.")]
LabelField = Annotated[str, typer.Option("--label-field", help="Field with the true class.")]
Items = Annotated[
    str | None,
    typer.Argument(
        help="JSONL, CSV, TSV or text file, each also as .gz or .zst, a Parquet file or a folder; "
        "- is stdin.",
    ),
]
ModelArgument = Annotated[
    str,
    typer.Argument(
        help="A model, name@3 (a version) or name@label.", autocompletion=completion.models
    ),
]
ModelNameArgument = Annotated[
    str, typer.Argument(help="A model: topics.", autocompletion=completion.models)
]
VersionArgument = Annotated[
    str, typer.Argument(help="A version: topics@2.", autocompletion=completion.models)
]
OfThisMachine = Annotated[
    bool, typer.Option("--local", help="Of the plugins of this machine; needs no daemon.")
]
OfModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Only of this model, or version: name@3.",
        autocompletion=completion.models,
    ),
]
OfTenant = Annotated[
    str | None,
    typer.Option(
        "--tenant",
        metavar="NAME",
        help="Only on this account.",
        autocompletion=completion.tenants,
    ),
]
JobIdArgument = Annotated[str, typer.Argument(help="The job's id.", autocompletion=completion.jobs)]


def limit(what: str) -> Any:
    """Return the option that says how many are listed."""
    return readers.typed("--limit", "-n", by=readers.whole(1, 10_000), help=f"{what} at most.")


G = TypeVar("G")


def takes(
    group: type[G], name: str, read: Callable[[G], object] = lambda given: given, **defaults: object
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of a group, a dataclass: what typer makes of each is its type.

    The command gets what `read` makes of the group as the argument `name`. `defaults` stand in the
    place of the group's own.
    """

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        shared = fields(group)  # type: ignore[arg-type]

        @wraps(command)
        def with_options(**typed: object) -> None:
            given = group(**{one.name: typed.pop(one.name) for one in shared})
            command(**{name: read(given)}, **typed)

        own = [part for part in signature(command).parameters.values() if part.name != name]
        added = [
            Parameter(
                one.name,
                Parameter.KEYWORD_ONLY,
                default=defaults.get(one.name, one.default),
                annotation=one.type,
            )
            for one in shared
        ]
        parts = [part.replace(kind=Parameter.KEYWORD_ONLY) for part in own] + added
        # What typer reads.
        with_options.__signature__ = Signature(parts)  # type: ignore[attr-defined]
        with_options.__annotations__ = {part.name: part.annotation for part in parts}
        return with_options

    return decorated


@dataclass(frozen=True, slots=True)
class LocalModels:
    """The plugins and the model store of this machine, for commands that need no daemon."""

    registry: "Registry"
    store: "ModelStore"

    def catalog(self) -> "dict[str, CatalogEntry]":
        """Return the models that are ready here by name, described as a worker would."""
        from seqd.models.catalog import catalog_entries

        now_ms = time.time_ns() // 1_000_000
        entries = catalog_entries(self.registry, self.store, now_ms)
        return {entry.model: entry for entry in entries}

    def described(self, name: str) -> "Model":
        """Return the description of what a model is made with. Raises UnknownModel."""
        return self.registry.model(self.store.plugin_of(name))


def open_local_models(settings: "Settings") -> LocalModels:
    """Load the plugins of this machine and open its store; loads no model. Raises OtherFormat.

    From now on standard output is the command's alone: what plugins print goes to standard error.
    """
    from seqd.cli.ui.stdout import keep_stdout_from_plugins
    from seqd.models.catalog import versions_zero
    from seqd.models.registry import Registry
    from seqd.models.store import ModelStore

    keep_stdout_from_plugins()
    registry = Registry.load(settings)
    store = ModelStore.of(settings, versions_zero(registry))
    try:
        store.refresh()
    except StoreUnreachable as error:  # which a change is refused for, when it is made
        if not store.is_mirrored:
            raise
        typer.echo(f"warning: {printable(str(error))}", err=True)
    store.check_format()
    return LocalModels(registry, store)


def read_settings(**overrides: object) -> "Settings":
    """Read the settings, with the overrides that are not None on top.

    A variable `SEQD_…` that is no setting is told on stderr, once.
    """
    from seqd.settings import load_settings

    tell_unknown_variables()
    return load_settings(**{name: value for name, value in overrides.items() if value is not None})


#: Variables that this process has told of.
_told: set[str] = set()


def tell_unknown_variables(*, refuses_slips: bool = False) -> None:
    """Print a line on stderr for each `SEQD_…` variable that is no setting, the first time.

    Of those that resemble no setting the first is named, and the others are counted.

    With `refuses_slips` it raises InvalidSettings for those that resemble a setting, in place of
    the line: what starts workers must not go on without what was meant.
    """
    from seqd.variables import refuse_slips, unknown_variables

    unknown = unknown_variables()
    new = [
        variable
        for variable in unknown
        if variable.name not in _told and not (refuses_slips and variable.meant is not None)
    ]
    _told.update(variable.name for variable in new)
    named = [variable for variable in new if "Did you mean" in variable.sentence]
    others = [variable for variable in new if variable not in named]
    more = f" So it is with {len(others) - 1:,} more: seqd doctor" if len(others) > 1 else ""
    for variable in named + others[:1]:
        rest = "" if variable in named else more
        typer.echo(f"warning: {printable(variable.sentence)}{rest}", err=True)
    if refuses_slips:
        refuse_slips(unknown)


def open_client() -> "Client":
    """Return a client of the server that the settings name, or of the embedded one that runs."""
    from seqd.client import Client

    return Client(settings=read_settings())


@contextmanager
def open_ledger() -> "Iterator[Ledger]":
    """Open the ledger of the server that the settings name, or of the embedded one that runs."""
    from seqd.ledger import Ledger, connect
    from seqd.local.endpoint import redis_url_of
    from seqd.local.redis_access import RedisAccess

    settings = read_settings()
    url = redis_url_of(settings)
    access = RedisAccess.of(settings)
    with connect(url, timeout_s=settings.redis_timeout_s, access=access) as redis:
        yield Ledger(redis, settings)


def ask(question: str, unasked: str) -> None:
    """Go on where somebody says yes. Raises Unconfirmed, with `unasked`, where nobody is asked."""
    if not sys.stdin.isatty():
        raise Unconfirmed(unasked)
    typer.confirm(question, abort=True, err=True)
