"""Puts the faces of the ledger together for one server and one key prefix."""

from collections.abc import Callable

from redis import Redis

from seqd.ledger.checkpoints import CheckpointRecords
from seqd.ledger.commits import Commits
from seqd.ledger.control import Control
from seqd.ledger.fleet import Fleet
from seqd.ledger.jobs import Jobs
from seqd.ledger.scripts import Scripts
from seqd.ledger.submissions import Submissions
from seqd.ledger.work import Work
from seqd.settings import Settings

#: Rings for a route, such as `classify.imdb_lstm`. Losing a ring costs time, never work.
Ring = Callable[[str], None]


class Ledger:
    """What is true about jobs. Safe to share between threads; connects on first use."""

    def __init__(self, redis: Redis, settings: Settings, ring: Ring) -> None:
        scripts = Scripts(redis, settings.prefix)
        self.redis = redis
        self.keys = settings.keys
        self.submissions = Submissions(scripts, settings, ring)
        self.work = Work(scripts, settings, ring)
        self.commits = Commits(scripts)
        self.control = Control(redis, scripts, settings.keys, ring)
        self.jobs = Jobs(redis, scripts, settings.keys, self.control)
        self.checkpoints = CheckpointRecords(redis, scripts, settings.keys)
        self.fleet = Fleet(redis, settings)
