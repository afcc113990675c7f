"""Where a decorator notes the model that it made, and how the plugin host finds it."""

from collections.abc import Sequence
from types import ModuleType
from typing import Final

from seqd.hookspecs import Model, hookimpl

#: Attribute of a function or class that was decorated.
MODEL_MARK: Final = "__seqd_model__"


class DecoratedPlugin:
    """The plugin object of decorated functions and classes."""

    def __init__(self, models: Sequence[Model]) -> None:
        self.models = tuple(models)

    @hookimpl
    def seqd_register_models(self) -> Sequence[Model]:
        """Return their models."""
        return self.models


def decorated_models(loaded: object) -> list[Model]:
    """Return the model of what was decorated, or those of all that a module has decorated.

    What a package takes from its own modules is its own; what it takes from elsewhere is not.
    """
    if isinstance(loaded, ModuleType):
        own = {id(one): one for one in vars(loaded).values() if _is_of(one, loaded.__name__)}
        return [model for one in own.values() for model in decorated_models(one)]
    marked = getattr(loaded, "__dict__", {})
    return [marked[MODEL_MARK]] if MODEL_MARK in marked else []


def _is_of(thing: object, module: str) -> bool:
    where = getattr(thing, "__module__", None)
    return isinstance(where, str) and (where == module or where.startswith(f"{module}."))
