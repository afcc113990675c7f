"""The wire contract of seqd: what services, workers and other languages say to each other.

Pydantic and the standard library only, so that a service can install and read it alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seqd_schemas.base import (
        MAX_INLINE_ITEMS,
        MAX_ITEMS,
        MAX_JOB_BYTES,
        MAX_TEXT_CHARS,
        SCHEMA_VERSION,
        Count,
        CustomId,
        EpochMs,
        JobId,
        Label,
        ModelName,
        ModelRef,
        ModelReference,
        ParameterName,
        Parameters,
        ParameterValue,
        RunId,
        Scalar,
        Sha256,
        ShortText,
        TenantName,
        WireModel,
        WirePart,
    )
    from seqd_schemas.events import (
        EVENT,
        TERMINAL_EVENTS,
        Cancelled,
        Completed,
        Epoch,
        Event,
        EventId,
        Expired,
        Expiring,
        Failed,
        Log,
        Paused,
        Progress,
        Queued,
        Rejected,
        Resumed,
        Sample,
        Started,
        Step,
    )
    from seqd_schemas.failures import (
        Failure,
        ItemError,
        ItemErrorCode,
    )
    from seqd_schemas.fleet import (
        MAX_MODELS,
        MAX_VERSIONS,
        CatalogEntry,
        PluginState,
        PluginStatus,
        TaskSchema,
        VersionSummary,
        WorkerState,
        WorkerStatus,
        WorkTotals,
    )
    from seqd_schemas.items import (
        Item,
        ItemChunk,
        LabelledText,
        RefusedItem,
        TextChunk,
    )
    from seqd_schemas.jobs import (
        MAX_COMBINATIONS,
        MAX_SWEPT,
        ClassifyJob,
        DatasetName,
        DataSource,
        FieldName,
        FileFormat,
        FilePath,
        FileSource,
        GenerateJob,
        HeldOutSource,
        InlineSource,
        ItemSource,
        Job,
        JobKind,
        NamedSource,
        Priority,
        SweepJob,
        SweptValues,
        Task,
        TrainJob,
        UploadSource,
        task_of,
    )
    from seqd_schemas.keys import (
        DEFAULT_PREFIX,
        INBOX_GROUP,
        Keys,
        bell_queue,
        route_of,
    )
    from seqd_schemas.manifests import (
        MAX_KEPT_EPOCHS,
        DataFingerprint,
        EpochFigures,
        FileDigest,
        LibraryText,
        ModelManifest,
        job_of_run,
        run_id_of,
    )
    from seqd_schemas.pieces import (
        MAX_PIECE_CHARS,
        MAX_PIECES,
        TextPiece,
        TextPieces,
        UnitName,
    )
    from seqd_schemas.results import (
        ITEM_RESULT,
        MAX_CLASSES,
        Classification,
        ClassName,
        FinishReason,
        GeneratedSample,
        Generation,
        ItemFailure,
        ItemOutput,
        ItemResult,
        ItemSuccess,
        MetricName,
        Metrics,
        Probability,
        TrainedVersion,
        TrainingResult,
    )
    from seqd_schemas.schema_files import (
        json_schemas,
        write_json_schemas,
    )
    from seqd_schemas.states import (
        Counts,
        JobRecord,
        JobState,
    )

__all__ = [
    "DEFAULT_PREFIX",
    "EVENT",
    "INBOX_GROUP",
    "ITEM_RESULT",
    "MAX_CLASSES",
    "MAX_COMBINATIONS",
    "MAX_INLINE_ITEMS",
    "MAX_ITEMS",
    "MAX_JOB_BYTES",
    "MAX_KEPT_EPOCHS",
    "MAX_MODELS",
    "MAX_PIECES",
    "MAX_PIECE_CHARS",
    "MAX_SWEPT",
    "MAX_TEXT_CHARS",
    "MAX_VERSIONS",
    "SCHEMA_VERSION",
    "TERMINAL_EVENTS",
    "Cancelled",
    "CatalogEntry",
    "ClassName",
    "Classification",
    "ClassifyJob",
    "Completed",
    "Count",
    "Counts",
    "CustomId",
    "DataFingerprint",
    "DataSource",
    "DatasetName",
    "Epoch",
    "EpochFigures",
    "EpochMs",
    "Event",
    "EventId",
    "Expired",
    "Expiring",
    "Failed",
    "Failure",
    "FieldName",
    "FileDigest",
    "FileFormat",
    "FilePath",
    "FileSource",
    "FinishReason",
    "GenerateJob",
    "GeneratedSample",
    "Generation",
    "HeldOutSource",
    "InlineSource",
    "Item",
    "ItemChunk",
    "ItemError",
    "ItemErrorCode",
    "ItemFailure",
    "ItemOutput",
    "ItemResult",
    "ItemSource",
    "ItemSuccess",
    "Job",
    "JobId",
    "JobKind",
    "JobRecord",
    "JobState",
    "Keys",
    "Label",
    "LabelledText",
    "LibraryText",
    "Log",
    "MetricName",
    "Metrics",
    "ModelManifest",
    "ModelName",
    "ModelRef",
    "ModelReference",
    "NamedSource",
    "ParameterName",
    "ParameterValue",
    "Parameters",
    "Paused",
    "PluginState",
    "PluginStatus",
    "Priority",
    "Probability",
    "Progress",
    "Queued",
    "RefusedItem",
    "Rejected",
    "Resumed",
    "RunId",
    "Sample",
    "Scalar",
    "Sha256",
    "ShortText",
    "Started",
    "Step",
    "SweepJob",
    "SweptValues",
    "Task",
    "TaskSchema",
    "TenantName",
    "TextChunk",
    "TextPiece",
    "TextPieces",
    "TrainJob",
    "TrainedVersion",
    "TrainingResult",
    "UnitName",
    "UploadSource",
    "VersionSummary",
    "WireModel",
    "WirePart",
    "WorkTotals",
    "WorkerState",
    "WorkerStatus",
    "bell_queue",
    "job_of_run",
    "json_schemas",
    "route_of",
    "run_id_of",
    "task_of",
    "write_json_schemas",
]

#: The names of each module, which is imported when one of them is first asked for.
_NAMES = {
    "base": (
        "Count CustomId EpochMs JobId Label MAX_INLINE_ITEMS MAX_ITEMS MAX_JOB_BYTES "
        "MAX_TEXT_CHARS ModelName ModelRef ModelReference ParameterName ParameterValue Parameters "
        "RunId SCHEMA_VERSION Scalar Sha256 ShortText TenantName WireModel WirePart"
    ),
    "events": (
        "Cancelled Completed EVENT Epoch Event EventId Expired Expiring Failed Log Paused "
        "Progress Queued Rejected Resumed Sample Started Step TERMINAL_EVENTS"
    ),
    "failures": "Failure ItemError ItemErrorCode",
    "fleet": (
        "CatalogEntry MAX_MODELS MAX_VERSIONS PluginState PluginStatus TaskSchema VersionSummary "
        "WorkTotals WorkerState WorkerStatus"
    ),
    "items": "Item ItemChunk LabelledText RefusedItem TextChunk",
    "jobs": (
        "ClassifyJob DataSource DatasetName FieldName FileFormat FilePath FileSource GenerateJob "
        "HeldOutSource InlineSource ItemSource Job JobKind MAX_COMBINATIONS MAX_SWEPT NamedSource "
        "Priority SweepJob SweptValues Task TrainJob UploadSource task_of"
    ),
    "schema_files": "json_schemas write_json_schemas",
    "keys": "DEFAULT_PREFIX INBOX_GROUP Keys bell_queue route_of",
    "manifests": (
        "DataFingerprint EpochFigures FileDigest LibraryText MAX_KEPT_EPOCHS ModelManifest "
        "job_of_run run_id_of"
    ),
    "pieces": "MAX_PIECES MAX_PIECE_CHARS TextPiece TextPieces UnitName",
    "results": (
        "ClassName Classification FinishReason GeneratedSample Generation ITEM_RESULT ItemFailure "
        "ItemOutput ItemResult ItemSuccess MAX_CLASSES MetricName Metrics Probability "
        "TrainedVersion TrainingResult"
    ),
    "states": "Counts JobRecord JobState",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = found  # so that the next one does not come here
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES})
