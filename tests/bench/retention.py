"""What a small job keeps after its end, and what that makes of the default settings.

Real clients, real workers, one review a job. Weighed is all that Redis uses, before and after, when
what goes by itself half a minute after a job's end has gone.
"""

import time
from dataclasses import dataclass
from functools import partial

from redis import Redis

from bench.case import Case, option
from bench.jobs import MODEL, rate
from bench.report import fact, say
from bench.texts import TEST_FILE, reviews_of
from seqd.settings import Settings
from seqd_schemas import ClassifyJob, UploadSource

#: Jobs a second of one short text each, from tests/bench/README.md.
_FASTEST = 5_200


@dataclass
class Retention(Case):
    """Weigh small jobs that have ended, and tell what the default retention carries."""

    what = "what Redis keeps of an ended job of one review, its result and all overhead included"

    jobs: int = option(20_000, "jobs to weigh")
    clients: int = option(2, "client processes")
    warm_up: int = option(12_000, "jobs before, to fill what is bounded in length")
    pause_s: float = option(33.0, "wait for what goes half a minute after a job's end")

    def measure(self) -> None:
        reviews = reviews_of(self.file_or(TEST_FILE), 5_000).write(self.folder / "reviews.jsonl")
        daemon = self.daemon(self.slots)
        variables = {"SEQD_DATA_DIR": daemon.variables["SEQD_DATA_DIR"]}

        def run(count: int) -> None:
            made = {"texts": str(reviews), "count": count // self.clients}
            peers = [self.peer("one_client", variables, **made) for _ in range(self.clients)]
            rate(peers, count, do="each", window=1_000, model=MODEL)

        with Redis.from_url(daemon.endpoint.url) as redis:
            weigh = partial(_used_bytes, redis, self.pause_s)
            say(f"running {self.warm_up:,} jobs, which are not weighed")
            run(self.warm_up)
            before = weigh()
            say(f"running {self.jobs:,} jobs")
            run(self.jobs)
            each = (weigh() - before) / self.jobs
            allowed = float(redis.info("memory")["maxmemory"])
        settings, week_s = Settings(), ClassifyJob(model="any", source=UploadSource()).results_ttl_s
        tenant, room = settings.max_tenant_kept_bytes, allowed * settings.max_memory_share
        kept = min(tenant, room) / each
        facts = [
            fact("bytes an ended job of one review", "count", each),
            fact("ended jobs that the default limits keep", "count", kept),
            fact("jobs a second that are kept for the default week", "a second", kept / week_s),
            fact(f"hours for which they are kept at {_FASTEST:,} a second", "count",
                 kept / _FASTEST / 3_600),
        ]  # fmt: skip
        self.report.add("what the default retention carries", facts=facts)
        self.report.setup["maxmemory"] = int(allowed)


def _used_bytes(redis: Redis, pause_s: float) -> int:
    """Return what Redis uses once the events of all ended jobs have gone."""
    time.sleep(pause_s)
    for _ in redis.scan_iter(count=1_000):  # What has expired goes when it is looked at.
        pass
    return int(redis.info("memory")["used_memory"])
