"""Whether a job that a client sends can be accepted; where not, which plugins are broken."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from seqd.admission import Admitted, admit
from seqd.errors import UnknownModel
from seqd.ledger import LedgerParts
from seqd.ledger.exchange import Exchange
from seqd_schemas import Job, ModelReference

if TYPE_CHECKING:
    from seqd_schemas import CatalogEntry

#: Seconds for which what workers say of their plugins is taken as it was read.
_WORKERS_AGE_S = 2.0


def admission_of(
    job: Job, ledger: LedgerParts, catalog: "Mapping[str, CatalogEntry]"
) -> Exchange[Admitted]:
    """Return how a job runs; see `admit`.

    An UnknownModel for a model that no worker publishes also names the plugins that are broken on
    workers: it may be of one of these.
    """
    try:
        return admit(job, catalog)
    except UnknownModel as error:
        from seqd.serving import broken_told  # here: workers' records are read for this alone

        name = ModelReference.parse(job.model).name
        if name in catalog:
            raise  # it is a version that there is not
        workers = yield from ledger.fleet.recent_workers.steps(_WORKERS_AGE_S)
        raise UnknownModel(f"{error}{broken_told(workers, name)}") from None
