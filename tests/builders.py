"""Builders of records for tests: each gives a small valid one, with overrides by name.

Pure: nothing here touches Redis, a plugin or a file. Any test may use them.
"""

import time

from seqd_schemas import (
    CatalogEntry,
    Classification,
    ClassifyJob,
    Epoch,
    Failure,
    FailureRecord,
    GeneratedSample,
    GenerateJob,
    Generation,
    InlineSource,
    Item,
    ItemChunk,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
    LabelledText,
    NamedSource,
    SweepJob,
    TaskSchema,
    TextChunk,
    TextDelta,
    TextDeltas,
    TrainedVersion,
    TrainingResult,
    TrainJob,
    UploadSource,
    VersionSummary,
    WorkerState,
    WorkerStatus,
)


def a_classify_job(**changes: object) -> ClassifyJob:
    """A classification whose items a client uploads."""
    fields = {"model": "imdb_lstm", "source": UploadSource()}
    return ClassifyJob.model_validate(fields | changes)


def a_generate_job(**changes: object) -> GenerateJob:
    """A generation whose prompts a client uploads."""
    fields = {"model": "markov", "source": UploadSource()}
    return GenerateJob.model_validate(fields | changes)


def a_train_job(**changes: object) -> TrainJob:
    """A training on a data set that the plugin knows by name."""
    fields = {"model": "imdb_lstm", "source": NamedSource(name="keras:imdb")}
    return TrainJob.model_validate(fields | changes)


def a_sweep_job(**changes: object) -> SweepJob:
    """A sweep over two embedding lengths, on a data set that the plugin knows by name."""
    fields = {"model": "imdb_lstm", "source": NamedSource(name="keras:imdb")}
    return SweepJob.model_validate(fields | {"grid": {"embedding_dim": [8, 16]}} | changes)


def a_trained_version(**changes: object) -> TrainedVersion:
    """What one combination of a sweep made."""
    fields = {"model": "imdb_lstm", "version": 3, "parameters": {"embedding_dim": 8}}
    figures = {"metrics": {"loss": 0.3, "validation_accuracy": 0.86}, "seconds": 12.0}
    return TrainedVersion.model_validate(fields | figures | changes)


def inline(*texts: str) -> InlineSource:
    """Items inside the job, called `item-0`, `item-1` and so on."""
    return InlineSource(items=some_items(len(texts), texts=texts))


def some_items(count: int, *, first: int = 0, texts: tuple[str, ...] = ()) -> tuple[Item, ...]:
    """Items called `item-FIRST` and so on."""
    return tuple(
        Item(custom_id=f"item-{first + at}", text=texts[at] if texts else f"review {first + at}")
        for at in range(count)
    )


def a_chunk(count: int = 2, *, first: int = 0) -> ItemChunk:
    """One unit of items."""
    return ItemChunk(first_index=first, items=some_items(count, first=first))


def a_text_chunk(count: int = 2) -> TextChunk:
    """A share of an uploaded training set."""
    return TextChunk(
        texts=tuple(LabelledText(text=f"text {n}", label="like") for n in range(count))
    )


def some_results(
    count: int = 2, *, first: int = 0, errored: int = 0, label: str = "like"
) -> list[ItemSuccess | ItemFailure]:
    """Results of the items `item-FIRST` and so on; the last `errored` of them are errors."""
    error = ItemError(code=ItemErrorCode.PLUGIN_ERROR, message="no")
    output = Classification(label=label, score=0.9, truncated=False)
    names = [f"item-{first + at}" for at in range(count)]
    good, bad = names[: count - errored], names[count - errored :]
    return [
        *(ItemSuccess(custom_id=name, output=output) for name in good),
        *(ItemFailure(custom_id=name, error=error) for name in bad),
    ]


def a_training_result(**changes: object) -> TrainingResult:
    """What a training made."""
    fields = {"model": "imdb_lstm", "version": 1, "metrics": {"accuracy": 0.9}, "seconds": 1.5}
    return TrainingResult.model_validate(fields | changes)


def a_failure(**changes: object) -> Failure:
    """Why a job failed."""
    return Failure.model_validate({"code": "plugin_fault", "message": "It broke."} | changes)


def a_dead_letter(**changes: object) -> FailureRecord:
    """What is kept of two items that the plugin raised for."""
    fields = {
        "id": "1000-0",
        "at_ms": 1_000,
        "job_id": "j1",
        "tenant": "default",
        "task": "classify",
        "model": "topics",
        "version": 3,
        "code": "plugin_error",
        "items": 2,
    }
    return FailureRecord.model_validate(fields | changes)


def an_epoch(job_id: str, **changes: object) -> Epoch:
    """An event of a training, which gets its time from the server."""
    fields = {"job_id": job_id, "at_ms": 0, "epoch": 1, "epochs": 3, "metrics": {}, "seconds": 2.0}
    return Epoch.model_validate(fields | changes)


def some_deltas(
    text: str, *, offset: int = 0, item: str = "item-0", sample: int = 0, **changes: object
) -> TextDeltas:
    """What one sample of an item goes on with, as the first attempt at unit 0 wrote it."""
    delta = TextDelta(custom_id=item, sample=sample, offset=offset, text=text)
    return TextDeltas.model_validate({"unit": "0", "attempt": 1, "deltas": (delta,)} | changes)


def some_generations(*texts: str, first: int = 0) -> list[ItemSuccess]:
    """Results of the items `item-FIRST` and so on, with one sample each."""
    return [
        ItemSuccess(
            custom_id=f"item-{first + at}",
            output=Generation(
                prompt="", samples=(GeneratedSample(text=text, temperature=1.0, seed=0),)
            ),
        )
        for at, text in enumerate(texts)
    ]


def a_worker_status(**changes: object) -> WorkerStatus:
    """A worker that waits for work."""
    fields = {
        "worker": "cpu:0@here-1",
        "slot": "cpu:0",
        "tasks": ("classify", "generate"),
        "host": "here",
        "pid": 7,
        "state": WorkerState.READY,
        "plugins": (),
        "seqd_version": "0.2.0",
        "started_at_ms": 1,
        "seen_at_ms": int(time.time() * 1_000),
    }
    return WorkerStatus.model_validate(fields | changes)


def a_catalog_entry(**changes: object) -> CatalogEntry:
    """A model that can be run."""
    schema = {"type": "object", "additionalProperties": False, "properties": {}}
    fields = {
        "model": "imdb_lstm",
        "made_with": changes.get("model", "imdb_lstm"),
        "summary": "Likes or dislikes.",
        "plugin": "imdb_lstm",
        "plugin_version": "1.0",
        "tasks": {"classify": TaskSchema(parameters=schema, unit_items=256)},
        "presets": {},
        "versions": (VersionSummary(version=0, created_at_ms=1, metrics={}),),
        "labels": {"production": 0},
        "max_output_characters": 2_000_000,
        "published_at_ms": 1,
    }
    return CatalogEntry.model_validate(fields | changes)
