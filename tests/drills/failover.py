"""The primary is lost under load, and its Sentinels put a replica in its place.

A client sends a job while two workers do it. In the middle of both the primary is killed, or hangs
(SIGSTOP), as one does whose machine or network has gone. The servers are set up as the operator's
guide says. The stall of a killed one is most of all what the Sentinels take: their
down-after-milliseconds (here 1 s), the vote, and the promotion. One that hangs leaves connections
open, which are given up after SEQD_REDIS_TIMEOUT_S (10 s).
"""

from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

from drills.result import DrillResult, counted
from endless.judgement import StallClock
from sentinel_fixtures import SentinelGroup
from seqd.local.redis_binaries import find_server_binaries
from worker_fixtures import Cluster, live_settings, wait_until

ITEMS = 1_500
WORKERS = 2

#: Milliseconds that a worker takes for an item.
ITEM_MS = 8.0

#: Share of the items that are done, and sent, when the primary is lost.
LOST_AT = 0.25

#: What the operator's guide gives the stall for.
DOWN_AFTER_MS = 1_000

DEADLINE_S = 90.0


def failover(folder: Path, *, hangs: bool = False) -> DrillResult:
    """Lose the primary under load; return what came out."""
    group = SentinelGroup(find_server_binaries()[0], folder, down_after_ms=DOWN_AFTER_MS)
    try:
        group.start()
        return lose_primary_under_load(group, folder, ITEMS, hangs=hangs)
    finally:
        group.kill()


def lose_primary_under_load(
    group: SentinelGroup, folder: Path, items: int, *, hangs: bool = False
) -> DrillResult:
    """Do the drill on a group that runs."""
    cluster = Cluster(live_settings(group, folder), folder)
    try:
        for worker in [cluster.start() for _ in range(WORKERS)]:
            worker.wait_until_ready()
        client, watcher = cluster.client(), cluster.client()
        former = group.primary()

        job = client.classify(
            _texts(items), model="echo", parameters={"delay_ms": ITEM_MS}, durable=False
        )
        # It waits while there is no primary.
        with StallClock(lambda: watcher.job(job.job_id).record().counts.done) as clock:
            wait_until(lambda: clock.value >= items * LOST_AT, "a part is done", DEADLINE_S)
            if hangs:
                former.freeze()
            else:
                former.kill()
            began = monotonic()
            clock.start_over()
            group.wait_for_failover(former)
            failover_s = monotonic() - began
            wait_until(lambda: clock.value >= items, "all is done", DEADLINE_S)
        job.wait(timeout_s=DEADLINE_S)
        name = "failover-hang" if hangs else "failover"
        came = client.job(job.job_id).results()
        result = counted(name, items, came, clock.stall_s, label="text {}".format)
        result.failover_s = failover_s
        return result
    finally:
        cluster.close()


def _texts(items: int) -> Iterator[str]:
    """Yield the texts, a little faster than they are done, so that the kill hits the upload."""
    for number in range(items):
        sleep(ITEM_MS / 1_000 / WORKERS / 1.25)
        yield f"text {number}"
