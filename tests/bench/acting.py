"""How fast jobs are steered by a filter, and how long each step of that is."""

import resource
import time
from collections import defaultdict
from dataclasses import dataclass

from bench.case import Case, option
from bench.report import fact, latencies, say
from bench.script_world import World
from bench.scripts import open_world
from builders import a_classify_job
from seqd.ledger.job_filter import job_filter
from seqd.ledger.many_jobs import JobAction, Selection

_STEPS = (
    (JobAction.PAUSE, ["queued"]),
    (JobAction.RESUME, ["paused"]),
    (JobAction.CANCEL, ["queued"]),
    (JobAction.REMOVE, ["cancelled"]),
)


@dataclass
class Acting(Case):
    """Act on many jobs by a filter, beside as many others."""

    what = "jobs counted and acted on by a filter, and the longest step by the server's own clock"

    jobs: int = option(100_000, "jobs of one item that match; as many others are there")

    def measure(self) -> None:
        with open_world(self.folder, self.jobs, 10) as world:
            say(f"making {2 * self.jobs:,} jobs")
            for tenant, version in (("mine", 1), ("others", 2)):
                request = a_classify_job(tenant=tenant)
                world.small_jobs(self.jobs, request, version=version)
            before = _own_bytes()
            facts, steps = [], []
            for action, states in _STEPS:
                wanted = job_filter({"states": states, "tenant": "mine"})
                selection = Selection(action, wanted)
                for verb, run in (("count to", _count), (action.value, _act)):
                    say(f"{verb} {action}")
                    world.watched_redis.costs.clear()
                    began_s = time.monotonic()
                    found = run(world, selection)
                    took_s = time.monotonic() - began_s
                    assert found == self.jobs, f"{found:,} jobs"
                    name = f"jobs counted to {action}" if run is _count else f"jobs {action}"
                    facts.append(fact(name, "a second", found / took_s))
                    steps.append(latencies(name, [one.ms for one in world.watched_redis.costs]))
            facts.append(fact("bytes by which the client grew", "count", _own_bytes() - before))
        self.report.add("jobs by a filter", facts=facts)
        self.report.add("steps", latencies=steps)


def _count(world: World, selection: Selection) -> int:
    found, cursor = defaultdict[str, int](int), b""
    while True:
        step = world.watched.many_jobs.count(selection, cursor)
        for group, count in step.groups.items():
            found[group.tenant] += count
        if not (cursor := step.cursor):
            return found["mine"]


def _act(world: World, selection: Selection) -> int:
    acted, cursor = 0, b""
    while True:
        step = world.watched.many_jobs.act(selection, cursor)
        acted += len(step.jobs)
        if not (cursor := step.cursor):
            return acted


def _own_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
