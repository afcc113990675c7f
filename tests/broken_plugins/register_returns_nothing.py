"""A plugin that forgets to return its models."""

from seqd.hookspecs import hookimpl


@hookimpl
def seqd_register_models():
    """Return nothing."""
