"""Which plugins are where: from what each is installed here, and what workers lack or have older.

Pure but for `sources`, which reads the metadata of the distributions of this machine.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from urllib.parse import unquote, urlsplit

from seqd.doctor.plugin_places import Fleet, fleet_of, named, uneven
from seqd.models.loading import UNPACKAGED
from seqd_schemas import PluginState, PluginStatus, WorkerStatus


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
        for worker, plugins in fleet_of(workers).items()
    }
    ours = [one.worker for one in workers if one.host == host and one.worker in fleet]
    sound = {one.name: one for one in reversed(here) if one.name not in broken}
    removed = {name for worker in ours for name in fleet[worker]} - {one.name for one in here}
    said = [*_late(ready, ours, fleet), *_removed(removed, ours, fleet)]
    for worker in ours:  # as they are once they have been restarted
        kept = {name: one for name, one in fleet[worker].items() if name not in removed}
        fleet[worker] = kept | ready
    return [*said, *(f"{one.what} {one.do}" for one in uneven(fleet, sound, editable))]


def _late(ready: Mapping[str, PluginStatus], ours: Sequence[str], fleet: Fleet) -> Iterator[str]:
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


def _removed(removed: Iterable[str], ours: Sequence[str], fleet: Fleet) -> Iterator[str]:
    """Yield a sentence for each plugin that workers of this machine have, and it has no more."""
    for name in sorted(removed):
        having = [worker for worker in ours if name in fleet[worker]]
        yield (
            f"{name} is not installed here, and {named(having)} of this machine "
            f"{'has' if len(having) == 1 else 'have'} it until `seqd workers restart --wait`."
        )
