"""A write is applied and its reply is lost, so that it is sent again: the state is as if once.

Each step of a job's life is taken on a ledger behind a proxy that throws replies away, and once
more without it; then all keys are compared, times aside.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from builders import (
    a_chunk,
    a_classify_job,
    a_failure,
    a_generate_job,
    a_train_job,
    a_training_result,
    an_epoch,
    inline,
    some_deltas,
    some_results,
)
from ledger_fixtures import BRIEFLY_S, Environment, open_environment
from redis_fixtures import forget_keys
from seqd.ledger import connect
from seqd.ledger.blobs import split_chunk
from seqd.ledger.submissions import BatchTemplate
from seqd.ledger.work import Finished
from seqd.settings import Settings
from seqd.worker.child import LINGER_S
from seqd_schemas import ItemSuccess
from tcp_proxy import TcpProxy
from worker_fixtures import Cluster, live_settings, wait_until

pytestmark = pytest.mark.processes

TRAINING = a_train_job()

#: Fields of a job's hash that differ between two runs: a time, a random token, and what is there
#: only where two events came in one millisecond.
NEVER_ALIKE = (b"event_at", b"published", b"last_event")
#: Such a token, too.
TOKEN = b":worker:worker-a:deltas"

Step = Callable[[], object]


def submitted(environment: Environment) -> Step:
    return lambda: environment.submit(job_id="j", chunk=a_chunk())


def submitted_with_a_key(environment: Environment) -> Step:
    job = a_classify_job(idempotency_key="mine")
    return lambda: environment.submit(job, job_id="j", chunk=a_chunk())


def submitted_inline(environment: Environment) -> Step:
    return lambda: environment.submit(a_classify_job(source=inline("a", "b")), job_id="j")


def submitted_together(environment: Environment) -> Step:
    template = BatchTemplate(a_classify_job(), version=3, unit_items=256, client="c")
    inputs = [(name, a_chunk(1)) for name in "abc"]
    return lambda: environment.ledger.submissions.submit_each(template, inputs)


def committed_together(environment: Environment) -> Step:
    submitted_together(environment)()
    claim = environment.claim()
    assert claim is not None
    done = [Finished(unit, some_results(1)) for unit in claim.units]
    return lambda: environment.ledger.work.commit_batch(done)


def appended(environment: Environment) -> Step:
    environment.submit(job_id="j", chunk=a_chunk())
    return lambda: environment.append("j", 1)


def sealed(environment: Environment) -> Step:
    environment.submit(job_id="j", chunk=a_chunk())
    return lambda: environment.ledger.submissions.seal(a_classify_job(), "j", 1)


def sealed_when_all_is_done(environment: Environment) -> Step:
    environment.submit(job_id="j", chunk=a_chunk())
    environment.commit(environment.claim_unit())
    return lambda: environment.ledger.submissions.seal(a_classify_job(), "j", 1)


def renewed(environment: Environment) -> Step:
    environment.submit_units(2)
    unit = environment.claim_unit()
    return lambda: environment.ledger.work.renew([unit])


def committed(environment: Environment) -> Step:
    environment.submit_units(2)
    unit = environment.claim_unit()
    return lambda: environment.commit(unit)


def committed_as_the_last(environment: Environment) -> Step:
    environment.submit_units(1, a_classify_job(idempotency_key="mine"))
    unit = environment.claim_unit()
    return lambda: environment.commit(unit)


def training_committed(environment: Environment) -> Step:
    environment.submit(TRAINING, version=None, unit_items=1)
    unit = environment.claim_unit()
    return lambda: environment.ledger.work.commit_training(unit, a_training_result())


def release_unit(environment: Environment) -> Step:
    environment.submit_units(2)
    unit = environment.claim_unit()
    return lambda: environment.ledger.work.release_unit(unit)


def release_after_a_crash(environment: Environment) -> Step:
    environment.submit_units(2)
    unit = environment.claim_unit()
    return lambda: environment.ledger.work.release_unit(unit, wait_s=60, crashed=True)


def split(environment: Environment) -> Step:
    environment.submit_units(2)
    unit = environment.claim_unit()
    parts = split_chunk(a_chunk())
    assert parts is not None
    return lambda: environment.ledger.work.split(unit, parts)


def released(environment: Environment) -> Step:
    environment.submit_units(3)
    environment.claim_unit()
    environment.claim_unit()
    return lambda: environment.ledger.work.release_worker("worker-a", crashed=True)


def expired(environment: Environment) -> Step:
    environment.submit_units(2)
    environment.with_settings(lease_s=BRIEFLY_S).claim_unit()
    (_, due_ms), *_ = environment.redis.zrange(environment.keys.timers(), 0, 0, withscores=True)
    environment.wait_for_clock(int(due_ms))
    return environment.ledger.work.expire


def cancelled(environment: Environment) -> Step:
    job_id = environment.submit_units(3)
    environment.commit(environment.claim_unit())
    environment.claim_unit()
    return lambda: environment.ledger.control.cancel(job_id)


def paused(environment: Environment) -> Step:
    job_id = environment.submit_units(3)
    environment.claim_unit()
    return lambda: environment.ledger.control.pause(job_id)


def resumed(environment: Environment) -> Step:
    job_id = environment.submit_units(3)
    environment.ledger.control.pause(job_id)
    return lambda: environment.ledger.control.resume(job_id)


def failed(environment: Environment) -> Step:
    environment.submit_units(3)
    unit = environment.claim_unit()
    return lambda: environment.ledger.work.fail_job(unit, a_failure())


def published_event(environment: Environment) -> Step:
    environment.submit(TRAINING, version=None, unit_items=1)
    unit = environment.claim_unit()
    return lambda: environment.ledger.work.publish(unit, an_epoch(unit.job_id))


def published_deltas(environment: Environment) -> Step:
    environment.submit(a_generate_job(stream=True), chunk=a_chunk(1))
    unit = environment.claim_unit()
    entries = [(unit, some_deltas("one ")), (unit, some_deltas("two", offset=4))]
    return lambda: environment.ledger.work.publish_deltas("worker-a", entries)


STORIES = [
    submitted,
    submitted_with_a_key,
    submitted_inline,
    submitted_together,
    appended,
    sealed,
    sealed_when_all_is_done,
    renewed,
    committed,
    committed_as_the_last,
    committed_together,
    training_committed,
    release_unit,
    release_after_a_crash,
    split,
    released,
    expired,
    cancelled,
    paused,
    resumed,
    failed,
    published_event,
    published_deltas,
]


@dataclass
class Lossy:
    """One server, seen directly and through a proxy."""

    settings: Settings
    clean: Environment
    faulty: Environment
    proxy: TcpProxy

    def snapshots(self) -> tuple[dict[str, object], dict[str, object]]:
        """All keys of the clean ledger, and of the other one."""
        redis = self.clean.redis
        prefixes = self.clean.settings.prefix, self.faulty.settings.prefix
        first, second = (dict(_keys_of(redis, prefix)) for prefix in prefixes)
        return first, second


@pytest.fixture
def lossy(any_settings: Settings) -> Iterator[Lossy]:
    assert any_settings.redis_url is not None
    behind = any_settings.model_copy(update={"prefix": f"{any_settings.prefix}-lossy"})
    with (
        TcpProxy(any_settings.redis_url) as proxy,
        connect(any_settings.redis_url) as direct,
        connect(proxy.url) as through,
    ):
        yield Lossy(
            any_settings,
            open_environment(direct, any_settings),
            open_environment(through, behind),
            proxy,
        )
    forget_keys(any_settings.redis_url, behind.prefix)


@pytest.mark.parametrize("losses", [1, 2])
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_step_whose_reply_is_lost_has_been_taken_once(lossy, story, losses):
    story(lossy.clean)()
    step = story(lossy.faulty)

    lossy.proxy.drop_next_replies(losses, to=b"EVALSHA")
    step()

    clean, faulty = lossy.snapshots()
    assert lossy.proxy.dropped == losses
    assert faulty == clean


def test_a_claim_whose_reply_is_lost_comes_back_when_its_lease_runs_out(lossy):
    environment = lossy.faulty.with_settings(lease_s=0.5)
    job_id = environment.submit_units(2)

    lossy.proxy.drop_next_replies(1, to=b"EVALSHA")
    heard_of = environment.claim_unit()

    # The first try took unit 0 and told nobody, so the second one took what was left.
    assert (heard_of.name, environment.claim()) == ("1", None)
    environment.commit(heard_of)
    assert environment.expire_due() == 1
    forgotten = environment.claim_unit()
    assert (forgotten.name, forgotten.attempt) == ("0", 2)
    environment.commit(forgotten)
    record = environment.record(job_id)
    assert (record.state, record.counts.succeeded) == ("completed", 4)


@pytest.fixture
def cluster_behind(proxy: TcpProxy, tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(live_settings(proxy, tmp_path), tmp_path)
    try:
        cluster.start_ready()
        yield cluster
    finally:
        proxy.drop_every(0)
        cluster.close()


def test_a_job_comes_out_once_and_in_order_though_replies_are_lost_all_the_time(
    cluster_behind: Cluster, proxy: TcpProxy
) -> None:
    proxy.drop_every(40)

    job = cluster_behind.client().classify((f"text {n}" for n in range(2_000)), model="echo")
    results = list(job.results())

    assert proxy.dropped > 10
    assert all(isinstance(result, ItemSuccess) for result in results)
    assert [result.custom_id for result in results] == [f"row-{n}" for n in range(1, 2_001)]


@pytest.mark.slow
@pytest.mark.parametrize("losses", [1, 2])
def test_a_worker_hears_wakeups_after_celerys_own_replies_were_lost(
    cluster_behind, proxy, losses, caplog
):
    """Celery takes note of a message and acknowledges it with a MULTI each."""
    client = cluster_behind.client()

    for _ in range(2):
        proxy.drop_next_replies(losses, to=b"MULTI")
        client.classify(["a"], model="echo").wait(timeout_s=30)
        wait_until(lambda: proxy.is_done, "the replies were lost")
        # Until then the child waits for more work itself, and Celery is asked for nothing.
        time.sleep(LINGER_S + 0.5)

    assert client.classify(["b"], model="echo").wait(timeout_s=30).counts.succeeded == 1
    # A wakeup that failed is a line, and leaves no publisher behind that fails at the next one.
    assert "Traceback" not in caplog.text


def _keys_of(redis: Redis, prefix: str) -> Iterator[tuple[str, object]]:
    for key in redis.scan_iter(f"{prefix}:*"):
        kind = redis.type(key).decode()
        yield key.decode().removeprefix(prefix), _VALUES[kind](redis, key, prefix)


def _hash(redis: Redis, key: bytes, prefix: str) -> object:
    fields = redis.hgetall(key)
    kept = {name: value for name, value in fields.items() if name not in NEVER_ALIKE}
    return {name: _timeless(value, prefix) for name, value in kept.items()}


def _zset(redis: Redis, key: bytes, prefix: str) -> object:
    rows = redis.zrange(key, 0, -1, withscores=True)
    return {member: "a time" if score > 1e12 else score for member, score in rows}


def _stream(redis: Redis, key: bytes, prefix: str) -> object:
    # How many progress events there are depends on the time that a job takes.
    bodies = [_timeless(b" ".join(row.values()), prefix) for _, row in redis.xrange(key)]
    return [body for body in bodies if b'"event":"progress"' not in body]


_VALUES: dict[str, Callable[[Redis, bytes, str], object]] = {
    "hash": _hash,
    "zset": _zset,
    "stream": _stream,
    # Wakeups, each with an identifier of its own.
    "list": lambda redis, key, prefix: redis.llen(key),
    "set": lambda redis, key, prefix: redis.smembers(key),
    "string": lambda redis, key, prefix: (
        "a token" if key.endswith(TOKEN) else _timeless(redis.get(key), prefix)
    ),
}


def _timeless(value: bytes, prefix: str) -> bytes:
    """Blank milliseconds and the prefix out."""
    return re.sub(rb"1[789]\d{11}", b"T", value).replace(prefix.encode() + b":", b"")
