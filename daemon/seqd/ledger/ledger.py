"""Puts the faces of the ledger together for one server and one key prefix."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from redis import Redis

from seqd.ledger.control import Control
from seqd.ledger.fleet import Fleet
from seqd.ledger.jobs import Jobs
from seqd.ledger.scripts import Scripts
from seqd.ledger.submissions import Submissions

if TYPE_CHECKING:
    from seqd.ledger.checkpoints import CheckpointRecords
    from seqd.ledger.commits import Commits
    from seqd.ledger.work import Work
    from seqd.settings import Settings

#: Rings for a route, such as `classify.imdb_lstm`. Losing a ring costs time, never work.
Ring = Callable[[str], None]


class Ledger:
    """What is true about jobs. Safe to share between threads; connects on first use."""

    def __init__(self, redis: Redis, settings: "Settings", ring: Ring) -> None:
        scripts = Scripts(redis, settings.prefix)
        self._scripts = scripts
        self._settings = settings
        self._ring = ring
        self.redis = redis
        self.keys = settings.keys
        self.submissions = Submissions(scripts, settings, ring)
        self.control = Control(redis, scripts, settings.keys, ring)
        self.jobs = Jobs(redis, scripts, settings.keys, self.control)
        self.fleet = Fleet(redis, settings)

    @cached_property
    def work(self) -> "Work":
        """The workers' face, which a client does not import."""
        from seqd.ledger.work import Work

        return Work(self._scripts, self._settings, self._ring)

    @cached_property
    def commits(self) -> "Commits":
        """Commits of results, which a client does not import."""
        from seqd.ledger.commits import Commits

        return Commits(self._scripts)

    @cached_property
    def checkpoints(self) -> "CheckpointRecords":
        """The records of checkpoints, which few clients import."""
        from seqd.ledger.checkpoints import CheckpointRecords

        return CheckpointRecords(self.redis, self._scripts, self.keys)
