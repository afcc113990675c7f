"""What the plugins of this machine are looked at for: each is loaded, in a process of its own.

A plugin that ends its process at its import, or hangs there, costs the examination nothing else.
Run as a program it prints the state of each plugin as JSON.
"""

import faulthandler
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from seqd.doctor.findings import Check, Finding, NotChecked, Severity, finding
from seqd.errors import InvalidSettings
from seqd.local.parent_death import launch_command

if TYPE_CHECKING:
    from seqd.settings import Settings

#: Seconds that all plugins together may take to load, and the process beside that.
LOAD_S: Final = 30.0
_START_S: Final = 15.0

#: What `faulthandler` writes when its time is up, in front of the stacks.
_TIMEOUT: Final = "Timeout ("


def plugin_checks(settings: "Settings", load_s: float = LOAD_S) -> list[Check]:
    """Return the check of the plugins."""
    return [Check("plugins here", lambda: _plugins(settings, load_s))]


def _plugins(settings: "Settings", load_s: float) -> Iterator[Finding]:
    ended = _load(settings, load_s)
    if _TIMEOUT in ended.stderr:
        yield finding(
            "plugin-broken",
            f"The plugins here were not loaded within {load_s:g} s"
            f"{_stood(ended.stderr.rpartition(_TIMEOUT)[2])}",
            "Mend what hangs at its import, or leave it out: SEQD_DISABLED_PLUGINS",
            severity=Severity.ERROR,
        )
        return
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        yield finding(
            "plugin-broken",
            f"A plugin here ended the process that loads plugins, with status {ended.returncode}: "
            f"{last}",
            "`seqd plugins list` shows the same; leave it out: SEQD_DISABLED_PLUGINS",
            severity=Severity.ERROR,
        )
        return
    said = json.loads(ended.stdout)
    for name, reason in said["broken"]:
        yield finding(
            "plugin-broken",
            f"The plugin {name} is broken here: {reason}",
            f"Mend it (`seqd plugins check {name}`), or leave it out: SEQD_DISABLED_PLUGINS",
        )
    if said["required"]:
        yield finding(
            "plugin-missing", said["required"], "Install what is missing", severity=Severity.ERROR
        )


def _load(settings: "Settings", load_s: float) -> "subprocess.CompletedProcess[str]":
    # It ends with this thread, whatever ends that.
    what = [str(settings.data_dir), f"{load_s:g}"]
    try:
        return subprocess.run(  # noqa: S603 (our own command, no shell)
            launch_command([sys.executable, "-P", "-m", "seqd.doctor.plugins", *what]),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=load_s + _START_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotChecked(f"the process that loads them did not end within {load_s:g} s") from None


def _stood(stacks: str) -> str:
    from seqd.models.plugin_frames import dumped_frames, place_among

    place = place_among(dumped_frames(stacks))
    return f": it stood in {place}" if place else ""


def _print_states(data_dir: str, load_s: str) -> None:
    """Print which plugins are broken, and what is said of the required ones that are not ready."""
    output = os.dup(1)
    os.dup2(2, 1)  # what plugins print, at whatever time, goes to standard error

    from seqd.models.registry import Registry
    from seqd.settings import load_settings
    from seqd_schemas import PluginState

    faulthandler.dump_traceback_later(float(load_s), exit=True)
    logging.disable(logging.CRITICAL)  # what is broken stands in the answer
    settings = load_settings(data_dir=data_dir)
    required = ""
    try:
        registry = Registry.load(settings)
    except InvalidSettings as error:
        required = str(error)
        registry = Registry.load(settings.model_copy(update={"required_plugins": ()}))
    broken = [
        (one.name, one.reason) for one in registry.statuses if one.state is PluginState.BROKEN
    ]
    faulthandler.cancel_dump_traceback_later()
    os.write(output, json.dumps({"broken": broken, "required": required}).encode())
    os._exit(0)  # at once: a plugin may have left a thread that never ends


if __name__ == "__main__":
    _print_states(*sys.argv[1:])
