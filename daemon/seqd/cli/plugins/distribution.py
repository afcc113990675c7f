"""Which plugins are where: from what each is installed here, and what workers lack or have older.

Pure but for `sources`, which reads the metadata of the distributions of this machine.
"""

import json
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from urllib.parse import unquote, urlsplit

from seqd.models.loading import UNPACKAGED
from seqd_schemas import PluginState, PluginStatus, WorkerStatus

#: Workers that a sentence names.
_MOST_WORKERS = 3


@dataclass(frozen=True, slots=True)
class Holding:
    """A plugin as some of the workers have it."""

    plugin: str
    #: The version of its distribution; '' where there is none, or it is absent.
    version: str
    #: A value of `PluginState`, or `absent`.
    state: str
    workers: tuple[str, ...]
    reason: str = ""


def sources(statuses: Iterable[PluginStatus]) -> dict[str, str]:
    """Return, by distribution, the folder of those that are installed editable."""
    names = {one.distribution for one in statuses} - {UNPACKAGED, ""}
    found = {name: _source_of(name) for name in sorted(names)}
    return {name: source for name, source in found.items() if source}


def _source_of(name: str) -> str:
    try:
        return _from(distribution(name))
    except PackageNotFoundError:
        return ""


def _from(one: Distribution) -> str:
    """Return the folder of an editable distribution, by the record that pip keeps (PEP 610)."""
    try:
        record = json.loads(one.read_text("direct_url.json") or "{}")
        path = unquote(urlsplit(record.get("url", "")).path)
        is_editable = bool(record.get("dir_info", {}).get("editable"))
    except (ValueError, AttributeError, OSError):
        return ""  # the record is damaged, which is no matter of the plugin's
    return path if is_editable else ""


def holdings(here: Sequence[PluginStatus], workers: Sequence[WorkerStatus]) -> list[Holding]:
    """Return each plugin of this machine and of the workers, with who has it how; sorted.

    A plugin that two distributions bring on one worker is named as the one that is loaded there.
    Workers that do not say what they have are left out.
    """
    found: dict[tuple[str, str, str, str], list[str]] = {}
    telling = [worker for worker in workers if says_what_it_has(worker)]
    for name in sorted({one.name for one in here} | _names(workers)):
        for worker in telling:
            one = _of(worker, name)
            key = (name, "", "absent", "")
            if one is not None:
                key = (name, one.version, str(one.state), one.reason)
            found.setdefault(key, []).append(worker.worker)
    return [
        Holding(name, version, state, tuple(names), reason)
        for (name, version, state, reason), names in found.items()
    ]


def says_what_it_has(worker: WorkerStatus) -> bool:
    """Return False for a worker that publishes no plugin: its slot is drained, its process gone."""
    return bool(worker.plugins)


def differences(
    here: Sequence[PluginStatus],
    workers: Sequence[WorkerStatus],
    editable: Mapping[str, str] | None = None,
    host: str = "",
) -> list[str]:
    """Return a sentence for each distribution that is not everywhere, or not in one version.

    It says which workers are meant and what to install there. `editable` is what `sources` returns:
    such a distribution may be on no index, and its wheel is what to install. `host` is the name of
    this machine: what is installed here its workers have once they are restarted. Nothing is said
    of a plugin that is broken here: nobody wants it elsewhere.
    """
    folders = editable or {}
    broken = {one.name for one in here if one.state is PluginState.BROKEN} - _ready(here)
    sound = [one for one in here if one.name not in broken]
    told = [_without(one, broken) for one in workers]
    late, rest = _of_this_machine(sound, told, host)
    return [*late, *_missing(sound, rest, folders), *_skewed(sound, rest, folders)]


def _without(worker: WorkerStatus, names: Collection[str]) -> WorkerStatus:
    kept = tuple(one for one in worker.plugins if one.name not in names)
    return (
        worker if len(kept) == len(worker.plugins) else worker.model_copy(update={"plugins": kept})
    )


def _of_this_machine(
    here: Sequence[PluginStatus], workers: Sequence[WorkerStatus], host: str
) -> tuple[list[str], list[WorkerStatus]]:
    """Return a sentence for the workers of this machine that have not what is installed here.

    They lack it, or have what is not here any more. And all workers, those of this machine as they
    are once they have been restarted.
    """
    late: dict[tuple[str, ...], list[str]] = {}
    ours = [one for one in workers if one.host == host and says_what_it_has(one)]
    ready = [one for one in here if one.state is PluginState.READY]
    for plugin in sorted(ready, key=lambda one: one.name):
        names = tuple(one.worker for one in ours if not _has_as_here(one, plugin))
        if names:
            late.setdefault(names, []).append(plugin.name)
    said = [
        f"{named(names)} started before {', '.join(plugins)} "
        f"{'was' if len(plugins) == 1 else 'were'} installed here: `seqd workers restart --wait`."
        for names, plugins in late.items()
    ]
    known, removed = _ready(here), _names(ours) - {one.name for one in here}
    for name in sorted(removed):
        having = [one.worker for one in ours if _of(one, name) is not None]
        said.append(
            f"{name} is not installed here, and {named(having)} of this machine "
            f"{'has' if len(having) == 1 else 'have'} it until `seqd workers restart --wait`."
        )
    restarted = [
        one.model_copy(update={"plugins": (*ready, *_without(one, known | removed).plugins)})
        if one in ours
        else one
        for one in workers
    ]
    return said, restarted


