"""The plugin host: finds plugins, loads each alone, and looks models up by name.

A broken plugin is listed with its reason and the others serve. `host` has the registry that
the worker and the command line use, `catalog` what workers publish of it. Clients need none
of this: they read the published catalog (`seqd.admission`).
"""

from seqd.registry.candidates import Candidate
from seqd.registry.catalog import VersionSource, catalog_entry
from seqd.registry.host import Registry

__all__ = ["Candidate", "Registry", "VersionSource", "catalog_entry"]
