"""Client for services: send jobs, follow them, and fetch their results.

    from seqd.client import Client

    with Client() as client:
        job = client.classify(["A fine film.", "Dreadful."])
        for result in job.results():
            if result.ok:
                print(result.custom_id, result.output.label, result.output.score)
            else:
                print(result.custom_id, result.error.code, result.error.message)

Needs neither Keras nor any plugin: requests are checked against what workers publish. All that a
service names is here: the two clients, their jobs, options, sources, records, events and errors.
"""

from typing import TYPE_CHECKING

from seqd_schemas.deferred import deferred

if TYPE_CHECKING:
    from seqd.analysis.comparison import Comparison as Comparison
    from seqd.client.async_client import AsyncClient as AsyncClient
    from seqd.client.client import Client as Client
    from seqd.client.failures import FailureGroup as FailureGroup
    from seqd.client.failures import FailureGroups as FailureGroups
    from seqd.client.failures import ReplayedJob as ReplayedJob
    from seqd.client.job import AsyncEndedJob as AsyncEndedJob
    from seqd.client.job import AsyncJob as AsyncJob
    from seqd.client.job import AsyncJobHandle as AsyncJobHandle
    from seqd.client.job import EndedJob as EndedJob
    from seqd.client.job import Job as Job
    from seqd.client.job import JobHandle as JobHandle
    from seqd.client.many_jobs import JobCount as JobCount
    from seqd.client.many_jobs import JobsActedOn as JobsActedOn
    from seqd.client.model import AsyncModelHandle as AsyncModelHandle
    from seqd.client.model import ModelHandle as ModelHandle
    from seqd.client.requests import JobOptions as JobOptions
    from seqd.client.requests import SweepOptions as SweepOptions
    from seqd.client.results import PageOptions as PageOptions
    from seqd.client.results import ReadOptions as ReadOptions
    from seqd.client.results import Result as Result
    from seqd.client.streaming import StreamedText as StreamedText
    from seqd.client.tables import OutputField as OutputField
    from seqd.client.waiting import WaitOptions as WaitOptions
    from seqd.errors import ArtifactDamaged as ArtifactDamaged
    from seqd.errors import ClientMisused as ClientMisused
    from seqd.errors import DuplicateCustomId as DuplicateCustomId
    from seqd.errors import IdempotencyConflict as IdempotencyConflict
    from seqd.errors import IdInUse as IdInUse
    from seqd.errors import InvalidData as InvalidData
    from seqd.errors import InvalidInput as InvalidInput
    from seqd.errors import InvalidParameters as InvalidParameters
    from seqd.errors import InvalidRequest as InvalidRequest
    from seqd.errors import InvalidSettings as InvalidSettings
    from seqd.errors import ItemFailed as ItemFailed
    from seqd.errors import JobCancelled as JobCancelled
    from seqd.errors import JobDamaged as JobDamaged
    from seqd.errors import JobExpired as JobExpired
    from seqd.errors import JobFailed as JobFailed
    from seqd.errors import JobOutOfReach as JobOutOfReach
    from seqd.errors import JobsRefused as JobsRefused
    from seqd.errors import LaterVersion as LaterVersion
    from seqd.errors import LibraryMissing as LibraryMissing
    from seqd.errors import ModelDisabled as ModelDisabled
    from seqd.errors import NoFitWorker as NoFitWorker
    from seqd.errors import NotAllowed as NotAllowed
    from seqd.errors import NoWorker as NoWorker
    from seqd.errors import OrderUnfinished as OrderUnfinished
    from seqd.errors import OtherFormat as OtherFormat
    from seqd.errors import OutputMismatch as OutputMismatch
    from seqd.errors import QuotaExceeded as QuotaExceeded
    from seqd.errors import RedisFull as RedisFull
    from seqd.errors import RedisNoPermission as RedisNoPermission
    from seqd.errors import RedisRefused as RedisRefused
    from seqd.errors import RedisUnreachable as RedisUnreachable
    from seqd.errors import SeqdError as SeqdError
    from seqd.errors import ServiceChanged as ServiceChanged
    from seqd.errors import StoreUnwritable as StoreUnwritable
    from seqd.errors import UnknownFailure as UnknownFailure
    from seqd.errors import UnknownItem as UnknownItem
    from seqd.errors import UnknownJob as UnknownJob
    from seqd.errors import UnknownModel as UnknownModel
    from seqd.errors import UnknownTenant as UnknownTenant
    from seqd.errors import UploadLost as UploadLost
    from seqd.errors import UserError as UserError
    from seqd.errors import WrongState as WrongState
    from seqd.ledger.job_filter import FailureFilters as FailureFilters
    from seqd.ledger.job_filter import FoundJobs as FoundJobs
    from seqd.ledger.job_filter import JobFilters as JobFilters
    from seqd_schemas import EVENT as EVENT
    from seqd_schemas import TERMINAL_EVENTS as TERMINAL_EVENTS
    from seqd_schemas import Cancelled as Cancelled
    from seqd_schemas import CatalogEntry as CatalogEntry
    from seqd_schemas import Classification as Classification
    from seqd_schemas import Completed as Completed
    from seqd_schemas import Counts as Counts
    from seqd_schemas import DeathCause as DeathCause
    from seqd_schemas import Embedding as Embedding
    from seqd_schemas import Epoch as Epoch
    from seqd_schemas import Event as Event
    from seqd_schemas import Expired as Expired
    from seqd_schemas import Expiring as Expiring
    from seqd_schemas import Failed as Failed
    from seqd_schemas import Failure as Failure
    from seqd_schemas import FailureRecord as FailureRecord
    from seqd_schemas import FailureScope as FailureScope
    from seqd_schemas import FileFormat as FileFormat
    from seqd_schemas import FileSource as FileSource
    from seqd_schemas import FinishReason as FinishReason
    from seqd_schemas import GeneratedSample as GeneratedSample
    from seqd_schemas import Generation as Generation
    from seqd_schemas import Item as Item
    from seqd_schemas import ItemError as ItemError
    from seqd_schemas import ItemErrorCode as ItemErrorCode
    from seqd_schemas import ItemFailure as ItemFailure
    from seqd_schemas import ItemOutput as ItemOutput
    from seqd_schemas import ItemSuccess as ItemSuccess
    from seqd_schemas import JobRecord as JobRecord
    from seqd_schemas import JobState as JobState
    from seqd_schemas import JsonOutput as JsonOutput
    from seqd_schemas import Labels as Labels
    from seqd_schemas import Log as Log
    from seqd_schemas import Missed as Missed
    from seqd_schemas import NamedSource as NamedSource
    from seqd_schemas import OrderAnswer as OrderAnswer
    from seqd_schemas import ParameterValue as ParameterValue
    from seqd_schemas import Paused as Paused
    from seqd_schemas import Priority as Priority
    from seqd_schemas import Progress as Progress
    from seqd_schemas import Queued as Queued
    from seqd_schemas import RefusedItem as RefusedItem
    from seqd_schemas import Rejected as Rejected
    from seqd_schemas import Resumed as Resumed
    from seqd_schemas import Sample as Sample
    from seqd_schemas import Score as Score
    from seqd_schemas import ScoredLabel as ScoredLabel
    from seqd_schemas import ServiceChange as ServiceChange
    from seqd_schemas import Span as Span
    from seqd_schemas import Spans as Spans
    from seqd_schemas import Started as Started
    from seqd_schemas import Step as Step
    from seqd_schemas import TenantLimits as TenantLimits
    from seqd_schemas import TenantRecord as TenantRecord
    from seqd_schemas import TenantUsage as TenantUsage
    from seqd_schemas import Text as Text
    from seqd_schemas import TrainedVersion as TrainedVersion
    from seqd_schemas import TrainingResult as TrainingResult
    from seqd_schemas import Vector as Vector
    from seqd_schemas import VersionSummary as VersionSummary
    from seqd_schemas import Waiting as Waiting
    from seqd_schemas import WaitingCode as WaitingCode
    from seqd_schemas import WorkerStatus as WorkerStatus

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = deferred(globals())
