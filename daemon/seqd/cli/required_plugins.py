"""Whether the plugins of SEQD_REQUIRED_PLUGINS are ready here, before `seqd up` starts workers.

They are loaded in a process of their own: one that ends its process at its import must not end
`seqd up`, and what a plugin keeps in memory would be kept for as long as that runs.
"""

import faulthandler
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from seqd.errors import InvalidSettings
from seqd.local.parent_death import launch_command

if TYPE_CHECKING:
    from seqd.settings import Settings

#: Seconds that all plugins together may take to load; workers give their child as long.
LOAD_S: Final = 180.0

#: Seconds that the process may take beside that: it starts, and ends itself when its time is up.
_START_S: Final = 60.0

#: What `faulthandler` writes when its time is up, in front of the stacks.
_TIMEOUT: Final = "Timeout ("


def check_required_plugins(settings: "Settings", load_s: float = LOAD_S) -> None:
    """Raise InvalidSettings, with each plugin's state and reason, where one is not ready."""
    if not settings.required_plugins:
        return
    named = ", ".join(settings.required_plugins)
    what = [str(settings.data_dir), f"{load_s:g}"]
    try:
        ended = subprocess.run(  # noqa: S603 (our own command, no shell)
            # It ends with `seqd up`, whatever ends that.
            launch_command([sys.executable, "-P", "-m", "seqd.cli.required_plugins", *what]),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=load_s + _START_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InvalidSettings(_not_loaded(named, load_s, "")) from None
    if _TIMEOUT in ended.stderr:
        raise InvalidSettings(_not_loaded(named, load_s, ended.stderr.rpartition(_TIMEOUT)[2]))
    if ended.returncode != 0:
        last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise InvalidSettings(
            f"SEQD_REQUIRED_PLUGINS is {named}, and a plugin here ended the process that loads "
            f"plugins, with status {ended.returncode}: {last}"
        )
    if ended.stdout.strip():
        raise InvalidSettings(ended.stdout.strip())


def _not_loaded(named: str, load_s: float, stacks: str) -> str:
    """Say that plugins take too long, and in which one the process stood, where that is known."""
    from seqd.models.plugin_frames import dumped_frames, place_among

    place = place_among(dumped_frames(stacks))
    stood = f": it stood in {place}" if place else ""
    return (
        f"SEQD_REQUIRED_PLUGINS is {named}, and the plugins here were not loaded within "
        f"{load_s:g} s{stood}. `seqd plugins list` loads them too; SEQD_DISABLED_PLUGINS leaves "
        "one out."
    )


def _print_fault(data_dir: str, load_s: str) -> None:
    """Print what is not ready, and nothing where all is."""
    import logging

    from seqd.cli.options import open_local_models, read_settings
    from seqd.cli.ui.stdout import stdout
    from seqd.models import registry  # noqa: F401  so that the time is that of plugins alone

    faulthandler.dump_traceback_later(float(load_s), exit=True)
    logging.disable(logging.CRITICAL)  # what is broken stands in the table
    try:
        open_local_models(read_settings(data_dir=data_dir))
    except InvalidSettings as error:
        stdout().write(f"{error}\n")


if __name__ == "__main__":
    _print_fault(*sys.argv[1:])
