"""The ledger: jobs in Redis, changed only by the Lua scripts in `lua/`.

`Ledger` joins its parts: `submissions` (submit a job), `work` (claim, renew, commit),
`checkpoints` (of trainings), `control` (cancel, pause, remove), `jobs` (read jobs, results and
events), `inbox` (entries that other languages write) and `fleet` (what workers publish). It imports
nothing of Celery, plugins or Keras; the wakeups for Celery are messages that its scripts write.
"""

from seqd.ledger.ledger import Ledger, LedgerParts
from seqd.ledger.redis import connect, redis_errors

__all__ = ["Ledger", "LedgerParts", "connect", "redis_errors"]
