"""The drills: what is done to hosts, what must come out of it, and what users must be told.

Each is a function of a world and of a choice by its seed. It counts in its report what was lost or
doubled, and raises AssertionError where something does not come, or users are not told the cause.
"""

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

from clock_fixtures import find_library
from drills.network import ADDRESS
from drills.world import Machine, World
from endless.judgement import StallClock, judged
from previous_release import build_previous_release
from s3_fixtures import READS
from seqd.client import JobHandle
from seqd_schemas import Epoch
from tcp_proxy import TcpProxy
from worker_fixtures import wait_until

RECORDS = [{"text": "fine", "label": "pos"}, {"text": "dull", "label": "neg"}]

#: An item of a job, and an epoch of a training; both wait, and compute nothing.
ITEM_S, EPOCH_S = 0.1, 0.5

#: Between two looks at how far a job is.
LOOK_S = 0.2

#: What must come once all is well again.
AFTER_S = 150.0


@dataclass
class Report:
    """What came of a drill."""

    lost: int = 0
    doubled: int = 0
    #: What users were told of the cause, each a finding of `seqd doctor` or a place and a sentence.
    told: list[str] = field(default_factory=list)
    #: Seconds, by what they are of.
    seconds: dict[str, float] = field(default_factory=dict)

    def tell(self, where: str, what: str, of: str) -> None:
        """Note what users are told; it must say `of`."""
        found = re.search(of, what)
        assert found is not None, f"{where} says nothing of {of!r}:\n{what}"
        self.told.append(f"{where}: {found.group()}")


Drill = Callable[[World, random.Random, Report], None]


@dataclass
class Bulk:
    """A job of many items, whose pace is watched."""

    job: JobHandle
    texts: list[str]
    pace: StallClock


@contextmanager
def a_bulk_job(world: World, report: Report, lasts_s: float) -> Iterator[Bulk]:
    """Hand in a job that lasts so long on two workers; judge it when the block ends."""
    client = world.cluster.client()
    texts = [f"text {number}" for number in range(round(2 * lasts_s / ITEM_S))]
    job = client.classify(texts, model="echo@1", parameters={"delay_ms": 1000 * ITEM_S})
    watching = world.cluster.client()

    def done() -> int:
        time.sleep(LOOK_S)
        return watching.job(job.job_id).record().counts.done

    with StallClock(done) as pace:
        wait_until(lambda: pace.value > 0, "the job has begun")
        yield Bulk(job, texts, pace)
        record = job.wait(timeout_s=AFTER_S + lasts_s)
        assert pace.value >= 0
    tally = judged(job.results(), len(texts), label=texts.__getitem__)
    report.lost += tally.lost + tally.failed
    report.doubled += tally.doubled + tally.misplaced
    assert record.counts.succeeded == len(texts), record.counts
    report.seconds["longest stall of the job"] = pace.stall_s


def judge_usage(world: World, report: Report, items: int, trainings: int = 0) -> None:
    """Hold what tenants are charged with against what was asked for: each item once."""
    used = world.cluster.operator().tenant_usage()
    report.doubled += sum(one.items for one in used) - items
    report.doubled += sum(one.trainings for one in used) - trainings


@dataclass
class Training:
    """A training under way."""

    job: JobHandle
    epochs: int
    #: How many versions there were before.
    before: int


def a_training(world: World, lasts_s: float) -> Training:
    """Hand in a training that lasts so long, and return when its third epoch is over."""
    epochs, before = round(lasts_s / EPOCH_S), len(world.model_store().numbers("echo"))
    parameters = {"epochs": epochs, "step_ms": 1000 * EPOCH_S}
    job = world.cluster.client().train(RECORDS, model="echo", parameters=parameters)
    next(one for one in job.events() if isinstance(one, Epoch) and one.epoch == 3)
    return Training(job, epochs, before)


def judge_training(world: World, report: Report, training: Training) -> None:
    """Wait for its version: there must be one, made of each epoch once."""
    record = training.job.wait(timeout_s=AFTER_S + training.epochs * EPOCH_S)
    assert record.training is not None, record
    events = [one for one in training.job.events() if isinstance(one, Epoch)]
    heard = [one.epoch for one in events]
    versions = len(world.model_store().numbers("echo")) - training.before
    due = list(range(1, training.epochs + 1))
    report.lost += (versions == 0) + len(set(due) - set(heard))
    report.doubled += max(0, versions - 1) + len(heard) - len(set(heard))
    gaps_s = [(after.at_ms - before.at_ms) / 1000 for before, after in pairwise(events)]
    report.seconds["longest stall of the training"] = max(gaps_s)


