"""Loads a version for a trial, in a process of its own, before the version is published.

So what its plugin cannot load is never in the store, and a plugin that hangs or ends its process
harms nobody: `python -m seqd.models.trial_load` is that process.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from seqd.errors import PluginFault, SeqdError
from seqd.escaping import one_line
from seqd.hookspecs import Artifact, Device, Model
from seqd.local.kernel_folder import keep_kernels
from seqd.local.slots import cores, parse_slot
from seqd.models.apart import answer, run_apart
from seqd.models.loading import MESSAGE_CHARS, discover
from seqd.models.plugin_frames import with_place
from seqd.models.registry import Registry
from seqd.models.version_files import read_manifest
from seqd.plugin.calls import said_of, text_of
from seqd.settings import load_settings

#: Seconds that loading and warming up may take, where the caller does not say.
TRIAL_S: Final = 120.0

#: Characters of what it printed that are shown, the last.
_SHOWN_CHARS: Final = 300


def trial_of(
    registry: Registry,
    plugin: str,
    timeout_s: float = TRIAL_S,
    untried: str = "--no-load takes them without a trial",
) -> Callable[[Artifact], None] | None:
    """Return what loads a version for a trial; `untried` is how to do without, for its error.

    None where its plugin is not here, and for a model that needs a GPU to load. What is returned
    raises PluginFault, with file and line, unless a version loads and warms up on this machine's
    cores; its manifest has to be in its folder.
    """
    if plugin not in registry.models or registry.models[plugin].needs.device == "gpu":
        return None
    name, package = registry.plugin_of(plugin).name, _package_of(registry.models[plugin])

    def check(artifact: Artifact) -> None:
        fault = _fault_in((name, plugin, str(artifact.folder)), package, timeout_s)
        if fault:
            raise PluginFault(
                f"{plugin} cannot load these files: {fault}. Nothing is changed. Mend the files or "
                f"the plugin; {untried}"
            )

    return check


def _fault_in(what: tuple[str, str, str], package: str, timeout_s: float) -> str:
    """Run the process, and say what went wrong in it; nothing where it loaded the version."""
    slot = parse_slot("cpu:0").environment() | {"OMP_NUM_THREADS": str(cores())}
    ended = run_apart(__name__, what, timeout_s, environment=slot, package=package)
    if isinstance(ended.found, str):
        return ended.found
    if ended.is_late:
        return f"not within {timeout_s:g} s" + (
            f"; it stood in {ended.place}" if ended.place else ""
        )
    last = ended.printed.strip()[-_SHOWN_CHARS:]
    said = f". It printed last: {one_line(last)}" if last else ""
    return f"its process ended with {ended.how}{'' if ended.place else said}"


def _package_of(model: Model) -> str:
    """Return the outermost package of a plugin, or its module."""
    return type(model).__module__.partition(".")[0]


def main(plugin: str, model: str, folder: str, timeout_s: str) -> None:
    """Load a version and warm it up, and answer what went wrong."""

    def find() -> str:
        package = ""
        try:
            keep_kernels(load_settings().data_dir)
            sources = [one for one in discover() if one.name == plugin]
            described = Registry.alone(sources).model(model)
            package = _package_of(described)
            artifact = Artifact(Path(folder), read_manifest(Path(folder)))
            device = Device(slot="cpu:0", kind="cpu", threads=cores())
            described.load(artifact, device).warm_up()
        except BaseException as error:  # noqa: BLE001  a plugin may also call sys.exit()
            said = text_of(error) if isinstance(error, SeqdError) else said_of(error, MESSAGE_CHARS)
            missing = ""
            if isinstance(error, ModuleNotFoundError) and error.name:
                missing = f" (install {error.name.partition('.')[0]} here)"
            return with_place(f"{one_line(said).rstrip('.')}{missing}", error, package)
        return ""

    answer(timeout_s, find)


if __name__ == "__main__":
    main(*sys.argv[1:])
