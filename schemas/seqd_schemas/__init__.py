"""The wire contract of seqd: what services, workers and other languages say to each other.

Pydantic and the standard library only, so that a service can install and read it alone.
"""

from typing import TYPE_CHECKING

from seqd_schemas.deferred import deferred

if TYPE_CHECKING:
    from seqd_schemas.audit import *
    from seqd_schemas.base import *
    from seqd_schemas.cards import *
    from seqd_schemas.events import *
    from seqd_schemas.failures import *
    from seqd_schemas.fleet import *
    from seqd_schemas.gateway import *
    from seqd_schemas.inbox import *
    from seqd_schemas.items import *
    from seqd_schemas.jobs import *
    from seqd_schemas.keys import *
    from seqd_schemas.manifests import *
    from seqd_schemas.orders import *
    from seqd_schemas.outputs import *
    from seqd_schemas.results import *
    from seqd_schemas.rollouts import *
    from seqd_schemas.schema_files import *
    from seqd_schemas.states import *
    from seqd_schemas.stored import *
    from seqd_schemas.tenants import *

#: The names of each module, which is imported when one of them is first asked for.
_NAMES = {
    ".audit": "AuditEntry AuditRecord",
    ".base": (
        "Code Count CustomId DEFAULT_TENANT EntryId EpochMs FORMAT JobId Label LeastFormat "
        "MAX_INLINE_ITEMS MAX_JOB_BYTES MAX_TEXT_CHARS ModelName ModelRef ModelReference "
        "OperatorText ParameterName Parameters ParameterValue PluginVersions Positive Scalar "
        "Sha256 ShortText TaskName TenantName WireModel"
    ),
    ".cards": (
        "Confusion EvaluatedClass EvaluatedExample EvaluatedMetric MAX_CONFUSIONS MAX_EVALUATIONS "
        "MAX_EXAMPLE_CHARS MAX_EXAMPLES MAX_SPEEDS MeasuredSpeed ModelCard ReliabilityBin "
        "VersionEvaluation VersionMeasurements WrittenSample"
    ),
    ".events": (
        "Cancelled Completed Epoch EVENT Event EventId Expired Expiring Failed Log MAX_DELTA_CHARS "
        "MAX_DELTAS Missed Paused Progress Queued Rejected Resumed Sample Started Step TextDelta "
        "TextDeltas UnitName"
    ),
    ".failures": (
        "DeathCause Failure FailureRecord FailureScope ItemError ItemErrorCode "
        "MAX_FAILURE_MESSAGE_CHARS MAX_NAMED_ITEMS MAX_TRACEBACK_BYTES"
    ),
    ".fleet": (
        "CatalogEntry ChildDeath ClaimInHand Cordon CordonAction CordonRule DeviceStatus "
        "MAX_CORDON_RULES MAX_DEATH_CHARS MAX_DEATHS MAX_LEFT_OUT MAX_MODELS MAX_PAUSED_MODELS "
        "MAX_PLACEMENT_TARGETS MAX_PLACEMENTS MAX_PUBLISHED_CHANGES MAX_RUN_TASKS MAX_UNFIT "
        "MAX_VERSIONS MAX_WORKER_LABELS ModelPause OutputBound PlacementRule PluginState "
        "PluginStatus TaskSchema UnfitCode UnfitVersion VersionSummary WorkerState WorkerStatus "
        "WorkTotals"
    ),
    ".gateway": (
        "ApiKey ApiKeyRecord CommonRequest FileId FilePurpose KeyRole LineFault "
        "MAX_REQUESTS_PER_MINUTE MAX_TENANT_WEBHOOKS MAX_WEBHOOKS UploadedFile WEBHOOK_ENDINGS "
        "WEBHOOK_EVENTS Webhook WebhookEndpoint WebhookStatus"
    ),
    ".inbox": "InboxAnswer MAX_GIVEN_ID_CHARS",
    ".items": "Item ItemChunk LabelledText RefusedItem TextChunk",
    ".jobs": (
        "ClassifyJob DatasetName DataSource engine_of FieldName FileFormat FilePath FileSource "
        "GenerateJob has_upload HeldOutSource InlineSource ItemSource Job JobKind MAX_COMBINATIONS "
        "MAX_RECORD_FIELDS MAX_SWEPT NamedSource NamedTask OUTPUT_FORMAT output_folder_of "
        "own_options Priority RecordItem RecordsSource RESERVED_TASKS RunJob RunSource SweepJob "
        "SweptValues Task task_of TrainJob UploadSource"
    ),
    ".keys": (
        "DEFAULT_PREFIX INBOX_GROUP Keys queue_of QueueName queues_of_model route_of wakeup_queue"
    ),
    ".manifests": (
        "DataFingerprint EpochMetrics FileDigest job_of_run LibraryText MAX_KEPT_EPOCHS "
        "MAX_LISTED_CLASSES MAX_VERSION_FILES ModelFile ModelManifest run_id_of VersionOrigin"
    ),
    ".orders": "MAX_MODEL_ORDERS MAX_WARM_S ModelOrder OrderAction OrderAnswer",
    ".outputs": (
        "Dimensions Embedding FLOAT_BYTES Labels MAX_DIMENSIONS MAX_LABELS MAX_SPANS Score "
        "ScoredLabel Span Spans TaskOutput Text Vector VECTOR_FORMAT"
    ),
    ".results": (
        "Classification ClassName ERROR_COLUMNS FinishReason GeneratedSample Generation "
        "ITEM_COLUMNS ITEM_RESULT ItemFailure ItemOutput ItemResult ItemSuccess JsonOutput "
        "MAX_CLASSES MAX_OUTPUT_FIELDS MetricName Metrics NAMED_OUTPUTS NamedOutput Output "
        "Probability TrainedVersion TrainingResult"
    ),
    ".rollouts": (
        "JobRollout MAX_ABORTED MAX_ERROR_RATE Rollout RolloutFile RolloutId RolloutKind "
        "ServiceChange Share VersionCounts"
    ),
    ".schema_files": "json_schemas task_schemas write_json_schemas write_task_schemas",
    ".states": (
        "Counts JobAction JobRecord JobState StateRules STATES TERMINAL_EVENTS Waiting WaitingCode"
    ),
    ".stored": "from_stored is_later to_stored",
    ".tenants": "Day MAX_WEIGHT MIN_WEIGHT OTHER_TENANTS TenantLimits TenantRecord TenantUsage",
}

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = deferred(globals(), _NAMES)
