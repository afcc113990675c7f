"""A small job takes few bytes after its end.

What its readers see of it then, and of one that is continued, says `tests/model`.
"""

import pytest

from builders import a_classify_job
from ledger_fixtures import Environment, open_environment
from redis_fixtures import PrivateServer
from seqd.admission import Admitted
from seqd.ledger import connect
from seqd.ledger.submissions import BatchTemplate
from seqd.ledger.work import Finished
from seqd.settings import Settings
from seqd_schemas import Classification, Item, ItemChunk, ItemSuccess

pytestmark = pytest.mark.processes

#: Jobs that are weighed, and entries of the bounded stream and list that all jobs share.
WEIGHED, SHARED = 800, 10_000
#: What one may take, result, indexes and Redis's own overhead included.
SMALL_JOB_BYTES = 600


def fill_what_jobs_share(environment: Environment) -> None:
    """Leave what a thousand small jobs would leave that ended before."""
    names = [f"{number:021d}" for number in range(SHARED)]
    with environment.redis.pipeline(transaction=False) as pipe:
        pipe.zadd(environment.keys.jobs(), dict.fromkeys(names, 1))
        pipe.rpush(environment.keys.small_jobs(), *names)
        for name in names:
            pipe.xadd(environment.keys.all_events(), {"e": name * 8})
        pipe.execute()


def used_bytes_with_reviews(environment: Environment, numbers: range) -> int:
    """Run jobs of one review each to their end; return what Redis uses without their events."""
    names = [f"{number:021x}" for number in numbers]
    template = BatchTemplate(a_classify_job(), Admitted(3, 256), "client-a")
    texts = (f"A wonderful film, number {number}, moving and well acted." for number in numbers)
    chunks = (ItemChunk(first_index=0, items=(Item(custom_id="row-1", text=t),)) for t in texts)
    environment.ledger.submissions.submit_each(template, zip(names, chunks, strict=True))
    output = Classification(label="positive", score=0.98124, truncated=False)
    results = [ItemSuccess(custom_id="row-1", output=output)]
    while (claim := environment.claim()) is not None:
        done = (Finished(unit, results) for unit in claim.units)
        environment.ledger.work.commit_batch(done, "1.0.0")
    for part in (environment.keys.events, environment.keys.attempts):
        environment.redis.delete(*map(part, names))
    memory = environment.redis.info("memory")
    # Megabytes wait for a busy disk, and connections have buffers: no job keeps them.
    return int(memory["used_memory"] - memory["mem_aof_buffer"] - memory["mem_clients_normal"])


def test_a_small_job_takes_less_than_600_bytes(private_server: PrivateServer) -> None:
    with connect(private_server.url) as redis:
        environment = open_environment(redis, Settings(redis_url=private_server.url))
        fill_what_jobs_share(environment)
        before = used_bytes_with_reviews(environment, range(200))
        after = used_bytes_with_reviews(environment, range(200, 200 + WEIGHED))

    each = (after - before) / WEIGHED
    assert each < SMALL_JOB_BYTES, f"a small job takes {each:.0f} bytes"
