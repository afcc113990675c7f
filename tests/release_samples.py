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
    a_catalog_entry,
    a_chunk,
    a_classify_job,
    a_failure,
    a_generate_job,
    a_sweep_job,
    a_text_chunk,
    a_train_job,
    a_trained_version,
    a_training_result,
    a_worker_status,
    an_epoch,
    inline,
    some_deltas,
    some_generations,
    some_results,
)
from ledger_fixtures import BRIEFLY_S, Environment
from seqd.ledger.jobs import JOB
from seqd.ledger.work import CheckpointRecord
from seqd_schemas import (
    EVENT,
    ITEM_RESULT,
    Cancelled,
    CatalogEntry,
    Classification,
    Completed,
    Counts,
    DataFingerprint,
    Expired,
    Expiring,
    Failed,
    FileDigest,
    FileSource,
    FinishReason,
    GeneratedSample,
    Generation,
    InboxAnswer,
    ItemChunk,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
    Log,
    ModelManifest,
    NamedSource,
    OutputBound,
    Paused,
    PluginState,
    PluginStatus,
    Priority,
    Progress,
    Queued,
    RecordItem,
    RecordsSource,
    RefusedItem,
    Rejected,
    Resumed,
    RunJob,
    Sample,
    Started,
    Step,
    TaskSchema,
    TextChunk,
    TextDeltas,
    TrainingResult,
    UnfitCode,
    UnfitVersion,
    UploadSource,
    WorkerStatus,
)

RELEASES = Path(__file__).parent / "contract" / "releases"

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

COUNTS = Counts(total=3, succeeded=1, errored=1, processing=1)
REFUSED = RefusedItem(
    custom_id="line-3", refused=ItemError(code=ItemErrorCode.TOO_LONG, message="It is too long.")
)


def sample_records() -> dict[str, list[BaseModel]]:
    """Return records of each kind: as small as they can be, and with every field set."""
    return {
        "catalog_entry": [a_catalog_entry(), _a_full_catalog_entry()],
        "event": _events(),
        "inbox_answer": _answers(),
        "item_chunk": [
            a_chunk(),
            ItemChunk(first_index=7, items=(*a_chunk(1).items, REFUSED)),
        ],
        "item_result": _results(),
        "job": _jobs(),
        "model_manifest": _manifests(),
        "text_chunk": [a_text_chunk(), a_text_chunk().model_copy(update={"held_out": True})],
        "text_deltas": [some_deltas("it was", offset=3)],
        "training_result": [a_training_result()],
        "worker_status": [a_worker_status(), _a_full_status()],
    }


def _jobs() -> list[BaseModel]:
    options = {
        "priority": Priority.INTERACTIVE,
        "tenant": "shop",
        "idempotency_key": "order-7",
        "metadata": {"caller": "reports"},
        "expires_in_s": 3_600,
        "max_running_units": 2,
        "results_ttl_s": 86_400,
    }
    file = FileSource(path="/data/reviews.csv", format="csv", id_field="id", text_field="review")
    named = NamedSource(name="keras:imdb")
    return [
        a_classify_job(),
        a_classify_job(source=inline("good", "bad"), parameters={"probabilities": True}, **options),
        a_classify_job(model="imdb_lstm@3", source=file),
        a_classify_job(source=UploadSource(expected_items=5), continues="job-1"),
        a_generate_job(),
        a_generate_job(stream=True, parameters={"length": 20, "temperatures": [0.5, 1.0]}),
        a_train_job(),
        a_train_job(preset="small", labels=("candidate",), held_out=named, **options),
        a_train_job(source=file, held_out=UploadSource(), schema_version=2),
        a_sweep_job(),
        RunJob(model="vectors", task="embed", source=inline("good", "bad"), **options),
        RunJob(model="mirror", task="mirror", source=UploadSource(), stream=True),
        RunJob(model="pairs", task="compare", source=RecordsSource(items=(_a_record(),))),
        a_sweep_job(preset="small", held_out=named, metric="loss", labels=("best",), only=("a=1",)),
    ]


def _a_record() -> RecordItem:
    return RecordItem(custom_id="pair-1", input={"left": "a", "right": "b", "weight": 2})


def _results() -> list[BaseModel]:
    sample = GeneratedSample(
        text="and so on",
        temperature=0.5,
        seed=7,
        mean_log_prob=-1.25,
        finish_reason=FinishReason.STOP,
        distinct_n=(1.0, 0.5),
        longest_copy=4,
    )
    outputs = [
        Classification(
            label="like",
            score=0.75,
            truncated=True,
            unknown_share=0.5,
            probabilities={"like": 0.75, "dislike": 0.25},
        ),
        Generation(prompt="the ", unknown_characters=1, samples=(sample,)),
        a_trained_version(),
    ]
    error = ItemError(code=ItemErrorCode.CANCELLED, message="The job ended.", retryable=True)
    return [
        *some_results(2, errored=1),
        *some_generations("ab"),
        *(ItemSuccess(custom_id="row-1", output=output) for output in outputs),
        ItemFailure(custom_id="row-2", error=error, attempts=3),
    ]


