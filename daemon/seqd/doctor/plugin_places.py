"""Which plugins some workers lack, or have in another version than others; what to install there.

Pure. `seqd plugins list` knows beside that what this machine has.
"""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from seqd.doctor.findings import Finding, finding
from seqd.wording import first_of
from seqd_schemas import PluginState, PluginStatus, WorkerStatus

#: Workers that a sentence names.
_MOST_WORKERS: Final = 3

#: The distribution of a plugin that comes from none.
_UNPACKAGED: Final = "(none)"

#: The distribution of the plugins that ship with seqd.
_OWN: Final = "seqd"


def says_what_it_has(worker: WorkerStatus) -> bool:
    """Return False for a worker that publishes no plugin: its slot is drained, its process gone."""
    return bool(worker.plugins)


#: Plugins of each worker, by their names.
Fleet = dict[str, dict[str, PluginStatus]]


def fleet_of(workers: Iterable[WorkerStatus]) -> Fleet:
    """Return what workers have; of two plugins of a name the one that is loaded, else the first."""
    fleet: Fleet = {}
    for worker in filter(says_what_it_has, workers):
        plugins = fleet.setdefault(worker.worker, {})
        for one in sorted(worker.plugins, key=lambda one: one.state is not PluginState.READY):
            plugins.setdefault(one.name, one)
    return fleet


def named(workers: Sequence[str]) -> str:
    """Return workers as a sentence has them: the first, and how many more."""
    return first_of(workers, _MOST_WORKERS)


def uneven(
    fleet: Fleet,
    here: Mapping[str, PluginStatus] | None = None,
    folders: Mapping[str, str] | None = None,
) -> Iterator[Finding]:
    """Yield each distribution that is not everywhere, or not in one version.

    `here` is what this machine has, and wants everywhere; without it no version is the one to have.
    `folders` are those of distributions that may be on no index, so that their wheel is what to
    install. Of seqd itself nothing is said that this machine has not: releases are told apart.
    """
    known = _most_usual(fleet) | dict(here or {})
    told = {
        name: one for name, one in known.items() if one.distribution != _OWN or name in (here or {})
    }
    yield from _missing(told, fleet, folders or {})
    yield from _skewed(told, here, fleet, folders or {})


def _most_usual(fleet: Fleet) -> dict[str, PluginStatus]:
    """Return a status of each plugin: that of the version that most workers have."""
    found: dict[str, PluginStatus] = {}
    for name in sorted(set().union(*fleet.values())):
        held = [plugins[name] for plugins in fleet.values() if name in plugins]
        version, _ = Counter(one.version for one in held).most_common(1)[0]
        found[name] = next(one for one in held if one.version == version)
    return found


def _missing(
    known: Mapping[str, PluginStatus], fleet: Fleet, folders: Mapping[str, str]
) -> Iterator[Finding]:
    """Yield each distribution of which plugins are absent on some workers."""
    lacking: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name in sorted(known):
        if names := tuple(worker for worker, plugins in fleet.items() if name not in plugins):
            lacking.setdefault((known[name].distribution, names), []).append(name)
    for (_, names), plugins in lacking.items():
        which, verb = ("plugin", "is") if len(plugins) == 1 else ("plugins", "are")
        yield finding(
            "plugin-missing",
            f"The {which} {', '.join(plugins)} {verb} missing on {named(names)}",
            _install(known[plugins[0]], folders) + _restart(names),
        )


def _skewed(
    known: Mapping[str, PluginStatus],
    here: Mapping[str, PluginStatus] | None,
    fleet: Fleet,
    folders: Mapping[str, str],
) -> Iterator[Finding]:
    """Yield each distribution that workers, or they and this machine, differ in."""
    for what, names in _compared(known, fleet).items():
        by_version: dict[str, list[str]] = {}
        for worker, plugins in fleet.items():
            for version in {plugins[name].version for name in names if name in plugins}:
                by_version.setdefault(version, []).append(worker)
        one = known[names[0]]
        wanted = one.version
        others = {version: by_version[version] for version in sorted(by_version.keys() - {wanted})}
        if not others:
            continue
        is_here = any(name in (here or {}) for name in names)
        where = "here" if is_here else f"on {named(by_version[wanted])}"
        told = "; ".join(f"{version or 'none'} on {named(ws)}" for version, ws in others.items())
        older = sorted({worker for workers in others.values() for worker in workers})
        do = "Install one version everywhere: `seqd plugins list` says which"
        if here is not None:
            do = f"For one version everywhere{_one_version(one, folders)}{_restart(older)}"
        yield finding(
            "plugin-versions", f"{what} has the version {wanted or 'none'} {where}, and {told}", do
        )


def _compared(known: Mapping[str, PluginStatus], fleet: Fleet) -> dict[str, list[str]]:
    """Return plugins by what has their version: their distribution, or each for itself.

    That is where it comes from none, or not from the same everywhere.
    """
    found: dict[str, list[str]] = {}
    for name in sorted(known):
        holding = [plugins[name] for plugins in fleet.values() if name in plugins]
        origins = {one.distribution for one in (known[name], *holding)}
        is_alone = len(origins) > 1 or _UNPACKAGED in origins
        what = f"The plugin {name}" if is_alone else known[name].distribution
        found.setdefault(what, []).append(name)
    return found


def _one_version(plugin: PluginStatus, folders: Mapping[str, str]) -> str:
    name = plugin.distribution
    if name == _UNPACKAGED:
        return ", bring its module there."
    if name in folders:
        return f", {_wheel_of(folders[name])}"
    return f": `pip install {name}=={plugin.version}` there."


def _install(plugin: PluginStatus, folders: Mapping[str, str]) -> str:
    name = plugin.distribution
    if name == _UNPACKAGED:
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
