"""A plugin that hands over something that is no model."""

from seqd.hookspecs import hookimpl


@hookimpl
def seqd_register_models():
    """Hand over a name in place of a model."""
    return ["imdb_lstm"]
