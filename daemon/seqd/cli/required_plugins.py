"""Whether the plugins of SEQD_REQUIRED_PLUGINS are ready here, before `seqd up` starts workers.

They are loaded in a process of their own: one that ends its process at its import must not end
`seqd up`, and what a plugin keeps in memory would be kept for as long as that runs.
"""

from typing import TYPE_CHECKING, Final

from seqd.errors import InvalidSettings

if TYPE_CHECKING:
    from seqd.settings import Settings

#: Seconds that all plugins together may take to load; workers give their child as long.
LOAD_S: Final = 180.0


def check_required_plugins(settings: "Settings", load_s: float = LOAD_S) -> None:
    """Raise InvalidSettings, with each plugin's state and reason, where one is not ready."""
    if not settings.required_plugins:
        return
    from seqd.models.apart import Ended, plugins_here

    here = plugins_here(settings, load_s)
    if not isinstance(here, Ended):
        if here.required:
            raise InvalidSettings(here.required)
        return
    named = f"SEQD_REQUIRED_PLUGINS is {', '.join(settings.required_plugins)}, and"
    if here.is_late:
        raise InvalidSettings(
            f"{named} the plugins here were not loaded within {load_s:g} s{here.stood}. "
            "`seqd plugins list` loads them too; SEQD_DISABLED_PLUGINS leaves one out."
        )
    raise InvalidSettings(
        f"{named} a plugin here ended the process that loads plugins, with {here.how}: "
        f"{here.last_line}"
    )
