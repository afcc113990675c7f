"""`Ledger`: all parts of the ledger on one server under one key prefix."""

from importlib import import_module
from typing import TYPE_CHECKING

from redis import Redis

from seqd.ledger.control import Control
from seqd.ledger.exchange import Driver
from seqd.ledger.fleet import Fleet
from seqd.ledger.jobs import Jobs
from seqd.ledger.redis import user_of
from seqd.ledger.retention import Retention
from seqd.ledger.submissions import Submissions
from seqd.ledger.transport import Transport

if TYPE_CHECKING:
    from seqd.ledger.api_keys import ApiKeys
    from seqd.ledger.audit import Audit
    from seqd.ledger.backlog import Backlog, Queues
    from seqd.ledger.failures import Failures
    from seqd.ledger.inbox import InboxStream
    from seqd.ledger.many_jobs import ManyJobs
    from seqd.ledger.minutes import Minutes
    from seqd.ledger.model_pauses import ModelPauses
    from seqd.ledger.ranges import Ingests, Ranges
    from seqd.ledger.rollouts import RolloutCounts
    from seqd.ledger.rules import Cordons, Looks, ModelOrders, Placements
    from seqd.ledger.tenants import Tenants
    from seqd.ledger.uploaded_files import UploadedFiles
    from seqd.ledger.webhooks import Webhooks
    from seqd.ledger.work import CheckpointRecords, Work
    from seqd.ledger.writing import Writing
    from seqd.settings import Settings

#: Module and class of the parts that are made on first use, for few import them.
_PARTS = {
    "api_keys": ("api_keys", "ApiKeys"),
    "audit": ("audit", "Audit"),
    "backlog": ("backlog", "Backlog"),
    "checkpoints": ("work", "CheckpointRecords"),
    "cordons": ("rules", "Cordons"),
    "failures": ("failures", "Failures"),
    "inbox": ("inbox", "InboxStream"),
    "ingests": ("ranges", "Ingests"),
    "looks": ("rules", "Looks"),
    "many_jobs": ("many_jobs", "ManyJobs"),
    "minutes": ("minutes", "Minutes"),
    "model_pauses": ("model_pauses", "ModelPauses"),
    "orders": ("rules", "ModelOrders"),
    "placements": ("rules", "Placements"),
    "queues": ("backlog", "Queues"),
    "ranges": ("ranges", "Ranges"),
    "rollouts": ("rollouts", "RolloutCounts"),
    "tenants": ("tenants", "Tenants"),
    "uploaded_files": ("uploaded_files", "UploadedFiles"),
    "webhooks": ("webhooks", "Webhooks"),
    "work": ("work", "Work"),
    "writing": ("writing", "Writing"),
}


class LedgerParts:
    """What clients need of the ledger, whatever drives its exchanges."""

    api_keys: "ApiKeys"
    audit: "Audit"
    backlog: "Backlog"
    checkpoints: "CheckpointRecords"
    cordons: "Cordons"
    failures: "Failures"
    inbox: "InboxStream"
    many_jobs: "ManyJobs"
    minutes: "Minutes"
    model_pauses: "ModelPauses"
    orders: "ModelOrders"
    queues: "Queues"
    rollouts: "RolloutCounts"
    tenants: "Tenants"
    uploaded_files: "UploadedFiles"
    webhooks: "Webhooks"
    work: "Work"
    writing: "Writing"

    def __init__(self, driver: Driver, settings: "Settings", redis_user: str = "default") -> None:
        """`redis_user` is the user as which the driver connects."""
        self.driver = driver
        self.redis_user = redis_user
        self.settings = settings
        self.keys = settings.keys
        self.submissions = Submissions(self)
        self.control = Control(self)
        self.retention = Retention(self)
        self.jobs = Jobs(self)
        self.fleet = Fleet(self)

    if not TYPE_CHECKING:  # the names stand above

        def __getattr__(self, name: str) -> object:
            """Make a part on its first use."""
            if name not in _PARTS:
                raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
            module, kind = _PARTS[name]
            part = getattr(import_module(f"seqd.ledger.{module}"), kind)(self)
            setattr(self, name, part)
            return part

    @property
    def outage_s(self) -> float:
        """Seconds for which a client waits for a Redis that is away."""
        return self.settings.outage_s

    @property
    def look_s(self) -> float:
        """Seconds after which whoever waits for a job looks at it, though nothing was heard."""
        return self.driver.look_s


class Ledger(LedgerParts):
    """The whole ledger, over a connection that blocks.

    Safe to share between threads; connects on first use.
    """

    ingests: "Ingests"
    looks: "Looks"
    placements: "Placements"
    ranges: "Ranges"

    def __init__(self, redis: Redis, settings: "Settings") -> None:
        self.redis = redis
        #: Runs exchanges, and reads readings.
        self.transport = Transport(redis, settings.prefix)
        super().__init__(self.transport, settings, user_of(redis))
        self.transport.first = self.fleet.check_format.steps
