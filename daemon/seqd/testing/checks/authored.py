"""What an author wrote of a model: a subclass of `Model`, or what `seqd.plugin` has decorated."""

from seqd.hookspecs import Model
from seqd.plugin.decorated import DecoratedModel


def author_object(model: Model) -> object:
    """Return the class or the function."""
    return type(model).author if isinstance(model, DecoratedModel) else type(model)


def author_method(model: Model, name: str) -> object:
    """Return what the author wrote as `train` or `load`; where nothing, what it would be of."""
    wrote = author_object(model)
    return getattr(wrote, name, wrote)