def cut_off(world: World, report: Report, victim: Machine, seconds: float) -> None:
    """Pull a host's cable for so long, and hold what users are told of it, and when."""
    lease_s, log = world.cluster.settings.lease_s, victim.worker.whole_log
    began = time.monotonic()
    victim.host.cut_off()
    if seconds > lease_s:
        wait_until(lambda: victim.worker.status() is None, "it is gone", 2 * lease_s)
        report.seconds["told after"] = time.monotonic() - began
        report.tell("worker-silent", world.doctor()["worker-silent"], "Not heard .* ago")
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    victim.host.mend()
    began, from_ms = time.monotonic(), 1000 * time.time()
    wait_until(
        lambda: (status := victim.worker.status()) is not None and status.seen_at_ms > from_ms,
        "it is back",
    )
    report.seconds["back after"] = time.monotonic() - began
    told = re.search("Redis at .* is away|passed on the clock of Redis.*: an outage", log())
    # Where a call of a short cut only comes late, by TCP, there is nothing that it could tell.
    assert told or seconds < lease_s, f"its log says nothing of Redis:\n{log()}"
    report.told.append(f"its log: {told.group() if told else 'nothing'}")


def in_mid_job(seconds: float) -> Drill:
    """Return the drill in which a host is cut off for so long while it computes."""

    def drill(world: World, choice: random.Random, report: Report) -> None:
        victim = choice.choice(world.start_two())
        # It goes on after the cut: the host must be seen to work again.
        with a_bulk_job(world, report, seconds + 8) as bulk:
            time.sleep(choice.uniform(0.5, 3.0))
            world.cluster.wait_for_holder(bulk.job.job_id, [victim.worker])
            cut_off(world, report, victim, seconds)
        judge_usage(world, report, len(bulk.texts))

    return drill


def in_mid_training(seconds: float) -> Drill:
    """Return the drill in which a host is cut off for so long while it trains."""

    def drill(world: World, choice: random.Random, report: Report) -> None:
        both = {one.worker: one for one in world.start_two()}
        training = a_training(world, seconds + 10)
        time.sleep(choice.uniform(0.5, 3.0))
        holder = world.cluster.wait_for_holder(training.job.job_id, list(both))
        cut_off(world, report, both[holder], seconds)
        judge_training(world, report, training)
        judge_usage(world, report, 0, trainings=1)

    return drill


def store_away(world: World, choice: random.Random, report: Report) -> None:
    """Cut the S3 server off for a minute, in mid-job and in mid-training."""
    both = world.start_two()
    world.publish()
    known = [one.worker.known_status for one in both]
    wait_until(lambda: all(2 in ask().versions["echo"] for ask in known), "all know version 2")
    training = a_training(world, 20 + choice.uniform(0, 10))
    with a_bulk_job(world, report, 35) as bulk:
        until_s = time.monotonic() + 60
        world.store.cut_off()
        # Nobody has its files yet.
        waits = world.cluster.client().classify(["a"], model="echo@2")
        wait_until(lambda: "does not answer" in ailments(both), "users are told of the store")
        report.tell("workers", ailments(both), "the model store .* does not answer")
        report.tell("store-unreadable", world.doctor()["store-unreadable"], ".*")
        time.sleep(max(0.0, until_s - time.monotonic()))
        world.store.mend()
        began = time.monotonic()
        assert waits.wait(timeout_s=AFTER_S).counts.succeeded == 1
        report.seconds["another version after"] = time.monotonic() - began
        judge_training(world, report, training)
        report.seconds["published after"] = time.monotonic() - began
    judge_usage(world, report, len(bulk.texts) + 1, trainings=1)


