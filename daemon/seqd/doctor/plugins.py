"""What the plugins of this machine are looked at for: each is loaded, in a process of its own.

A plugin that ends its process at its import, or hangs there, costs the examination nothing else.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from seqd.doctor.findings import Check, Finding, Severity, finding

if TYPE_CHECKING:
    from seqd.settings import Settings

#: Seconds that all plugins together may take to load.
LOAD_S: Final = 30.0


def plugin_checks(settings: "Settings", load_s: float = LOAD_S) -> list[Check]:
    """Return the check of the plugins."""
    return [Check("plugins here", lambda: _plugins(settings, load_s))]


def _plugins(settings: "Settings", load_s: float) -> Iterator[Finding]:
    from seqd.models.apart import Ended, plugins_here

    here = plugins_here(settings, load_s)
    if isinstance(here, Ended):
        what = (
            f"A plugin here ended the process that loads plugins, with {here.how}: {here.last_line}"
        )
        cure = "`seqd plugins list` shows the same; leave it out: SEQD_DISABLED_PLUGINS"
        if here.is_late:
            what = f"The plugins here were not loaded within {load_s:g} s{here.stood}"
            cure = "Mend what hangs at its import, or leave it out: SEQD_DISABLED_PLUGINS"
        yield finding("plugin-broken", what, cure, severity=Severity.ERROR)
        return
    for name, reason in here.broken:
        yield finding(
            "plugin-broken",
            f"The plugin {name} is broken here: {reason}",
            f"Mend it (`seqd plugins check {name}`), or leave it out: SEQD_DISABLED_PLUGINS",
        )
    if here.required:
        yield finding(
            "plugin-missing",
            here.required,
            "Install what is missing, or correct the setting",
            severity=Severity.ERROR,
        )
