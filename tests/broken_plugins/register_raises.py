"""A plugin whose registration raises."""

from seqd.hookspecs import hookimpl


@hookimpl
def seqd_register_models():
    """Fail."""
    raise FileNotFoundError("no file named /opt/models/list.json")