def store_read_only(world: World, choice: random.Random, report: Report) -> None:
    """Take the right to write to the store away for a minute, in mid-job and in mid-training."""
    user = world.bucket.server.a_reader()
    user.allow(["*"])
    with world.credentials(user.credentials):
        both = world.start_two()
    training = a_training(world, 20 + choice.uniform(0, 10))
    with a_bulk_job(world, report, 35) as bulk:
        until_s = time.monotonic() + 60
        user.allow(READS)
        told = "may not be written"
        wait_until(lambda: told in ailments(both), "users are told of the right", AFTER_S)
        report.tell("workers", ailments(both), "the model store .* may not be written")
        with world.credentials(user.credentials):
            report.tell("store-unwritable", world.doctor()["store-unwritable"], ".*")
        time.sleep(max(0.0, until_s - time.monotonic()))
        user.allow(["*"])
        began = time.monotonic()
        judge_training(world, report, training)
        report.seconds["published after"] = time.monotonic() - began
    judge_usage(world, report, len(bulk.texts), trainings=1)


def ailments(machines: tuple[Machine, ...]) -> str:
    """Return what workers say they cannot do, in sentences."""
    known = [one.worker.known_status() for one in machines]
    return "\n".join(one.message for status in known for one in status.unfit)


def slow_redis(world: World, choice: random.Random, report: Report) -> None:
    """Have each call of Redis take 200 ms, and lose 2 % of all packets, in a job and a training."""
    with TcpProxy(str(world.cluster.settings.redis_url), ADDRESS) as relay:
        relay.slow_down(0.1)
        world.relay = relay
        both = world.start_two()
        world.network.lose(percent=2)
        began = time.monotonic()
        with a_bulk_job(world, report, 20) as bulk:
            training = a_training(world, 10)
            report.tell("redis-latency", world.doctor(both[0])["redis-latency"], r"takes \d+ ms")
            judge_training(world, report, training)
        report.seconds["both done after"] = time.monotonic() - began
        judge_usage(world, report, len(bulk.texts), trainings=1)


def wrong_clock(world: World, choice: random.Random, report: Report) -> None:
    """Have one host's clock five minutes fast and the other's slow, and cut one off for 10 s."""
    library = find_library()
    assert library is not None, "apt-get install faketime"
    both = tuple(
        world.start(
            name,
            through=(
                "/usr/bin/env",
                f"LD_PRELOAD={library.with_name('libfaketimeMT.so.1')}",
                f"FAKETIME={sign}300s",
                "FAKETIME_DONT_FAKE_MONOTONIC=1",
                "FAKETIME_DISABLE_SHM=1",
            ),
        )
        for name, sign in (("alpha", "+"), ("beta", "-"))
    )
    for one in both:
        one.worker.wait_until_ready()
    with a_bulk_job(world, report, 30) as bulk:
        training = a_training(world, 20)
        cut_off(world, report, choice.choice(both), 10)
        judge_training(world, report, training)
    wait_until(lambda: "worker-clock-skew" in world.doctor(), "users are told of the clocks")
    report.tell("worker-clock-skew", world.doctor()["worker-clock-skew"], ".*")
    judge_usage(world, report, len(bulk.texts), trainings=1)


def other_release(world: World, choice: random.Random, report: Report) -> None:
    """Have the release before on one host, and cut either off for 10 s in mid-job."""
    release = build_previous_release(world.folder / "previous")
    # It knows no store at a URL, and has one of its own, with the same version.
    world.cluster.publish_echo(world.folder_of("alpha") / "models")
    old, new = world.start("alpha", "cpu:0", release=release.folder), world.start("beta")
    for one in (old, new):
        one.worker.wait_until_ready()
    with a_bulk_job(world, report, 30) as bulk:
        training = a_training(world, 5)
        cut_off(world, report, choice.choice((old, new)), 10)
        judge_training(world, report, training)
    later = world.cluster.client().classify(["a"], model="echo@2")
    assert later.wait(timeout_s=AFTER_S).counts.succeeded == 1
    report.tell("mixed-releases", world.doctor()["mixed-releases"], ".*")
    judge_usage(world, report, len(bulk.texts) + 1, trainings=1)


DRILLS: dict[str, Drill] = {
    "cut-off-10s-in-a-job": in_mid_job(10),
    "cut-off-120s-in-a-job": in_mid_job(120),
    "cut-off-10s-in-a-training": in_mid_training(10),
    "cut-off-120s-in-a-training": in_mid_training(120),
    "store-away": store_away,
    "store-read-only": store_read_only,
    "slow-redis": slow_redis,
    "wrong-clock": wrong_clock,
    "other-release": other_release,
}
