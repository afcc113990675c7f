"""What an author wrote of a model: a subclass of `Model`, or what `seqd.plugin` has decorated."""

from seqd.hookspecs import Model
from seqd.plugin.classes import ClassModel
from seqd.plugin.functions import FunctionModel


def author_object(model: Model) -> object:
    """Return the class or the function; of a model of several functions the first."""
    if isinstance(model, ClassModel):
        return model.plan.kind
    if isinstance(model, FunctionModel):
        return next(iter(model.functions.values())).call
    return type(model)


def author_method(model: Model, name: str) -> object:
    """Return what the author wrote as `train` or `load`; where nothing, what it would be of."""
    wrote = author_object(model)
    return getattr(wrote, name, wrote)
