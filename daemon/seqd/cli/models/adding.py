"""`seqd models add`: weights that were made elsewhere, as the next version of a model."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from seqd.cli import completion, options, readers
from seqd.cli.models.files import LoadTimeout, NoLoad, print_version, say_untried
from seqd.cli.options import LocalModels
from seqd.cli.showing import shown
from seqd.cli.ui.screen import Screen
from seqd.errors import InvalidRequest, UnknownModel
from seqd.hookspecs import Artifact
from seqd.models.made_elsewhere import (
    Statement,
    add_version,
    check_can_serve,
    check_model_name,
    check_statement,
    draft_of,
    read_weights,
)
from seqd.models.registry import Registry
from seqd.models.trial_load import trial_of
from seqd.validation import listed
from seqd_schemas import ModelManifest, PluginState


@shown
def add(
    folder: Annotated[
        Path, typer.Argument(help="A folder of .safetensors, .json and .onnx files, 64 at most.")
    ],
    plugin: Annotated[
        str,
        typer.Option(
            "--plugin",
            metavar="NAME",
            help="The plugin's model that loads them: words.",
            autocompletion=completion.models,
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="Model to add it to; the plugin's own, if not."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric", metavar="NAME=VALUE", help="A figure: accuracy=0.91; may be given again."
        ),
    ] = None,
    library: Annotated[
        list[str] | None,
        typer.Option(
            "--library",
            metavar="NAME=VERSION",
            help="A library that made them: torch=2.9. May be given again.",
        ),
    ] = None,
    notes: Annotated[str, typer.Option("--notes", help="What its card says of it.")] = "",
    no_load: NoLoad = False,
    timeout_s: LoadTimeout = 120.0,
    *,
    screen: Screen,
) -> None:
    """Add weights that were made elsewhere to the store, as the next version of a model.

    The files are copied, and the plugin loads them in a process of its own before they count. A
    model's first version goes into service by itself, a later one by `seqd models promote`. The
    same files twice add one version. A folder of a version has a manifest.json, whose metrics and
    parameters are taken over.
    """
    statement = _statement_of(metric or (), library or (), notes)
    local = options.open_local_models(options.read_settings())
    plugin = _plugin_model(local.registry, plugin)
    trial = None if no_load else trial_of(local.registry, plugin, timeout_s)
    manifest, is_new = _add(local, folder, plugin, name or plugin, statement, trial)
    print_version(screen, local.store, manifest, is_new=is_new)
    if not is_new and _says_more(statement, manifest):
        screen.say(
            "A version does not change: what --metric, --library and --notes say is not taken "
            f"over. To say it, take {manifest.model}@{manifest.version} out and add it again.",
            "yellow",
        )
    if trial is None and not no_load:
        say_untried(screen, plugin)


def _add(
    local: LocalModels,
    folder: Path,
    plugin: str,
    model: str,
    statement: Statement,
    trial: Callable[[Artifact], None] | None,
) -> tuple[ModelManifest, bool]:
    """Return the version, and False where it was there already."""
    check_can_serve(local.registry, plugin)
    check_model_name(local.registry, model, plugin)
    weights = read_weights(folder)
    version = local.registry.plugin_of(plugin).version
    draft = draft_of(weights, model, plugin, version, statement)
    return add_version(local.store, weights, draft, trial)


def _plugin_model(registry: Registry, name: str) -> str:
    """Return the plugin's model of a name, which may be that of a plugin that brings one alone.

    Raises UnknownModel, which says what there is and which broken plugins bring none.
    """
    if name not in registry.models:
        status = next((one for one in registry.statuses if one.name == name), None)
        if status is not None and len(status.models) == 1:
            return status.models[0]
        if status is not None and status.models:
            raise InvalidRequest(
                f"--plugin is {name!r}, which brings several models; allowed: one of them, "
                f"{listed(status.models)}"
            )
    try:
        return registry.model(name).name
    except UnknownModel as error:
        broken = [one.name for one in registry.statuses if one.state is PluginState.BROKEN]
        if not broken or name in broken:
            raise
        raise UnknownModel(
            f"{error} What the broken plugin {listed(broken)} brings is not known."
        ) from None


def _says_more(statement: Statement, manifest: ModelManifest) -> bool:
    """Return True where anything is said of a version that its manifest does not say."""
    known = "" if manifest.origin is None else manifest.origin.notes
    return (
        not statement.metrics.items() <= manifest.metrics.items()
        or not statement.libraries.items() <= manifest.libraries.items()
        or statement.notes not in ("", known)
    )


def _statement_of(metrics: Sequence[str], libraries: Sequence[str], notes: str) -> Statement:
    """Read what `--metric`, `--library` and `--notes` say. Raises InvalidRequest."""
    figures = {}
    for name, value in _pairs("--metric", metrics, "accuracy=0.91").items():
        try:
            figures[name] = float(value)
        except ValueError:
            raise InvalidRequest(
                f"--metric {name} is {value!r}; allowed: a number, such as {name}=0.91"
            ) from None
    versions = _pairs("--library", libraries, "torch=2.9")
    statement = Statement(metrics=figures, libraries=versions, notes=notes)
    check_statement(statement)
    return statement


def _pairs(option: str, given: Sequence[str], example: str) -> dict[str, str]:
    return readers.pairs(
        given,
        f"{option} is {{0!r}}; allowed: NAME=VALUE, such as {example}",
        f"{option} {{0}} is given twice; give it once",
        may_be_empty=False,
    )
