"""The ledger's word on which checkpoints of a training count; the files are on a disk.

Called by `seqd.worker.training.checkpoints`.
"""

from dataclasses import dataclass
from typing import cast

from redis import Redis

from seqd.ledger.connection import redis_errors
from seqd.ledger.scripts import Scripts, as_list, as_text
from seqd.ledger.units import Unit
from seqd_schemas import Keys, job_of_run

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

    def of(self, run_id: str) -> list[CheckpointRecord]:
        """Give a training's checkpoints that count, newest first; of a job that is gone, none.

        `run_id` is its job's, or of one in a sweep `JOB.UNIT`.
        """
        job_id, field = _place_of(run_id)
        with redis_errors(self._redis):
            found = self._redis.hget(self._keys.job(job_id), field)
        entries = (cast(bytes | None, found) or b"").decode().split()
        return [CheckpointRecord(*entry.split(":", 1)) for entry in entries]

    def forget(self, run_id: str) -> None:
        """Let none of a training's checkpoints count any more: it is done."""
        job_id, field = _place_of(run_id)
        with redis_errors(self._redis):
            self._redis.hdel(self._keys.job(job_id), field)


def _place_of(run_id: str) -> tuple[str, str]:
    """Give a training's job, and the field of its hash that names its checkpoints."""
    job_id, number = job_of_run(run_id)
    return job_id, "checkpoints" if number is None else f"checkpoints:{number}"
