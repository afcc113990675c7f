"""The wire contract of seqd: what services, workers and other languages say to each other.

Pydantic and the standard library only, so that a service can install and read it alone.
"""

from typing import TYPE_CHECKING

from seqd_schemas.deferred import deferred

if TYPE_CHECKING:
    from seqd_schemas.base import *
    from seqd_schemas.cards import *
    from seqd_schemas.events import *
    from seqd_schemas.failures import *
    from seqd_schemas.fleet import *
    from seqd_schemas.gateway import *
    from seqd_schemas.items import *
    from seqd_schemas.jobs import *
    from seqd_schemas.keys import *
    from seqd_schemas.manifests import *
    from seqd_schemas.orders import *
    from seqd_schemas.outputs import *
    from seqd_schemas.results import *
    from seqd_schemas.rollouts import *
    from seqd_schemas.schema_files import *
    from seqd_schemas.states import *
    from seqd_schemas.tenants import *

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = deferred(
        globals(), but=("MYPY", "is_tag", "texts_below_fields")
    )
