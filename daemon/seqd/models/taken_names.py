"""Which names of a plugin that is tried from its source other installed plugins have.

Nothing is refused by it: the plugin is alone when it is tried, and beside the others once it is
installed.
"""

import re
from collections.abc import Collection, Sequence

from seqd.models.loading import Candidate
from seqd.models.registry import Registry
from seqd.settings import load_settings


def taken_names(
    mine: Candidate, models: Collection[str], installed: Sequence[Candidate]
) -> dict[str, str]:
    """Return which names of a plugin and its models others have, and what to do about each.

    Such as `the model name 'markov' is taken by the plugin 'markov' of seqd 1.0.0`. Loads the
    others here.
    """
    others = [one for one in installed if not _is_same(one, mine)]
    found = {
        f"the plugin name {mine.name!r} is taken by {one.origin}": "Rename it, by its entry point "
        "or its file: beside the other one, this plugin is not loaded."
        for one in others
        if one.name == mine.name
    }
    settings = load_settings(
        enabled_plugins=None, disabled_plugins=(), required_models=(), required_plugins=()
    )
    registry = Registry(others, settings)
    for name in sorted(set(models) & registry.models.keys()):
        owner = registry.plugin_of(name)
        origin = f"{owner.distribution} {owner.version}".strip()
        said = f"the model name {name!r} is taken by the plugin {owner.name!r} of {origin}"
        found[said] = "Rename it: beside the other one, this plugin is not loaded."
    return found


def _is_same(one: Candidate, mine: Candidate) -> bool:
    """Return True for the plugin itself, where it is installed, too, and for those beside it."""
    return one.package == mine.package or _plain(one.distribution) == _plain(mine.distribution)


def _plain(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
