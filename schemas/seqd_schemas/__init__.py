"""The wire contract of seqd: what services, workers and other languages say to each other.

Pydantic and the standard library only, so that a service can install and read it alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seqd_schemas.audit import AuditEntry as AuditEntry
    from seqd_schemas.audit import AuditRecord as AuditRecord
    from seqd_schemas.base import FORMAT as FORMAT
    from seqd_schemas.base import MAX_INLINE_ITEMS as MAX_INLINE_ITEMS
    from seqd_schemas.base import MAX_ITEMS as MAX_ITEMS
    from seqd_schemas.base import MAX_JOB_BYTES as MAX_JOB_BYTES
    from seqd_schemas.base import MAX_TEXT_CHARS as MAX_TEXT_CHARS
    from seqd_schemas.base import Count as Count
    from seqd_schemas.base import CustomId as CustomId
    from seqd_schemas.base import EpochMs as EpochMs
    from seqd_schemas.base import JobId as JobId
    from seqd_schemas.base import Label as Label
    from seqd_schemas.base import LeastFormat as LeastFormat
    from seqd_schemas.base import ModelName as ModelName
    from seqd_schemas.base import ModelRef as ModelRef
    from seqd_schemas.base import ModelReference as ModelReference
    from seqd_schemas.base import ParameterName as ParameterName
    from seqd_schemas.base import Parameters as Parameters
    from seqd_schemas.base import ParameterValue as ParameterValue
    from seqd_schemas.base import RunId as RunId
    from seqd_schemas.base import Scalar as Scalar
    from seqd_schemas.base import Sha256 as Sha256
    from seqd_schemas.base import ShortText as ShortText
    from seqd_schemas.base import TaskName as TaskName
    from seqd_schemas.base import TenantName as TenantName
    from seqd_schemas.base import WireAdapter as WireAdapter
    from seqd_schemas.base import WireModel as WireModel
    from seqd_schemas.cards import MAX_CONFUSIONS as MAX_CONFUSIONS
    from seqd_schemas.cards import MAX_EVALUATIONS as MAX_EVALUATIONS
    from seqd_schemas.cards import MAX_EXAMPLE_CHARS as MAX_EXAMPLE_CHARS
    from seqd_schemas.cards import MAX_EXAMPLES as MAX_EXAMPLES
    from seqd_schemas.cards import MAX_SPEEDS as MAX_SPEEDS
    from seqd_schemas.cards import Confusion as Confusion
    from seqd_schemas.cards import EvaluatedClass as EvaluatedClass
    from seqd_schemas.cards import EvaluatedExample as EvaluatedExample
    from seqd_schemas.cards import EvaluatedMetric as EvaluatedMetric
    from seqd_schemas.cards import MeasuredSpeed as MeasuredSpeed
    from seqd_schemas.cards import ModelCard as ModelCard
    from seqd_schemas.cards import ReliabilityBin as ReliabilityBin
    from seqd_schemas.cards import VersionEvaluation as VersionEvaluation
    from seqd_schemas.cards import VersionMeasurements as VersionMeasurements
    from seqd_schemas.cards import WrittenSample as WrittenSample
    from seqd_schemas.events import EVENT as EVENT
    from seqd_schemas.events import TERMINAL_EVENTS as TERMINAL_EVENTS
    from seqd_schemas.events import Cancelled as Cancelled
    from seqd_schemas.events import Completed as Completed
    from seqd_schemas.events import Epoch as Epoch
    from seqd_schemas.events import Event as Event
    from seqd_schemas.events import EventId as EventId
    from seqd_schemas.events import Expired as Expired
    from seqd_schemas.events import Expiring as Expiring
    from seqd_schemas.events import Failed as Failed
    from seqd_schemas.events import Log as Log
    from seqd_schemas.events import Missed as Missed
    from seqd_schemas.events import Paused as Paused
    from seqd_schemas.events import Progress as Progress
    from seqd_schemas.events import Queued as Queued
    from seqd_schemas.events import Rejected as Rejected
    from seqd_schemas.events import Resumed as Resumed
    from seqd_schemas.events import Sample as Sample
    from seqd_schemas.events import Started as Started
    from seqd_schemas.events import Step as Step
    from seqd_schemas.failure_records import MAX_FAILURE_MESSAGE_CHARS as MAX_FAILURE_MESSAGE_CHARS
    from seqd_schemas.failure_records import MAX_NAMED_ITEMS as MAX_NAMED_ITEMS
    from seqd_schemas.failure_records import MAX_TRACEBACK_BYTES as MAX_TRACEBACK_BYTES
    from seqd_schemas.failure_records import FailureId as FailureId
    from seqd_schemas.failure_records import FailureRecord as FailureRecord
    from seqd_schemas.failure_records import FailureScope as FailureScope
    from seqd_schemas.failures import DeathCause as DeathCause
    from seqd_schemas.failures import Failure as Failure
    from seqd_schemas.failures import ItemError as ItemError
    from seqd_schemas.failures import ItemErrorCode as ItemErrorCode
    from seqd_schemas.fleet import MAX_CORDON_RULES as MAX_CORDON_RULES
    from seqd_schemas.fleet import MAX_DEATH_CHARS as MAX_DEATH_CHARS
    from seqd_schemas.fleet import MAX_DEATHS as MAX_DEATHS
    from seqd_schemas.fleet import MAX_LEFT_OUT as MAX_LEFT_OUT
    from seqd_schemas.fleet import MAX_MODELS as MAX_MODELS
    from seqd_schemas.fleet import MAX_PAUSED_MODELS as MAX_PAUSED_MODELS
    from seqd_schemas.fleet import MAX_PLACEMENT_TARGETS as MAX_PLACEMENT_TARGETS
    from seqd_schemas.fleet import MAX_PLACEMENTS as MAX_PLACEMENTS
    from seqd_schemas.fleet import MAX_PUBLISHED_CHANGES as MAX_PUBLISHED_CHANGES
    from seqd_schemas.fleet import MAX_RUN_TASKS as MAX_RUN_TASKS
    from seqd_schemas.fleet import MAX_UNFIT as MAX_UNFIT
    from seqd_schemas.fleet import MAX_VERSIONS as MAX_VERSIONS
    from seqd_schemas.fleet import MAX_WORKER_LABELS as MAX_WORKER_LABELS
    from seqd_schemas.fleet import CatalogEntry as CatalogEntry
    from seqd_schemas.fleet import ChildDeath as ChildDeath
    from seqd_schemas.fleet import ClaimInHand as ClaimInHand
    from seqd_schemas.fleet import Cordon as Cordon
    from seqd_schemas.fleet import CordonAction as CordonAction
    from seqd_schemas.fleet import CordonRule as CordonRule
    from seqd_schemas.fleet import DeviceStatus as DeviceStatus
    from seqd_schemas.fleet import ModelPause as ModelPause
    from seqd_schemas.fleet import OutputBound as OutputBound
    from seqd_schemas.fleet import PlacementRule as PlacementRule
    from seqd_schemas.fleet import PluginState as PluginState
    from seqd_schemas.fleet import PluginStatus as PluginStatus
    from seqd_schemas.fleet import TaskSchema as TaskSchema
    from seqd_schemas.fleet import UnfitCode as UnfitCode
    from seqd_schemas.fleet import UnfitVersion as UnfitVersion
    from seqd_schemas.fleet import VersionSummary as VersionSummary
    from seqd_schemas.fleet import WorkerState as WorkerState
    from seqd_schemas.fleet import WorkerStatus as WorkerStatus
    from seqd_schemas.fleet import WorkTotals as WorkTotals
    from seqd_schemas.inbox import MAX_GIVEN_ID_CHARS as MAX_GIVEN_ID_CHARS
    from seqd_schemas.inbox import EntryId as EntryId
    from seqd_schemas.inbox import InboxAnswer as InboxAnswer
    from seqd_schemas.items import Item as Item
    from seqd_schemas.items import ItemChunk as ItemChunk
    from seqd_schemas.items import LabelledText as LabelledText
    from seqd_schemas.items import RefusedItem as RefusedItem
    from seqd_schemas.items import TextChunk as TextChunk
    from seqd_schemas.jobs import MAX_COMBINATIONS as MAX_COMBINATIONS
    from seqd_schemas.jobs import MAX_RECORD_FIELDS as MAX_RECORD_FIELDS
    from seqd_schemas.jobs import MAX_SWEPT as MAX_SWEPT
    from seqd_schemas.jobs import RESERVED_TASKS as RESERVED_TASKS
    from seqd_schemas.jobs import ClassifyJob as ClassifyJob
    from seqd_schemas.jobs import DatasetName as DatasetName
    from seqd_schemas.jobs import DataSource as DataSource
    from seqd_schemas.jobs import FieldName as FieldName
    from seqd_schemas.jobs import FileFormat as FileFormat
    from seqd_schemas.jobs import FilePath as FilePath
    from seqd_schemas.jobs import FileSource as FileSource
    from seqd_schemas.jobs import GenerateJob as GenerateJob
    from seqd_schemas.jobs import HeldOutSource as HeldOutSource
    from seqd_schemas.jobs import InlineSource as InlineSource
    from seqd_schemas.jobs import ItemSource as ItemSource
    from seqd_schemas.jobs import Job as Job
    from seqd_schemas.jobs import JobKind as JobKind
    from seqd_schemas.jobs import NamedSource as NamedSource
    from seqd_schemas.jobs import NamedTask as NamedTask
    from seqd_schemas.jobs import Priority as Priority
    from seqd_schemas.jobs import RecordItem as RecordItem
    from seqd_schemas.jobs import RecordsSource as RecordsSource
    from seqd_schemas.jobs import RunJob as RunJob
    from seqd_schemas.jobs import RunSource as RunSource
    from seqd_schemas.jobs import SweepJob as SweepJob
    from seqd_schemas.jobs import SweptValues as SweptValues
    from seqd_schemas.jobs import Task as Task
    from seqd_schemas.jobs import TrainJob as TrainJob
    from seqd_schemas.jobs import UploadSource as UploadSource
    from seqd_schemas.jobs import has_upload as has_upload
    from seqd_schemas.jobs import task_of as task_of
    from seqd_schemas.keys import DEFAULT_PREFIX as DEFAULT_PREFIX
    from seqd_schemas.keys import INBOX_GROUP as INBOX_GROUP
    from seqd_schemas.keys import Keys as Keys
    from seqd_schemas.keys import QueueName as QueueName
    from seqd_schemas.keys import queue_of as queue_of
    from seqd_schemas.keys import queues_of_model as queues_of_model
    from seqd_schemas.keys import route_of as route_of
    from seqd_schemas.keys import wakeup_queue as wakeup_queue
    from seqd_schemas.manifests import MAX_KEPT_EPOCHS as MAX_KEPT_EPOCHS
    from seqd_schemas.manifests import MAX_LISTED_CLASSES as MAX_LISTED_CLASSES
    from seqd_schemas.manifests import MAX_VERSION_FILES as MAX_VERSION_FILES
    from seqd_schemas.manifests import DataFingerprint as DataFingerprint
    from seqd_schemas.manifests import EpochMetrics as EpochMetrics
    from seqd_schemas.manifests import FileDigest as FileDigest
    from seqd_schemas.manifests import LibraryText as LibraryText
    from seqd_schemas.manifests import ModelFile as ModelFile
    from seqd_schemas.manifests import ModelManifest as ModelManifest
    from seqd_schemas.manifests import VersionOrigin as VersionOrigin
    from seqd_schemas.manifests import job_of_run as job_of_run
    from seqd_schemas.manifests import run_id_of as run_id_of
    from seqd_schemas.orders import MAX_MODEL_ORDERS as MAX_MODEL_ORDERS
    from seqd_schemas.orders import MAX_WARM_S as MAX_WARM_S
    from seqd_schemas.orders import ModelOrder as ModelOrder
    from seqd_schemas.orders import OrderAction as OrderAction
    from seqd_schemas.orders import OrderAnswer as OrderAnswer
    from seqd_schemas.outputs import FLOAT_BYTES as FLOAT_BYTES
    from seqd_schemas.outputs import MAX_DIMENSIONS as MAX_DIMENSIONS
    from seqd_schemas.outputs import MAX_LABELS as MAX_LABELS
    from seqd_schemas.outputs import MAX_SPANS as MAX_SPANS
    from seqd_schemas.outputs import VECTOR_FORMAT as VECTOR_FORMAT
    from seqd_schemas.outputs import Dimensions as Dimensions
    from seqd_schemas.outputs import Embedding as Embedding
    from seqd_schemas.outputs import Labels as Labels
    from seqd_schemas.outputs import Score as Score
    from seqd_schemas.outputs import ScoredLabel as ScoredLabel
    from seqd_schemas.outputs import Span as Span
    from seqd_schemas.outputs import Spans as Spans
    from seqd_schemas.outputs import TaskOutput as TaskOutput
    from seqd_schemas.outputs import Text as Text
    from seqd_schemas.outputs import Vector as Vector
    from seqd_schemas.results import ITEM_RESULT as ITEM_RESULT
    from seqd_schemas.results import MAX_CLASSES as MAX_CLASSES
    from seqd_schemas.results import MAX_OUTPUT_FIELDS as MAX_OUTPUT_FIELDS
    from seqd_schemas.results import NAMED_OUTPUTS as NAMED_OUTPUTS
    from seqd_schemas.results import Classification as Classification
    from seqd_schemas.results import ClassName as ClassName
    from seqd_schemas.results import FinishReason as FinishReason
    from seqd_schemas.results import GeneratedSample as GeneratedSample
    from seqd_schemas.results import Generation as Generation
    from seqd_schemas.results import ItemFailure as ItemFailure
    from seqd_schemas.results import ItemOutput as ItemOutput
    from seqd_schemas.results import ItemResult as ItemResult
    from seqd_schemas.results import ItemSuccess as ItemSuccess
    from seqd_schemas.results import JsonOutput as JsonOutput
    from seqd_schemas.results import MetricName as MetricName
    from seqd_schemas.results import Metrics as Metrics
    from seqd_schemas.results import NamedOutput as NamedOutput
    from seqd_schemas.results import Output as Output
    from seqd_schemas.results import Probability as Probability
    from seqd_schemas.results import TrainedVersion as TrainedVersion
    from seqd_schemas.results import TrainingResult as TrainingResult
    from seqd_schemas.rollouts import MAX_ABORTED as MAX_ABORTED
    from seqd_schemas.rollouts import MAX_ERROR_RATE as MAX_ERROR_RATE
    from seqd_schemas.rollouts import JobRollout as JobRollout
    from seqd_schemas.rollouts import Rollout as Rollout
    from seqd_schemas.rollouts import RolloutFile as RolloutFile
    from seqd_schemas.rollouts import RolloutId as RolloutId
    from seqd_schemas.rollouts import RolloutKind as RolloutKind
    from seqd_schemas.rollouts import Share as Share
    from seqd_schemas.rollouts import VersionCounts as VersionCounts
    from seqd_schemas.schema_files import json_schemas as json_schemas
    from seqd_schemas.schema_files import write_json_schemas as write_json_schemas
    from seqd_schemas.service_changes import ServiceChange as ServiceChange
    from seqd_schemas.states import Counts as Counts
    from seqd_schemas.states import JobRecord as JobRecord
    from seqd_schemas.states import JobState as JobState
    from seqd_schemas.states import Waiting as Waiting
    from seqd_schemas.states import WaitingCode as WaitingCode
    from seqd_schemas.stored import from_stored as from_stored
    from seqd_schemas.stored import is_later as is_later
    from seqd_schemas.stored import to_stored as to_stored
    from seqd_schemas.task_files import task_schemas as task_schemas
    from seqd_schemas.task_files import write_task_schemas as write_task_schemas
    from seqd_schemas.tenants import MAX_WEIGHT as MAX_WEIGHT
    from seqd_schemas.tenants import MIN_WEIGHT as MIN_WEIGHT
    from seqd_schemas.tenants import OTHER_TENANTS as OTHER_TENANTS
    from seqd_schemas.tenants import Day as Day
    from seqd_schemas.tenants import TenantLimits as TenantLimits
    from seqd_schemas.tenants import TenantRecord as TenantRecord
    from seqd_schemas.tenants import TenantUsage as TenantUsage
    from seqd_schemas.text_deltas import MAX_DELTA_CHARS as MAX_DELTA_CHARS
    from seqd_schemas.text_deltas import MAX_DELTAS as MAX_DELTAS
    from seqd_schemas.text_deltas import TextDelta as TextDelta
    from seqd_schemas.text_deltas import TextDeltas as TextDeltas
    from seqd_schemas.text_deltas import UnitName as UnitName

#: The names of each module, which is imported when one of them is first asked for.
_NAMES = {
    "audit": "AuditEntry AuditRecord",
    "base": (
        "Count CustomId EpochMs JobId Label MAX_INLINE_ITEMS MAX_ITEMS MAX_JOB_BYTES "
        "MAX_TEXT_CHARS ModelName ModelRef ModelReference ParameterName ParameterValue Parameters "
        "RunId FORMAT LeastFormat Scalar Sha256 ShortText TaskName TenantName WireAdapter WireModel"
    ),
    "events": (
        "Cancelled Completed EVENT Epoch Event EventId Expired Expiring Failed Log Missed Paused "
        "Progress Queued Rejected Resumed Sample Started Step TERMINAL_EVENTS"
    ),
    "cards": (
        "Confusion EvaluatedClass EvaluatedExample EvaluatedMetric MAX_CONFUSIONS MAX_EVALUATIONS "
        "MAX_EXAMPLES MAX_EXAMPLE_CHARS MAX_SPEEDS MeasuredSpeed ModelCard ReliabilityBin "
        "VersionEvaluation VersionMeasurements WrittenSample"
    ),
    "failure_records": (
        "FailureId FailureRecord FailureScope MAX_FAILURE_MESSAGE_CHARS MAX_NAMED_ITEMS "
        "MAX_TRACEBACK_BYTES"
    ),
    "failures": "DeathCause Failure ItemError ItemErrorCode",
    "fleet": (
        "CatalogEntry ChildDeath ClaimInHand Cordon CordonAction CordonRule DeviceStatus "
        "MAX_CORDON_RULES MAX_DEATHS MAX_DEATH_CHARS MAX_LEFT_OUT MAX_MODELS MAX_PAUSED_MODELS "
        "MAX_PLACEMENTS MAX_PLACEMENT_TARGETS MAX_PUBLISHED_CHANGES MAX_RUN_TASKS ModelPause "
        "MAX_UNFIT MAX_VERSIONS MAX_WORKER_LABELS OutputBound PlacementRule PluginState "
        "PluginStatus TaskSchema UnfitCode UnfitVersion VersionSummary WorkTotals WorkerState "
        "WorkerStatus"
    ),
    "inbox": "EntryId InboxAnswer MAX_GIVEN_ID_CHARS",
    "items": "Item ItemChunk LabelledText RefusedItem TextChunk",
    "jobs": (
        "ClassifyJob DataSource DatasetName FieldName FileFormat FilePath FileSource GenerateJob "
        "HeldOutSource InlineSource ItemSource Job JobKind MAX_COMBINATIONS "
        "MAX_RECORD_FIELDS MAX_SWEPT NamedSource NamedTask Priority "
        "RESERVED_TASKS RecordItem RecordsSource RunJob RunSource SweepJob SweptValues "
        "Task TrainJob UploadSource has_upload task_of"
    ),
    "schema_files": "json_schemas write_json_schemas",
    "task_files": "task_schemas write_task_schemas",
    "keys": (
        "DEFAULT_PREFIX INBOX_GROUP Keys QueueName wakeup_queue queue_of queues_of_model route_of"
    ),
    "manifests": (
        "DataFingerprint EpochMetrics FileDigest LibraryText MAX_KEPT_EPOCHS MAX_LISTED_CLASSES "
        "MAX_VERSION_FILES ModelFile ModelManifest VersionOrigin job_of_run run_id_of"
    ),
    "orders": "MAX_MODEL_ORDERS MAX_WARM_S ModelOrder OrderAction OrderAnswer",
    "outputs": (
        "Dimensions Embedding FLOAT_BYTES Labels MAX_DIMENSIONS MAX_LABELS MAX_SPANS Score "
        "ScoredLabel Span Spans TaskOutput Text VECTOR_FORMAT Vector"
    ),
    "tenants": ("Day MAX_WEIGHT MIN_WEIGHT OTHER_TENANTS TenantLimits TenantRecord TenantUsage"),
    "text_deltas": "MAX_DELTAS MAX_DELTA_CHARS TextDelta TextDeltas UnitName",
    "results": (
        "ClassName Classification FinishReason GeneratedSample Generation ITEM_RESULT ItemFailure "
        "ItemOutput ItemResult ItemSuccess JsonOutput MAX_CLASSES MAX_OUTPUT_FIELDS MetricName "
        "Metrics NAMED_OUTPUTS NamedOutput Output Probability TrainedVersion TrainingResult"
    ),
    "rollouts": (
        "JobRollout MAX_ABORTED MAX_ERROR_RATE Rollout RolloutFile RolloutId RolloutKind Share "
        "VersionCounts"
    ),
    "service_changes": "ServiceChange",
    "states": "Counts JobRecord JobState Waiting WaitingCode",
    "stored": "from_stored is_later to_stored",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = sorted(_HOMES)  # a test holds it against the imports above

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = found  # so that the next one does not come here
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES})
