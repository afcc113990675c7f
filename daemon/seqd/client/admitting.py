"""Whether a job that a client sends can be accepted; where not, which plugins are broken.

A worker that is still starting may bring a model that no other has: it is waited for.
"""

from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING

from seqd.admission import Admitted, admit
from seqd.errors import UnknownModel
from seqd.ledger import LedgerParts
from seqd.ledger.exchange import Exchange, Pause
from seqd_schemas import Job, ModelReference

if TYPE_CHECKING:
    from seqd_schemas import CatalogEntry

#: Seconds for which what workers say of their plugins is taken as it was read.
_WORKERS_AGE_S = 2.0

#: Seconds for which a job waits for workers that are starting, and between two looks at them.
STARTING_WAIT_S = 15.0
_LOOK_S = 0.25


def admission_of(
    job: Job, ledger: LedgerParts, catalog: "Mapping[str, CatalogEntry]", *, wait_s: float = 0.0
) -> Exchange[Admitted]:
    """Return how a job runs; see `admit`.

    For a model that no worker publishes it waits `wait_s` seconds at most, while a worker is
    starting. The UnknownModel then names that worker, or the plugins that are broken on workers: it
    may be of one of these.
    """
    try:
        return admit(job, catalog)
    except UnknownModel as error:
        if ModelReference.parse(job.model).name in catalog:
            raise  # it is a version that there is not
        refusal = error
    from seqd.serving import starting_told, unpublished_told  # here: for this alone

    deadline_s = monotonic() + wait_s
    workers = yield from ledger.fleet.recent_workers.steps(_WORKERS_AGE_S)
    while starting_told(workers) and monotonic() < deadline_s:
        yield Pause(_LOOK_S)
        workers = yield from ledger.fleet.workers.steps()
        try:
            return admit(job, (yield from ledger.fleet.catalog.steps()))
        except UnknownModel as error:
            refusal = error
    raise UnknownModel(f"{refusal}{unpublished_told(workers)}") from None
