"""Deferred imports: a package exports names whose modules are imported at first use (PEP 562).

A type checker reads the package's own imports, which stand under `if TYPE_CHECKING`; a test holds
them against what is offered here. Imports nothing of ours.
"""

from collections.abc import Callable, Mapping
from importlib import import_module


def deferred(
    package: dict[str, object], names: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """Return the `__getattr__`, the `__dir__` and the `__all__` of a package.

    `package` is its `globals()`, `names` has those of each module: `.handle` for one of its own.
    What was asked for once is kept there, so that it is looked up only once.
    """
    own_name = str(package["__name__"])
    homes = {name: module for module, listed in names.items() for name in listed.split()}

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {own_name!r} has no attribute {name!r}")
        found: object = getattr(import_module(homes[name], own_name), name)
        package[name] = found
        return found

    return get, lambda: sorted({*package, *homes}), sorted(homes)
