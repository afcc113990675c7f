"""`seqd models export`, `import`, `rm` and `gc`: versions as files, taken elsewhere or removed.

All but `rm`, which a worker carries out, are about the store of this machine.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from seqd.cli import options, readers
from seqd.cli.drafts import placed
from seqd.cli.models.params import check_names_no_version, entry_of
from seqd.cli.models.promotion import ordered
from seqd.cli.options import LocalModels
from seqd.cli.output_forms import Form, Target
from seqd.cli.showing import Found, shown
from seqd.cli.ui.screen import Screen
from seqd.errors import InvalidRequest, RedisUnreachable, UnknownPlugin
from seqd.models.archives import import_archive, read_archived_manifest, write_archive
from seqd.models.made_elsewhere import check_model_name
from seqd.models.store import ModelStore
from seqd.models.trial_load import trial_of
from seqd.views.numbers import counted
from seqd.worker.promotion import ModelWork, open_jobs, retired
from seqd_schemas import CatalogEntry, JobRecord, ModelManifest, ModelReference

_NUMBERS = re.compile(r"[0-9]+")

Unchecked = Annotated[
    bool,
    typer.Option(
        "--unchecked", help="Ask no daemon whether a job runs on it; such a job would fail."
    ),
]

NoLoad = Annotated[
    bool,
    typer.Option(
        "--no-load",
        help="Do not try to load it, such as where the plugin's libraries are not installed.",
    ),
]
LoadTimeout = Annotated[
    float,
    readers.typed(
        "--load-timeout",
        by=readers.seconds(1, 86_400),
        help="Seconds that loading may take.",
    ),
]


@shown
def export_version(
    reference: options.VersionArgument,
    file: Annotated[Path, typer.Argument(help="The archive to write, such as topics-2.tar.")],
    force: Annotated[bool, typer.Option("--force", help="Replace that file.")] = False,
) -> Found:
    """Write a version into one file, which `seqd models import` reads on another machine.

    It has the manifest and the files that it names, each with its digest, and no code.
    """
    local = options.open_local_models(options.read_settings())
    name, version = local.store.resolve(reference)
    artifact = local.store.open(name, version)
    if artifact.manifest.is_built_in:
        plugin = local.registry.plugin_of(name)
        raise InvalidRequest(
            f"{name}@{version} is built in: it is the code of the plugin {plugin.name!r}, and has "
            "no files to export. Install that plugin on the other machine, which brings it along"
        )
    if file.is_dir() or file == Path("-"):
        raise InvalidRequest(
            f"FILE is {str(file)!r}; allowed: a file, such as {name}-{version}.tar"
        )
    with placed(Target(file, Form.JSONL), "FILE", replaces=force) as archive:
        write_archive(artifact, archive)
    size = counted(file.stat().st_size, "byte")
    found = {"model": name, "version": version, "file": str(file)}
    return Found(found, f"{file}: {name}@{version}, {size}")


@shown
def import_version(
    file: Annotated[Path, typer.Argument(help="An archive of `seqd models export`.")],
    name: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="Model to add it to; the archive's own, if not."),
    ] = None,
    no_load: NoLoad = False,
    timeout_s: LoadTimeout = 120.0,
    *,
    screen: Screen,
) -> None:
    """Add the version of an archive to the store, as the next version of its model.

    Its plugin loads it in a process of its own before it counts. A model's first version goes into
    service by itself, a later one by `seqd models promote`. The same archive twice adds one
    version.
    """
    local = options.open_local_models(options.read_settings())
    archived = read_archived_manifest(file)
    _refuse_plugin(local, archived, file)
    model = name or archived.model
    plugin = archived.plugin or archived.model
    check_model_name(local.registry, model, plugin)
    trial = None if no_load else trial_of(local.registry, plugin, timeout_s)
    manifest, is_new = import_archive(local.store, file, model, trial)
    print_version(screen, local.store, manifest, is_new=is_new)
    if trial is None and not no_load:
        say_untried(screen, plugin)


def say_untried(screen: Screen, plugin: str) -> None:
    """Say that a version was not loaded for a trial."""
    said = f"Not loaded for a trial: {plugin} needs a GPU. Its first worker loads it."
    screen.say(said, "yellow")


def print_version(
    screen: Screen, store: ModelStore, manifest: ModelManifest, *, is_new: bool
) -> None:
    """Print which version has come into the store, or was there, and whether it is in service.

    Where a daemon is up, jobs get it by then.
    """
    _wait_until_jobs_get_it(store, manifest, screen)
    name, version = manifest.model, manifest.version
    serving = store.labels(name).get("production")
    where = "in service" if serving == version else "not in service"
    told = f"{name}@{version} is {'in' if is_new else 'already in'} the model store, and {where}."
    if serving != version:
        told += f"\nTo put it there: seqd models promote {name}@{version}"
    found = {"model": name, "version": version, "is_new": is_new, "in_service": serving}
    Found(found, told).print_on(screen)


def _wait_until_jobs_get_it(store: ModelStore, manifest: ModelManifest, screen: Screen) -> None:

    def is_there(entry: CatalogEntry) -> bool:
        return any(one.version == manifest.version for one in entry.versions)

    with suppress(RedisUnreachable), options.open_ledger() as ledger:
        if ledger.fleet.workers():
            warn = partial(screen.say, style="yellow")
            ModelWork(ledger, store, warn=warn).wait_until_published(manifest.model, is_there)


@shown
def remove(
    reference: options.VersionArgument,
    *,
    screen: Screen,
) -> Found:
    """Remove a version from the store, which a worker does. Its number is not used again.

    Refused while it is in service, has a label, or is what an open job runs on.
    """
    name, version = ModelReference.parse(reference)
    if not isinstance(version, int):
        raise InvalidRequest(
            f"{reference!r} names no version by its number; allowed: NAME@NUMBER, such as topics@1"
        )
    ordered(entry_of(name), lambda steps: steps.remove(version), screen)
    return Found({"model": name, "removed": [version]}, f"{name}@{version} is removed.")


@shown
def collect(
    model: options.ModelNameArgument,
    keep: Annotated[
        int,
        readers.typed(
            "--keep",
            by=readers.whole(1, 1_000_000),
            help="Newest versions to keep.",
        ),
    ] = 5,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")
    ] = False,
    unchecked: Unchecked = False,
) -> Found:
    """Remove a model's old versions from this machine's store: all but the newest and those in use.

    In use is what is in service, has a label, or is what an open job runs on; starters stay.
    """
    check_names_no_version(model, f". `seqd models rm {model}` removes one version")
    store = options.open_local_models(options.read_settings()).store
    name, _ = store.resolve(f"{model}@latest")
    labelled = set(store.labels(name).values())
    numbers = [one for one in store.numbers(name) if one > 0]
    old = [one for one in numbers[:-keep] if one not in labelled]
    if not unchecked:
        old = _collect_unused(store, name, old, dry_run=dry_run)
    elif not dry_run:
        _remove_each(store, name, old)
    what = ", ".join(f"{name}@{version}" for version in old) or "nothing"
    found = {"model": name, "removed": old, "dry_run": dry_run}
    return Found(found, f"{'Would remove' if dry_run else 'Removed'}: {what}")


def _collect_unused(
    store: ModelStore, name: str, versions: list[int], *, dry_run: bool
) -> list[int]:
    """Remove versions but those that jobs run on, also jobs that come just now; return them."""

    def unused(jobs: Iterable[JobRecord]) -> list[int]:
        used = {one for job in jobs for one in job.versions}
        return [one for one in versions if one not in used]

    try:
        with options.open_ledger() as ledger:
            versions = unused(open_jobs(ledger, name))
            if dry_run or not versions:
                return versions
            with retired(ModelWork(ledger, store), name, versions) as jobs:
                versions = unused(jobs)
                if not versions:
                    return versions
                details = {"versions": ", ".join(map(str, versions))}
                with ledger.audit.act("models.gc", name, details):
                    _remove_each(store, name, versions)
            return versions
    except RedisUnreachable as error:
        raise RedisUnreachable(
            f"{error} So nobody knows which jobs run on it; --unchecked removes it all the same."
        ) from None


def _remove_each(store: ModelStore, name: str, versions: list[int]) -> None:
    """Remove versions. What was removed is said, too, where it cannot go on."""
    removed: list[int] = []
    try:
        for version in versions:
            store.remove(name, version)
            removed.append(version)
    except BaseException:
        what = ", ".join(f"{name}@{one}" for one in removed) or "nothing"
        left = ", ".join(f"{name}@{one}" for one in versions if one not in removed)
        Screen(to_stderr=True).say(f"Stopped. Removed before that: {what}. Left: {left}", "yellow")
        raise


def _refuse_plugin(local: LocalModels, archived: ModelManifest, file: Path) -> None:
    """Refuse a version that no plugin here can load, or an older one than made it."""
    plugin = archived.plugin or archived.model
    if plugin not in local.registry.models:
        known = ", ".join(local.registry.models)
        raise UnknownPlugin(
            f"{file} is made with {plugin!r}, and no plugin here brings that. Here are: {known}. "
            "Install its plugin, then import it"
        )
    here = local.registry.plugin_of(plugin).version
    if _numbers_of(here) < _numbers_of(archived.plugin_version):
        raise UnknownPlugin(
            f"{file} is made with {plugin} {archived.plugin_version}, and here is {here}, which is "
            "older. Upgrade the plugin, then import it"
        )


def _numbers_of(version: str) -> tuple[int, ...]:
    """Return the numbers of a version such as `1.4.2`, by which versions are ordered."""
    return tuple(int(number) for number in _NUMBERS.findall(version.partition("+")[0])[:3])
