"""`seqd models`: the versions in the model store, and what one of them has learnt."""

from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import options
from seqd.cli.evaluate import evaluate
from seqd.errors import InvalidRequest, UnknownModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seqd.cli.local import Workshop
    from seqd.hookspecs import Inspection
    from seqd_schemas import ModelManifest

app = typer.Typer(no_args_is_help=True, help="List, show and evaluate models and their versions.")


@app.command("list")
def list_models(as_json: options.Json = False) -> None:
    """List the models of this machine with their versions and labels. Needs no daemon."""
    from seqd.cli.local import open_workshop
    from seqd.cli.rendering.model_tables import print_models
    from seqd.cli.rendering.screen import Screen
    from seqd.cli.rendering.tables import print_json

    entries = list(open_workshop(options.read_settings()).catalog().values())
    if as_json:
        print_json(entries)
    else:
        print_models(Screen(), entries)


@app.command()
def show(
    model: Annotated[str, typer.Argument(help="A model, name@3 (a version) or name@label.")],
    state: Annotated[
        str | None,
        typer.Option("--state", help="Look at one thing: a character of markov, a word or text."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Show a version: where it came from, how good it is, and what it has learnt.

    `seqd models show markov --state a` prints the transition probabilities from `a`.
    """
    from seqd.cli.local import open_workshop
    from seqd.cli.rendering.model_tables import print_inspections, print_version, print_versions
    from seqd.cli.rendering.screen import Screen
    from seqd.cli.rendering.tables import print_json

    workshop = open_workshop(options.read_settings())
    manifest, tables = _look(workshop, model, state)
    labels = workshop.store.labels(manifest.model)
    versions = workshop.store.versions(manifest.model)
    if as_json:
        print_json(
            {
                "manifest": manifest,
                "labels": labels,
                "versions": [known.version for known in versions],
                "inspections": [_as_record(table) for table in tables],
            }
        )
        return
    screen = Screen()
    if state is None:
        print_version(screen, manifest, labels)
        print_versions(screen, versions, labels)
        if tables:
            screen.say()
    print_inspections(screen, tables)


app.command()(evaluate)


def _look(
    workshop: "Workshop", ref: str, focus: str | None
) -> "tuple[ModelManifest, Sequence[Inspection]]":
    """Find and check a version. Raises UnknownModel, InvalidRequest, ArtifactDamaged."""
    bare_name = workshop.registry.model(ref.partition("@")[0]).name
    if not workshop.store.numbers(bare_name):
        raise UnknownModel(
            f"model {bare_name!r} has no version here yet: train one with "
            f"`seqd train {bare_name} --data FILE`"
        )
    name, version = workshop.store.resolve(ref)
    artifact = workshop.store.open(name, version)
    tables = workshop.registry.model(name).inspect(artifact, focus)
    if focus is not None and not tables:
        raise InvalidRequest(
            f"--state is {focus!r}, but {name!r} has no single states to look at; leave it away"
        )
    return artifact.manifest, tables


def _as_record(table: "Inspection") -> dict[str, object]:
    return {"title": table.title, "columns": table.columns, "rows": table.rows}
