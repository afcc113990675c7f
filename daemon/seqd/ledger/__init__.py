"""The ledger: what is true about jobs, in Redis, changed only by the Lua scripts in `lua/`.

`Ledger` holds the four faces of it: `submissions` (hand a job in), `work` (claim, renew,
commit), `records` (read jobs, results and events) and `fleet` (what workers publish). It
knows nothing of Celery, plugins or Keras. Clients and workers use it; nothing else writes
to these keys.
"""

from seqd.ledger.connection import connect, redis_errors
from seqd.ledger.ledger import Ledger

__all__ = ["Ledger", "connect", "redis_errors"]
