"""`Ledger`: all parts of the ledger on one server under one key prefix."""

from functools import cached_property
from typing import TYPE_CHECKING

from redis import Redis

from seqd.ledger.control import Control
from seqd.ledger.exchange import Driver
from seqd.ledger.fleet import Fleet
from seqd.ledger.jobs import Jobs
from seqd.ledger.redis import user_of
from seqd.ledger.retention import Retention
from seqd.ledger.scripts import Notify
from seqd.ledger.submissions import Submissions
from seqd.ledger.transport import Transport

if TYPE_CHECKING:
    from seqd.ledger.audit import Audit
    from seqd.ledger.backlog import Backlog
    from seqd.ledger.failures import Failures
    from seqd.ledger.figures import Figures
    from seqd.ledger.inbox import InboxStream
    from seqd.ledger.ingests import Ingests
    from seqd.ledger.many_jobs import ManyJobs
    from seqd.ledger.model_pauses import ModelPauses
    from seqd.ledger.orders import ModelOrders
    from seqd.ledger.overview import Overviews
    from seqd.ledger.queues import Queues
    from seqd.ledger.ranges import Ranges
    from seqd.ledger.rollouts import RolloutCounts
    from seqd.ledger.rules import Cordons, Placements
    from seqd.ledger.tenants import Tenants
    from seqd.ledger.work import CheckpointRecords, Work
    from seqd.ledger.writing import Writing
    from seqd.settings import Settings


class LedgerParts:
    """What clients need of the ledger, whatever drives its exchanges."""

    def __init__(self, driver: Driver, settings: "Settings", redis_user: str = "default") -> None:
        """`redis_user` is the user as which the driver connects."""
        self.driver = driver
        self.redis_user = redis_user
        self.settings = settings
        self.keys = settings.keys
        self.submissions = Submissions(driver, settings)
        self.control = Control(driver, settings.keys)
        self.retention = Retention(driver, settings.keys)
        self.jobs = Jobs(driver, settings.keys, self.retention)
        self.fleet = Fleet(driver, settings)

    @property
    def outage_s(self) -> float:
        """Seconds for which a client waits for a Redis that is away."""
        return self.settings.outage_s

    @property
    def look_s(self) -> float:
        """Seconds after which whoever waits for a job looks at it, though nothing was heard."""
        return self.driver.look_s

    @cached_property
    def backlog(self) -> "Backlog":
        """The work that is left, which few clients import."""
        from seqd.ledger.backlog import Backlog

        return Backlog(self.driver, self.keys, self.fleet)

    @cached_property
    def queues(self) -> "Queues":
        """How the queues stand, which few clients import."""
        from seqd.ledger.queues import Queues

        return Queues(self.driver, self.keys, self.fleet, self.backlog)

    @cached_property
    def figures(self) -> "Figures":
        """The figures of a whole fleet, which an exporter reads."""
        from seqd.ledger.figures import Figures

        parts = (self.backlog, self.fleet, self.inbox, self.tenants, self.retention)
        return Figures(self.driver, *parts, self.keys)

    @cached_property
    def overviews(self) -> "Overviews":
        """The fleet as a whole, which few clients import."""
        from seqd.ledger.overview import Overviews

        parts = (self.fleet, self.queues, self.jobs, self.inbox, self.failures, self.writing)
        return Overviews(self.driver, self.keys, *parts)

    @cached_property
    def tenants(self) -> "Tenants":
        """The tenants' limits, accounts and use, which few clients import."""
        from seqd.ledger.tenants import Tenants

        return Tenants(self.driver, self.keys)

    @cached_property
    def model_pauses(self) -> "ModelPauses":
        """The models that operators have paused, which few clients import."""
        from seqd.ledger.model_pauses import ModelPauses

        return ModelPauses(self.driver, self.keys)

    @cached_property
    def audit(self) -> "Audit":
        """What was done by whom, which few clients import."""
        from seqd.ledger.audit import Audit

        return Audit(self.driver, self.settings, self.redis_user)

    @cached_property
    def many_jobs(self) -> "ManyJobs":
        """Counting and steering the jobs that match a filter, which few clients import."""
        from seqd.ledger.many_jobs import ManyJobs

        return ManyJobs(self.driver)

    @cached_property
    def writing(self) -> "Writing":
        """Whether Redis takes writes just now, which few clients ask."""
        from seqd.ledger.writing import Writing

        return Writing(self.driver, self.keys)

    @cached_property
    def rollouts(self) -> "RolloutCounts":
        """What the versions of roll-outs did, which few clients import."""
        from seqd.ledger.rollouts import RolloutCounts

        return RolloutCounts(self.driver, self.keys)

    @cached_property
    def failures(self) -> "Failures":
        """The dead letters, which few clients import."""
        from seqd.ledger.failures import Failures

        return Failures(self.driver, self.keys)

    @cached_property
    def inbox(self) -> "InboxStream":
        """The inbox, which few clients import."""
        from seqd.ledger.inbox import InboxStream

        return InboxStream(self.driver, self.keys)

    @cached_property
    def orders(self) -> "ModelOrders":
        """The changes of models that clients ask for, which few import."""
        from seqd.ledger.orders import ModelOrders

        return ModelOrders(self.driver, self.keys)

    @cached_property
    def checkpoints(self) -> "CheckpointRecords":
        """The records of checkpoints, which few clients import."""
        from seqd.ledger.work import CheckpointRecords

        return CheckpointRecords(self.driver, self.keys)


class Ledger(LedgerParts):
    """The whole ledger, over a connection that blocks.

    Safe to share between threads; connects on first use.
    """

    def __init__(self, redis: Redis, settings: "Settings", notify: Notify) -> None:
        self._notify = notify
        self.redis = redis
        #: Runs exchanges, and reads readings.
        self.transport = Transport(redis, settings.prefix, notify)
        super().__init__(self.transport, settings, user_of(redis))
        self.transport.first = self.fleet.check_format.steps

    @cached_property
    def work(self) -> "Work":
        """The workers' side, which a client does not import."""
        from seqd.ledger.work import Work

        return Work(self.transport, self.settings, self._notify)

    @cached_property
    def ingests(self) -> "Ingests":
        """Where ingests stand in their files, which a client does not import."""
        from seqd.ledger.ingests import Ingests

        return Ingests(self.redis, self.transport, self.settings)

    @cached_property
    def ranges(self) -> "Ranges":
        """Ranges of files that several workers read, which a client does not import."""
        from seqd.ledger.ranges import Ranges

        return Ranges(self.redis, self.transport, self.settings, self._notify)

    @cached_property
    def cordons(self) -> "Cordons":
        """The operators' rules on workers, which few clients import."""
        from seqd.ledger.rules import Cordons

        return Cordons(self.redis, self.transport, self.keys)

    @cached_property
    def placements(self) -> "Placements":
        """The operators' rules on models, which few clients import."""
        from seqd.ledger.rules import Placements

        return Placements(self.redis, self.transport, self.keys)
