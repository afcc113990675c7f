"""The ledger's word on which checkpoints of a training count; the files are on a disk.

Called by `seqd.worker.checkpoints`.
"""

from dataclasses import dataclass
from typing import cast

from redis import Redis

from seqd.ledger.connection import redis_errors
from seqd.ledger.scripts import Scripts, as_list, as_text
from seqd.ledger.work import Unit
from seqd_schemas import Keys

#: Checkpoints of a job that are kept: the last one, and one to fall back to.
KEPT = 2


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """A checkpoint that counts."""

    name: str
    #: Digest of its `checkpoint.json`, which has the digests of all else.
    sha256: str


class CheckpointRecords:
    """Records and finds checkpoints."""

    def __init__(self, redis: Redis, scripts: Scripts, keys: Keys) -> None:
        self._redis = redis
        self._scripts = scripts
        self._keys = keys

    def commit(self, unit: Unit, record: CheckpointRecord) -> list[str]:
        """Let a checkpoint count; gives the names of those that do, newest first.

        None of them when the unit is not ours any more: then nothing was changed.
        """
        reply = self._scripts.call(
            "checkpoint", unit.job_id, unit.name, unit.attempt, record.name, record.sha256, KEPT
        )
        return [as_text(name) for name in as_list(reply)]

    def of(self, job_id: str) -> list[CheckpointRecord]:
        """Give a job's checkpoints that count, newest first; of a job that is gone, none."""
        with redis_errors(self._redis):
            field = self._redis.hget(self._keys.job(job_id), "checkpoints")
        entries = (cast(bytes | None, field) or b"").decode().split()
        return [CheckpointRecord(*entry.split(":", 1)) for entry in entries]
