"""Which plugins the conformance tests are about: all that are installed, the guide's, the example.

The checks themselves are those of `seqd.testing.checks`, as an author runs them. Nothing here knows
a model by name, so that a new plugin is taken up as soon as it is installed. The plugin of the
guide for plugin authors is one of them, since it is what they begin with, and so are the examples,
those whose library is installed.
"""

import sys
from collections.abc import Sequence
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from example_plugin import OTHER_EXAMPLES, installed_example, runnable_examples
from guide_plugin import installed_plugin
from seqd.models.loading import discover
from seqd.models.registry import Registry
from seqd.settings import Settings
from seqd.testing.checks.catalog import Part
from seqd.testing.checks.pytest_checks import PlannedCheck

FOLDER = Path(__file__).parent

#: Checks that take seconds of each version, and are left to `make test-all`.
SLOW = {"M2", "M3"}

#: Plugins of the examples and their models.
EXAMPLES = {"embed", "ngrams", *OTHER_EXAMPLES}


def _folders() -> list[str]:
    """Where to find the plugins of the guide and of the examples, unless one is installed."""
    installed = {entry.name for entry in entry_points(group="seqd")}
    folders = {"length": installed_plugin, "embed": installed_example}
    folders |= {name: partial(installed_example, f"seqd_{name}") for name in runnable_examples()}
    return [str(folder()) for name, folder in folders.items() if name not in installed]


def _load_all() -> tuple[Registry, dict[str, object]]:
    """Return the registry of all plugins, and each plugin's module by the plugin's name."""
    besides = _folders()
    sys.path += besides
    try:
        registry = Registry.load(Settings())
        return registry, {candidate.name: sys.modules[candidate.module] for candidate in discover()}
    finally:
        # The other tests of this run are about what is installed, and no more.
        for folder in besides:
            sys.path.remove(folder)


REGISTRY, PLUGINS = _load_all()


@pytest.fixture(scope="session")
def registry() -> Registry:
    """All installed plugins, the guide's and the examples."""
    return REGISTRY


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Leave to `make test-all` what takes long, and to `make test-long` what repeats it."""
    for item in items:
        check = _check_of(item)
        if check is not None and item.path.parent == FOLDER and _is_slow(check):
            item.add_marker(pytest.mark.slow)
            if _is_long(check):
                item.add_marker(pytest.mark.long)


def _is_slow(check: PlannedCheck) -> bool:
    """True for examples, trainings of networks, measured memory, and what takes another process."""
    if check.model in EXAMPLES or check.id in SLOW:
        return True
    return _trains_a_network(check) or _is_long(check)


def _is_long(check: PlannedCheck) -> bool:
    """True for what repeats what others are checked for.

    A version that is trained here and the starter are of the same code. That another process gives
    the same as this one, a test of `unit` says of each starter of seqd: what it has always written.
    And the networks of examples are trained by the same loop.
    """
    if check.id == "D2" and check.part is Part.STARTER:
        return True
    if check.model in OTHER_EXAMPLES and _trains_a_network(check):
        return True
    model = REGISTRY.models.get(check.model)
    return check.part is Part.TRAINED and model is not None and model.starter is not None


def _check_of(item: pytest.Item) -> PlannedCheck | None:
    chosen = getattr(item, "callspec", None)
    return chosen.params.get("seqd_check") if chosen is not None else None


def _trains_a_network(check: PlannedCheck) -> bool:
    if check.part not in (Part.TRAINING, Part.TRAINED) or check.why_not:
        return False
    return "epochs" in REGISTRY.model(check.model).tasks["train"].parameters.model_fields