def _ready(plugins: Iterable[PluginStatus]) -> set[str]:
    return {one.name for one in plugins if one.state is PluginState.READY}


def _has_as_here(worker: WorkerStatus, plugin: PluginStatus) -> bool:
    mine = _of(worker, plugin.name)
    return mine is not None and mine.version == plugin.version


def _missing(
    here: Sequence[PluginStatus], workers: Sequence[WorkerStatus], folders: Mapping[str, str]
) -> list[str]:
    """Return a sentence for each distribution of which plugins are absent on some workers."""
    lacking: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    known = _known(here, workers)
    for one in holdings(here, workers):
        if one.state == "absent":
            distribution_of = known[one.plugin].distribution
            lacking.setdefault((distribution_of, one.workers), []).append(one.plugin)
    return [
        f"{', '.join(plugins)} {'is' if len(plugins) == 1 else 'are'} missing on {named(names)}. "
        f"{_install(known[plugins[0]], folders)}{_restart(names)}"
        for (_, names), plugins in lacking.items()
    ]


def _skewed(
    here: Sequence[PluginStatus], workers: Sequence[WorkerStatus], folders: Mapping[str, str]
) -> list[str]:
    """Return a sentence for each distribution that workers, or they and this machine, differ in."""
    said = []
    known = _known(here, workers)
    for name in sorted({one.distribution for one in known.values()} - {UNPACKAGED}):
        by_version = _versions(name, workers)
        wanted = next(one for one in known.values() if one.distribution == name).version
        others = {version: names for version, names in by_version.items() if version != wanted}
        if not others:
            continue
        is_here = any(one.distribution == name for one in here)
        where = "here" if is_here else f"on {named(by_version[wanted])}"
        told = "; ".join(f"{version} on {named(names)}" for version, names in others.items())
        older = tuple(sorted({worker for names in others.values() for worker in names}))
        one_version = f": `pip install {name}=={wanted}` there."
        if name in folders:
            one_version = f", {_wheel_of(folders[name])}"
        said.append(
            f"{name} has the version {wanted} {where}, and {told}. For one version everywhere"
            f"{one_version}{_restart(older)}"
        )
    return said


def _known(
    here: Sequence[PluginStatus], workers: Sequence[WorkerStatus]
) -> dict[str, PluginStatus]:
    """Return a status of each plugin: that of this machine, else the one most workers have."""
    found: dict[str, PluginStatus] = {}
    for name in sorted(_names(workers)):
        held = [one for worker in workers if (one := _of(worker, name)) is not None]
        version, _ = Counter(one.version for one in held).most_common(1)[0]
        found[name] = next(one for one in held if one.version == version)
    return found | {one.name: one for one in reversed(here)}


def _versions(name: str, workers: Sequence[WorkerStatus]) -> Mapping[str, tuple[str, ...]]:
    """Return the versions of a distribution on the workers, each with those that have it."""
    found: dict[str, list[str]] = {}
    for worker in workers:
        for version in sorted({one.version for one in worker.plugins if one.distribution == name}):
            found.setdefault(version, []).append(worker.worker)
    return {version: tuple(names) for version, names in sorted(found.items())}


def _names(workers: Iterable[WorkerStatus]) -> set[str]:
    return {plugin.name for worker in workers for plugin in worker.plugins}


def _of(worker: WorkerStatus, name: str) -> PluginStatus | None:
    """Return a plugin of a worker: the first of its name that is ready, else the first."""
    mine = [one for one in worker.plugins if one.name == name]
    ready = [one for one in mine if one.state is PluginState.READY]
    return next(iter(ready or mine), None)


def named(workers: Sequence[str]) -> str:
    """Return workers as a sentence has them: the first, and how many more."""
    rest = f" and {len(workers) - _MOST_WORKERS} more" if len(workers) > _MOST_WORKERS else ""
    return ", ".join(workers[:_MOST_WORKERS]) + rest


def _install(plugin: PluginStatus, folders: Mapping[str, str]) -> str:
    name = plugin.distribution
    if name == UNPACKAGED:
        return "It comes from no distribution: bring its module there."
    if name in folders:
        return f"To have it there, {_wheel_of(folders[name])}"
    return f"Install it there: `pip install {name}=={plugin.version}`."


def _wheel_of(folder: str) -> str:
    wheel = f"`pip wheel --no-deps {shlex.quote(folder)}`"
    return f"make its wheel here, {wheel}, and install that there."


def _restart(workers: Sequence[str]) -> str:
    what, which = ("it", f" {workers[0]}") if len(workers) == 1 else ("them", "")
    return f" Then restart {what}; those of `seqd up`: `seqd workers restart{which}`."