def _events() -> list[BaseModel]:
    head = {"job_id": "job-1", "at_ms": 5}
    counts = {**head, "counts": COUNTS}
    failure = a_failure(retryable=True, retry_after_s=5.0)
    figures = {"loss": 0.5}
    return [
        Queued(**counts),
        Started(**head, worker="cpu:0@here-1"),
        Progress(**counts, rate_per_s=2.5),
        Progress(**counts, rate_per_s=2.5, eta_s=1.5),
        Step(**head, done=1, total=9, metrics=figures, eta_s=4.0, run="a=1"),
        an_epoch("job-1", metrics=figures),
        Sample(**head, epoch=1, temperature=1.0, prompt="the ", text="end"),
        Log(**head, level="warning", message="It reads little."),
        Completed(**counts),
        Completed(**counts, training=a_training_result()),
        Failed(**counts, failure=failure),
        Cancelled(**counts),
        Expired(**counts, failure=a_failure()),
        Paused(**counts),
        Resumed(**counts),
        Expiring(**head, what="results", expires_at_ms=9),
        Rejected(**head, failure=failure),
        Rejected(**head, failure=a_failure(), existing_job_id="job-2"),
    ]


def _manifests() -> list[BaseModel]:
    digest = FileDigest(sha256="0" * 64, size_bytes=3)
    data = DataFingerprint(description="reviews.csv", records=2, sha256="1" * 64)
    small = {
        "model": "imdb_lstm",
        "version": 3,
        "plugin_version": "0.2.0",
        "parameters": {"epochs": 2},
        "metrics": {"loss": 0.5},
        "data": data,
        "libraries": {"keras": "3.15.1"},
        "created_at_ms": 5,
        "files": {"weights.safetensors": digest},
    }
    epochs = ({"epoch": 1, "seconds": 2.0, "metrics": {"loss": 0.5}},)
    more = {"preset": "small", "epochs": epochs, "seed": 7, "job_id": "job-1", "unit": 0}
    learnt = {"text_sha256": "2" * 64, "classes": {"good": 1}, "other_labelled": 1}
    origin = {"worker": "w", "slot": "cpu:0", "attempts": 2, "continues": "job-0", "in_service": 2}
    card = {"data": data.model_dump() | learnt, "held_out": data, "origin": origin}
    return [
        ModelManifest.model_validate(fields)
        for fields in (small, small | more, small | more | card)
    ]


def _answers() -> list[BaseModel]:
    failure = a_failure(code="id_in_use")
    entry = {"entry": "5-0", "id": "job-1"}
    return [
        InboxAnswer(**entry, outcome="accepted", job_id="job-1", created=True),
        InboxAnswer(**entry, outcome="accepted", job_id="job-1"),
        InboxAnswer(**entry, outcome="rejected", failure=failure, existing_job_id="job-2"),
        InboxAnswer(entry="6-0", outcome="rejected", failure=a_failure()),
    ]


def _a_full_catalog_entry() -> CatalogEntry:
    run_task = TaskSchema(
        parameters={},
        unit_items=64,
        summary="Compares two texts.",
        input={"type": "object"},
        result={"type": "object"},
        allows_empty=True,
        digest="3" * 64,
    )
    bound = OutputBound(
        factors=("length",), lists=("temperatures",), characters_per_symbol=4, max_characters=2_000
    )
    return a_catalog_entry(
        tasks={"generate": TaskSchema(parameters={}, unit_items=32, output=bound)},
        run_tasks={"compare": run_task},
        presets={"small": {"epochs": 1}},
        datasets=("keras:imdb",),
        labels={"production": 0},
        max_output_characters=2_000_000,
    )


def _a_full_status() -> WorkerStatus:
    plugin = PluginStatus(
        name="imdb_lstm",
        distribution="seqd",
        version="0.2.0",
        state=PluginState.BROKEN,
        reason="It has no numpy.",
        code="import_failed",
        models=("imdb_lstm",),
        import_seconds=0.5,
    )
    work = {"units": 1, "items": 2, "claim_s": 0.5}
    unfit = UnfitVersion(
        model="imdb_lstm", version=2, code=UnfitCode.DAMAGED, message="A file is cut.", since_ms=5
    )
    return a_worker_status(
        models_loaded=("imdb_lstm@3",),
        plugins=(plugin,),
        work=work,
        versions={"imdb_lstm": (0, 3)},
        run_tasks={"pairs": ("compare",)},
        unfit=(unfit,),
    )


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
