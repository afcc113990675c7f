"""A plugin with a misspelt hook; pluggy would accept it and never call it."""

from seqd.hookspecs import hookimpl


@hookimpl
def seqd_register_model():
    """Hand over nothing, since nobody asks."""
    return []
