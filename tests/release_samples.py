"""What a release stores: records of every kind, and a ledger with jobs in every state.

`make release-records` records both once for a release, under `contract/releases/VERSION`, and
`contract/test_releases.py` holds each later state of the code against them.
"""

import base64
import json
from pathlib import Path
from typing import cast

from pydantic import BaseModel, TypeAdapter
from redis import Redis

from builders import (
    a_classify_job,
    a_failure,
    a_generate_job,
    a_train_job,
    a_training_result,
    an_epoch,
)
from ledger_fixtures import BRIEFLY_S, Environment
from seqd.ledger.jobs import JOB
from seqd.ledger.work import CheckpointRecord
from seqd_schemas import (
    EVENT,
    ITEM_RESULT,
    CatalogEntry,
    InboxAnswer,
    ItemChunk,
    ModelManifest,
    TextChunk,
    TextDeltas,
    TrainingResult,
    WorkerStatus,
    from_stored,
)

RELEASES = Path(__file__).parent / "contract" / "releases"

#: A record for each field that the last release did not have; emptied when a release is recorded.
NEW_RECORDS = RELEASES.with_name("new_records.json")

#: Prefix of the keys of a recorded ledger.
PREFIX = "seqd-recorded"

#: How each kind of record is read.
KINDS: dict[str, type[BaseModel] | TypeAdapter[BaseModel]] = {
    "catalog_entry": CatalogEntry,
    "event": cast(TypeAdapter[BaseModel], EVENT),
    "inbox_answer": InboxAnswer,
    "item_chunk": ItemChunk,
    "item_result": cast(TypeAdapter[BaseModel], ITEM_RESULT),
    "job": cast(TypeAdapter[BaseModel], JOB),
    "model_manifest": ModelManifest,
    "text_chunk": TextChunk,
    "text_deltas": TextDeltas,
    "training_result": TrainingResult,
    "worker_status": WorkerStatus,
}


def sample_records() -> dict[str, list[BaseModel]]:
    """Return records of each kind: what the last release stored, and what is new since."""
    last = max(RELEASES.iterdir(), key=lambda path: [*map(int, path.name.split("."))])
    rows = [(row["kind"], row["stored"]) for row in read_json(last / "records.json")]
    rows += [(row["kind"], json.dumps(row["stored"])) for row in read_json(NEW_RECORDS)]
    records: dict[str, list[BaseModel]] = {name: [] for name in KINDS}
    for kind, stored in rows:
        records[str(kind)].append(from_stored(KINDS[str(kind)], str(stored)))
    return records


#: Jobs of a recorded ledger that have not ended: a worker of any release completes them.
OPEN_JOBS = ("queued", "running", "paused", "stream")


def build_ledger(environment: Environment) -> None:
    """Hand in jobs, and lead each to the state that its identifier names."""
    control, work = environment.ledger.control, environment.ledger.work

    environment.submit_units(1, job_id="small")
    environment.commit(environment.claim_unit())
    environment.submit_units(2, job_id="errors")
    for _ in range(2):
        environment.commit(environment.claim_unit(), errored=1)
    environment.submit_units(2, job_id="failed")
    work.fail_job(environment.claim_unit(), a_failure())
    environment.submit_units(2, job_id="cancelled")
    environment.commit(environment.claim_unit())
    control.cancel("cancelled")
    environment.submit_units(2, a_classify_job(idempotency_key="key-1"), job_id="running")
    environment.commit(environment.claim_unit())
    environment.with_settings(lease_s=BRIEFLY_S).claim_unit()
    environment.submit_units(1, job_id="paused")
    control.pause("paused")
    environment.submit(a_train_job(), job_id="training", version=None)
    training = environment.claim_unit()
    checkpoint = CheckpointRecord("training-1", "2" * 64)
    environment.ledger.checkpoints.commit(training, checkpoint)
    work.publish(training, an_epoch("training"))
    work.commit_training(training, a_training_result())
    environment.submit_units(1, a_generate_job(stream=True), job_id="stream")
    environment.submit_units(2, job_id="queued")


def dump_keys(redis: Redis, prefix: str) -> list[dict[str, object]]:
    """Return all keys of a ledger with their contents; bytes in base64."""
    names = sorted(cast(list[bytes], list(redis.scan_iter(match=f"{prefix}:*"))))
    return [_dumped(redis, name) for name in names]


def _dumped(redis: Redis, name: bytes) -> dict[str, object]:
    kind = cast(bytes, redis.type(name)).decode()
    content: object
    if kind == "hash":
        content = [[_text(k), _text(v)] for k, v in sorted(redis.hgetall(name).items())]
    elif kind == "zset":
        content = [[_text(m), s] for m, s in redis.zrange(name, 0, -1, withscores=True)]
    elif kind == "set":
        content = sorted(_text(m) for m in redis.smembers(name))
    elif kind == "stream":
        content = [
            [i.decode(), [[_text(k), _text(v)] for k, v in fields.items()]]
            for i, fields in redis.xrange(name)
        ]
    elif kind == "list":
        content = [_text(m) for m in redis.lrange(name, 0, -1)]
    else:
        content = _text(redis.get(name))
    return {"key": name.decode(), "type": kind, "content": content}


def load_keys(redis: Redis, keys: list[dict[str, object]], recorded: str, prefix: str) -> None:
    """Write keys that were recorded under one prefix under another."""

    def raw(text: object) -> bytes:
        return base64.b64decode(str(text)).replace(recorded.encode(), prefix.encode())

    for row in keys:
        name = str(row["key"]).replace(recorded, prefix)
        kind, content = row["type"], cast(list[list[object]], row["content"])
        if kind == "hash":
            redis.hset(name, mapping={raw(k): raw(v) for k, v in content})
        elif kind == "zset":
            redis.zadd(name, {raw(m): float(str(s)) for m, s in content})
        elif kind == "set":
            redis.sadd(name, *(raw(member) for member in content))
        elif kind == "stream":
            for entry_id, fields in content:
                pairs = cast(list[list[object]], fields)
                redis.xadd(name, {raw(k): raw(v) for k, v in pairs}, id=str(entry_id))
        elif kind == "list":
            redis.rpush(name, *(raw(member) for member in content))
        else:
            redis.set(name, raw(content))


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def write_json(path: Path, content: object) -> None:
    """Write a file of records, one a line."""
    rows = content if isinstance(content, list) else [content]
    lines = ",\n".join(json.dumps(row, sort_keys=True) for row in rows)
    path.write_text(f"[\n{lines}\n]\n", encoding="ascii")


def read_json(path: Path) -> list[dict[str, object]]:
    """Return the records of a file."""
    return cast(list[dict[str, object]], json.loads(path.read_text(encoding="ascii")))
