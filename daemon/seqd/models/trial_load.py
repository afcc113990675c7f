"""Loads a version for a trial, in a process of its own, before the version is published.

So what its plugin cannot load is never in the store. A process of its own, since a plugin may hang,
or end the process that it is called in: `python -m seqd.models.trial_load` is that process, and
what it finds is in a file of a folder that goes with the trial.
"""

import faulthandler
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from seqd.errors import PluginFault, SeqdError
from seqd.escaping import one_line
from seqd.hookspecs import Artifact, Device, Model
from seqd.local.kernel_folder import keep_kernels
from seqd.local.parent_death import launch_command
from seqd.local.slots import cores, parse_slot
from seqd.models.plugin_frames import dumped_frames, place_among, with_place
from seqd.models.registry import Registry
from seqd.models.version_files import read_manifest
from seqd.plugin.calls import text_of
from seqd.settings import load_settings

#: Seconds that loading and warming up may take, where the caller does not say.
TRIAL_S: Final = 120.0

#: Seconds that the process may take beside that: it starts, and loads the plugin.
_START_S: Final = 60.0

#: Where a trial stands in its folder: what it found, where it stood, and what it printed.
_FOUND, _STACK, _PRINTED = "found.json", "stack.txt", "printed.txt"

#: Characters of what it printed that are shown, the last.
_SHOWN_CHARS: Final = 300


def trial_of(
    registry: Registry,
    plugin: str,
    timeout_s: float = TRIAL_S,
    untried: str = "--no-load takes them without a trial",
) -> Callable[[Artifact], None] | None:
    """Return what loads a version for a trial; `untried` is how to do without, for its error.

    None where its plugin is not here, and for a model that needs a GPU to load.
    """
    if plugin not in registry.models or registry.models[plugin].needs.device == "gpu":
        return None
    return lambda artifact: check_loads(registry, plugin, artifact, timeout_s, untried)


def check_loads(
    registry: Registry, plugin: str, artifact: Artifact, timeout_s: float, untried: str
) -> None:
    """Raise PluginFault, with file and line, unless a version loads and warms up.

    `plugin` is the plugin's model. The manifest of the version has to be in its folder. It is
    loaded on this machine's cores.
    """
    model, status = registry.model(plugin), registry.plugin_of(plugin)
    with tempfile.TemporaryDirectory(prefix="seqd-trial-") as name:
        folder = Path(name)
        what = (status.name, plugin, str(artifact.folder), f"{timeout_s:g}", str(folder))
        fault = _try(what, folder, _package_of(model), timeout_s)
    if fault:
        raise PluginFault(
            f"{plugin} cannot load these files: {fault}. Nothing is changed. Mend the files or the "
            f"plugin; {untried}"
        )


def _try(what: Iterable[str], folder: Path, package: str, timeout_s: float) -> str:
    """Run the process, and say what went wrong in it; nothing where it loaded the version."""
    slot = parse_slot("cpu:0").environment() | {"OMP_NUM_THREADS": str(cores())}
    with (folder / _PRINTED).open("wb") as printed:
        try:
            ended = subprocess.run(  # noqa: S603 (our own command, no shell)
                launch_command([sys.executable, "-P", "-m", "seqd.models.trial_load", *what]),
                env={**os.environ, **slot},
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                timeout=timeout_s + _START_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"not within {timeout_s:g} s"
    if (folder / _FOUND).is_file():
        return str(json.loads((folder / _FOUND).read_text(encoding="utf-8"))["fault"])
    stack = (folder / _STACK).read_text(errors="replace") if (folder / _STACK).is_file() else ""
    place = place_among(dumped_frames(stack), package)
    if stack.startswith("Timeout"):
        return f"not within {timeout_s:g} s" + (f"; it stood in {place}" if place else "")
    how = f"status {ended.returncode}" if ended.returncode >= 0 else f"signal {-ended.returncode}"
    last = (folder / _PRINTED).read_text(errors="replace").strip()[-_SHOWN_CHARS:]
    said = f". It printed last: {one_line(last)}" if last and not place else ""
    return f"its process ended with {how}" + (f" in {place}" if place else said)


def _package_of(model: Model) -> str:
    """Return the outermost package of a plugin, or its module."""
    return type(model).__module__.partition(".")[0]


def main(plugin: str, model: str, folder: str, timeout_s: str, trial: str) -> None:
    """Load a version and warm it up, and write what went wrong into the folder of the trial."""
    stack = (Path(trial) / _STACK).open("w", encoding="utf-8")  # open to the end: see faulthandler
    faulthandler.enable(stack)
    faulthandler.dump_traceback_later(float(timeout_s), exit=True, file=stack)
    fault, package = "", ""
    try:
        only = {"enabled_plugins": (plugin,), "disabled_plugins": (), "required_models": ()}
        settings = load_settings().model_copy(update=only)
        keep_kernels(settings.data_dir)
        described = Registry.load(settings).model(model)
        package = _package_of(described)
        artifact = Artifact(Path(folder), read_manifest(Path(folder)))
        device = Device(slot="cpu:0", kind="cpu", threads=cores())
        described.load(artifact, device).warm_up()
    except BaseException as error:  # noqa: BLE001  a plugin may also call sys.exit()
        fault = _fault(error, package)
    (Path(trial) / _FOUND).write_text(json.dumps({"fault": fault}), encoding="utf-8")
    os._exit(0)  # whatever threads the plugin has started


def _fault(error: BaseException, package: str) -> str:
    said = one_line(text_of(error)).rstrip(".")
    if not isinstance(error, SeqdError):
        said = f"{type(error).__name__}: {said}" if said else type(error).__name__
    missing = ""
    if isinstance(error, ModuleNotFoundError) and error.name:
        missing = f" (install {error.name.partition('.')[0]} here)"
    return with_place(f"{said}{missing}", error, package)


if __name__ == "__main__":
    main(*sys.argv[1:])
