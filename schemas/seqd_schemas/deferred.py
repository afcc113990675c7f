"""Deferred imports: a package exports names whose modules are imported at first use (PEP 562).

The names are those that a type checker sees: they are read off the package's own imports, which
stand under `if TYPE_CHECKING`. Imports nothing of ours.
"""

import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

_IMPORT = re.compile(r"^    from ([\w.]+) import (\*|\w+)", re.MULTILINE)
#: Of a module that is imported as a whole: what it defines, which is what it imports itself not.
_DEFINED = re.compile(
    r"^(?:(?:class|def) ([A-Za-z]\w*)|([A-Za-z]\w*)(?:: [^=\n]+)? = )", re.MULTILINE
)


def deferred(
    package: dict[str, Any], but: tuple[str, ...] = ()
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """Return the `__getattr__`, the `__dir__` and the `__all__` of a package.

    `package` is its `globals()`; `but` names what its modules define and it does not offer.
    What was asked for once is kept there, so that it is looked up only once.
    """
    homes = {name: module for name, module in _names(package) if name not in but}

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")
        found: object = getattr(import_module(homes[name]), name)
        package[name] = found
        return found

    return get, lambda: sorted({*package, *homes}), sorted(homes)


def _names(package: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a package imports for a type checker, each with its module."""

    def source(file: str) -> str:
        return str(package["__loader__"].get_data(file), "utf-8")

    own_file = package["__file__"]
    _, _, imports = source(own_file).partition("\nif TYPE_CHECKING:\n")
    for module, listed in _IMPORT.findall(imports):
        if listed == "*":
            file = own_file.replace("__init__", module.rpartition(".")[2])
            yield from ((a or b, module) for a, b in _DEFINED.findall(source(file)))
        else:
            yield listed, module
