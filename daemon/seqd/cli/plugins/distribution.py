"""Which plugins are where: from what each is installed here, and what workers lack or have older.

Pure but for `sources`, which reads the metadata of the distributions of this machine.
"""

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    fleet, found = _fleet_of(workers), dict[tuple[str, str, str, str], list[str]]()
    for name in sorted({one.name for one in here}.union(*fleet.values())):
        for worker, plugins in fleet.items():
            one = plugins.get(name)
            key = (name, "", "absent", "")
            if one is not None:
                key = (name, one.version, str(one.state), one.reason)
            found.setdefault(key, []).append(worker)
    return [
        Holding(name, version, state, tuple(names), reason)
        for (name, version, state, reason), names in found.items()
    ]


def says_what_it_has(worker: WorkerStatus) -> bool:
    """Return False for a worker that publishes no plugin: its slot is drained, its process gone."""
    return bool(worker.plugins)


#: Plugins of each worker, by their names.
_Fleet = dict[str, dict[str, PluginStatus]]


def _fleet_of(workers: Iterable[WorkerStatus]) -> _Fleet:
    """Return what workers have; of two plugins of a name the one that is loaded, else the first."""
    fleet: _Fleet = {}
    for worker in filter(says_what_it_has, workers):
        plugins = fleet.setdefault(worker.worker, {})
        for one in sorted(worker.plugins, key=lambda one: one.state is not PluginState.READY):
            plugins.setdefault(one.name, one)
    return fleet


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
    ready = {one.name: one for one in here if one.state is PluginState.READY}
    broken = {one.name for one in here if one.state is PluginState.BROKEN} - ready.keys()
    fleet = {
        worker: {name: one for name, one in plugins.items() if name not in broken}
        for worker, plugins in _fleet_of(workers).items()
    }
    ours = [one.worker for one in workers if one.host == host and one.worker in fleet]
    sound = {one.name: one for one in reversed(here) if one.name not in broken}
    removed = {name for worker in ours for name in fleet[worker]} - {one.name for one in here}
    said = [*_late(ready, ours, fleet), *_removed(removed, ours, fleet)]
    for worker in ours:  # as they are once they have been restarted
        kept = {name: one for name, one in fleet[worker].items() if name not in removed}
        fleet[worker] = kept | ready
    known = _most_usual(fleet) | sound
    folders = editable or {}
    return [*said, *_missing(known, fleet, folders), *_skewed(known, sound, fleet, folders)]


def _late(ready: Mapping[str, PluginStatus], ours: Sequence[str], fleet: _Fleet) -> Iterator[str]:
    """Yield a sentence for workers of this machine that have not what is installed here."""
    late: dict[tuple[str, ...], list[str]] = {}
    for name, plugin in sorted(ready.items()):
        having = {
            worker
            for worker in ours
            if name in fleet[worker] and fleet[worker][name].version == plugin.version
        }
        if names := tuple(worker for worker in ours if worker not in having):
            late.setdefault(names, []).append(name)
    for names, plugins in late.items():
        verb = "was" if len(plugins) == 1 else "were"
        yield (
            f"{named(names)} started before {', '.join(plugins)} {verb} installed here: "
            "`seqd workers restart --wait`."
        )


def _removed(removed: Iterable[str], ours: Sequence[str], fleet: _Fleet) -> Iterator[str]:
    """Yield a sentence for each plugin that workers of this machine have, and it has no more."""
    for name in sorted(removed):
        having = [worker for worker in ours if name in fleet[worker]]
        yield (
            f"{name} is not installed here, and {named(having)} of this machine "
            f"{'has' if len(having) == 1 else 'have'} it until `seqd workers restart --wait`."
        )


def _most_usual(fleet: _Fleet) -> dict[str, PluginStatus]:
    """Return a status of each plugin: that of the version that most workers have."""
    found: dict[str, PluginStatus] = {}
    for name in sorted(set().union(*fleet.values())):
        held = [plugins[name] for plugins in fleet.values() if name in plugins]
        version, _ = Counter(one.version for one in held).most_common(1)[0]
        found[name] = next(one for one in held if one.version == version)
    return found


def _missing(
    known: Mapping[str, PluginStatus], fleet: _Fleet, folders: Mapping[str, str]
) -> Iterator[str]:
    """Yield a sentence for each distribution of which plugins are absent on some workers."""
    lacking: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name in sorted(known):
        if names := tuple(worker for worker, plugins in fleet.items() if name not in plugins):
            lacking.setdefault((known[name].distribution, names), []).append(name)
    for (_, names), plugins in lacking.items():
        verb = "is" if len(plugins) == 1 else "are"
        install = _install(known[plugins[0]], folders)
        yield f"{', '.join(plugins)} {verb} missing on {named(names)}. {install}{_restart(names)}"


def _skewed(
    known: Mapping[str, PluginStatus],
    sound: Mapping[str, PluginStatus],
    fleet: _Fleet,
    folders: Mapping[str, str],
) -> Iterator[str]:
    """Yield a sentence for each distribution that workers, or they and this machine, differ in."""
    for name in sorted({one.distribution for one in known.values()} - {UNPACKAGED}):
        by_version: dict[str, list[str]] = {}
        for worker, plugins in fleet.items():
            for version in {one.version for one in plugins.values() if one.distribution == name}:
                by_version.setdefault(version, []).append(worker)
        wanted = next(one for one in known.values() if one.distribution == name).version
        others = {version: by_version[version] for version in sorted(by_version.keys() - {wanted})}
        if not others:
            continue
        is_here = any(one.distribution == name for one in sound.values())
        where = "here" if is_here else f"on {named(by_version[wanted])}"
        told = "; ".join(f"{version} on {named(names)}" for version, names in others.items())
        one_version = f": `pip install {name}=={wanted}` there."
        if name in folders:
            one_version = f", {_wheel_of(folders[name])}"
        older = sorted({worker for names in others.values() for worker in names})
        yield (
            f"{name} has the version {wanted} {where}, and {told}. For one version everywhere"
            f"{one_version}{_restart(older)}"
        )


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
