"""Whether the plugins of SEQD_REQUIRED_PLUGINS are ready here, before `seqd up` starts workers.

They are loaded in a process of their own: one that ends its process at its import must not end
`seqd up`, and what a plugin keeps in memory would be kept for as long as that runs.
"""

import subprocess
import sys
from typing import TYPE_CHECKING

from seqd.errors import InvalidSettings

if TYPE_CHECKING:
    from seqd.settings import Settings

#: Seconds that all plugins together may take to load; workers give their child as long.
_LOAD_S = 180.0


def check_required_plugins(settings: "Settings") -> None:
    """Raise InvalidSettings, with each plugin's state and reason, where one is not ready."""
    if not settings.required_plugins:
        return
    named = ", ".join(settings.required_plugins)
    try:
        ended = subprocess.run(  # noqa: S603 (our own command, no shell)
            [sys.executable, "-P", "-m", "seqd.cli.required_plugins", str(settings.data_dir)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LOAD_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InvalidSettings(
            f"SEQD_REQUIRED_PLUGINS is {named}, and the plugins here were not loaded within "
            f"{_LOAD_S:.0f} s. `seqd plugins list` loads them too; SEQD_DISABLED_PLUGINS leaves "
            "one out."
        ) from None
    if ended.returncode != 0:
        last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise InvalidSettings(
            f"SEQD_REQUIRED_PLUGINS is {named}, and a plugin here ended the process that loads "
            f"plugins, with status {ended.returncode}: {last}"
        )
    if ended.stdout.strip():
        raise InvalidSettings(ended.stdout.strip())


def _print_fault(data_dir: str) -> None:
    """Print what is not ready, and nothing where all is."""
    import logging

    from seqd.cli.options import open_local_models, read_settings
    from seqd.cli.ui.stdout import stdout

    logging.disable(logging.CRITICAL)  # what is broken stands in the table
    try:
        open_local_models(read_settings(data_dir=data_dir))
    except InvalidSettings as error:
        stdout().write(f"{error}\n")


if __name__ == "__main__":
    _print_fault(sys.argv[1])
