"""The worst that each script of the ledger may meet: a table with at least one case for each.

A case prepares its ground by `world.ledger`, and calls scripts by `world.watched`, whose calls are
noted. It may be run again, so what it makes has names of its own.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice

from bench.script_world import PARTS, ROUTE, UNIT_ITEMS, World
from builders import (
    a_catalog_entry,
    a_chunk,
    a_classify_job,
    a_failure,
    a_train_job,
    a_training_result,
    some_deltas,
    some_results,
)
from seqd.admission import Admitted
from seqd.client.requests import retry_of
from seqd.ledger.blobs import pack_results
from seqd.ledger.control import fail_damaged
from seqd.ledger.exchange import script
from seqd.ledger.failures import PAGE_ENTRIES
from seqd.ledger.inbox import Entry
from seqd.ledger.job_filter import job_filter
from seqd.ledger.jobs import ResultPosition
from seqd.ledger.many_jobs import Selection
from seqd.ledger.ranges import IngestPosition, Range, ReadUnit
from seqd.ledger.submissions import BatchTemplate
from seqd.ledger.units import Unit
from seqd.ledger.uploaded_files import MAX_FILES
from seqd.ledger.work import CheckpointRecord, Finished, LeftQueues
from seqd_schemas import (
    MAX_CORDON_RULES,
    MAX_MODEL_ORDERS,
    MAX_PAUSED_MODELS,
    MAX_TENANT_WEBHOOKS,
    CordonAction,
    CordonRule,
    FilePurpose,
    JobAction,
    KeyRole,
    Log,
    ModelOrder,
    ModelPause,
    OrderAnswer,
    TenantLimits,
    UploadedFile,
    queue_of,
    to_stored,
)

#: A case: the scripts that it is about, and what they meet.
CASES: list[tuple[tuple[str, ...], str, Callable[[World], None]]] = []

#: Units that one worker holds whose replies were lost again and again.
_HELD = 5_000


def case(what: str, *scripts: str) -> Callable[[Callable[[World], None]], Callable[[World], None]]:
    """Return a decorator that adds a case to the table."""

    def add(run: Callable[[World], None]) -> Callable[[World], None]:
        CASES.append((scripts, what, run))
        return run

    return add


@case("1,000 jobs of one item, each of a tenant of its own", "claim", "commit")
def claim_of_many_tenants(world: World) -> None:
    version = world.number()
    for tenant in range(1_000):
        world.small_jobs(1, a_classify_job(tenant=f"t{tenant}"), version=version)
    claim = world.claimed(version, watched=True)
    world.complete(claim, watched=True)


@case("1,000 jobs of one item, of one tenant", "claim", "renew", "commit", "release_worker")
def claim_of_one_tenant(world: World) -> None:
    version = world.number()
    world.small_jobs(2_000, version=version)
    claim = world.claimed(version, watched=True)
    world.watched.work.renew(claim.units)
    world.complete(claim, watched=True)
    world.watched.work.claim("dies", [queue_of(ROUTE, version)])
    world.watched.work.release_worker("dies", crashed=True)


@case("units of one large job", "claim", "renew", "release_unit", "commit")
def claim_of_a_large_job(world: World) -> None:
    version = world.number()
    world.large_job(version=version)
    claim = world.claimed(version, watched=True)
    world.watched.work.renew(claim.units)
    for unit in claim.units[:10]:
        world.watched.work.release_unit(unit, crashed=True, faulted_by="worker")
    results = some_results(UNIT_ITEMS)
    done = (Finished(unit, results) for unit in claim.units[10:])
    world.watched.work.commit_batch(done, "1.0")


@case(
    "200 dead letters noted, with 1,000 notes on others, and purged",
    "end_job",
    "note_replayed",
)
def dead_letters(world: World) -> None:
    names = world.small_jobs(PAGE_ENTRIES, version=world.number())
    for name in names:
        world.watched.control.fail(name, a_failure())
    entries = world.redis.xrevrange(world.keys.failures(), count=PAGE_ENTRIES)
    ids = [entry_id.decode() for entry_id, _ in entries]
    gone = {f"{number}-1": "old" for number in range(10_000 + world.number())}
    world.redis.hset(world.keys.failures_replayed(), mapping=gone)
    world.watched.failures.note_replayed(ids, "again")
    world.watched.failures.purge(ids)


@case("jobs overdue that continue others, and large ones", "claim", "expire")
def end_of_an_outage(world: World) -> None:
    version = world.number()
    request = a_classify_job(expires_in_s=86_400)
    large = [world.large_job(version=version, parts=PARTS[:-1], leased=100) for _ in range(3)]
    world.overdue([*large, *world.small_jobs(500, request, version=version)])
    world.watched.jobs.get(large[0])
    world.watched.work.claim("worker", [queue_of(ROUTE, version)])
    world.watched.work.expire()


@case("a queue of jobs of which no more units may run", "claim")
def claim_of_capped_jobs(world: World) -> None:
    version = world.number()
    request = a_classify_job(max_running_units=1)
    names = world.small_jobs(2_500, request, version=version)
    with world.redis.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hset(world.keys.leases(name), "1", "1 worker")
            pipe.hset(world.keys.job(name), "state", "running")
        pipe.execute()
    world.watched.work.claim("worker", [queue_of(ROUTE, version)])


@case("500 queues, whose jobs have nothing to do", "claim", "wake_where_due", "wake", "look")
def claim_from_many_queues(world: World) -> None:
    queues = []
    for _ in range(500):
        queues.append(queue_of(ROUTE, version := world.number()))
        (name,) = world.small_jobs(1, version=version)
        world.redis.delete(f"{world.keys.job(name)}:todo")
    world.watched.work.wake_where_due(queues)
    world.watched.looks.look("worker", ["echo"] * 100, queues)
    world.watched.work.wake(ROUTE)
    for _ in range(5):
        world.watched.work.claim("worker", queues)


@case(
    "1,000 tenants with limits of their own; one of them waits in 250 queues", "set_tenant", "claim"
)
def claim_by_weights(world: World) -> None:
    request = a_classify_job(tenant="heavy")
    for tenant in range(1_000):
        name, weight = f"weighted{tenant}", 1 + tenant % 7
        world.ledger.tenants.set_limits(name, TenantLimits(weight=weight, jobs=1_000))
    queues = []
    for _ in range(250):
        queues.append(queue_of(ROUTE, version := world.number()))
        world.small_jobs(2, request, version=version)
    for tenant in range(1_000):
        world.small_jobs(1, a_classify_job(tenant=f"weighted{tenant}"), version=version)
    world.watched.work.claim("worker", queues)
    for weight in (0.01, 3):
        world.watched.tenants.set_limits("heavy", TenantLimits(weight=weight))
    assert world.watched.work.claim("worker", queues[-1:]) is not None


@case("4,096 items of 64 units; 64 jobs that end, each of a tenant over its limit", "commit")
def commit_over_the_limits(world: World) -> None:
    version = world.number()
    for tenant in range(64):
        request = a_classify_job(tenant=f"full{tenant}")
        world.small_jobs(20, request, version=version)
    world.complete_all(version)
    for tenant in range(64):
        world.small_jobs(1, a_classify_job(tenant=f"full{tenant}"), version=version)
    claim = world.claimed(version)
    limits = world.settings.model_copy(update={"max_tenant_kept_bytes": 64 * 1024})
    world.redis.hset(world.keys.limits(), "tenant_kept_bytes", 2_000)
    world.complete(claim, watched=True)
    world.watched.retention.evict()
    world.ledger.fleet.publish_limits(
        limits.model_copy(update={"max_tenant_kept_bytes": world.settings.max_tenant_kept_bytes})
    )


@case("64 jobs that end, each the last of a chain of 64", "commit", "submit")
def commit_of_chains(world: World) -> None:
    version = world.number()
    names = world.small_jobs(16, version=version)
    for _ in range(16):
        for at, name in enumerate(names):
            world.ledger.control.cancel(name)
            request = retry_of(world.ledger.jobs.get(name))
            names[at] = f"chain-{world.number()}"
            world.ledger.submissions.submit(
                request, Admitted(version, 1_024), job_id=names[at], chunk=a_chunk(1), sealed=True
            )
    claim = world.claimed(version)
    world.complete(claim, watched=True)
    world.watched.work.expire()


@case("the last unit of a large job", "commit", "seal")
def commit_of_the_last_unit(world: World) -> None:
    for is_sealed in (True, False):
        version = world.number()
        left = world.units - 1 if is_sealed else world.units
        done = {
            "units_done": left, "succeeded": left * UNIT_ITEMS, "sealed": int(is_sealed),
        }  # fmt: skip
        parts = ("in", "out", "sizes", "digests", "attempts", "crashes", "failed")
        name = world.large_job(version=version, parts=parts, **done)
        last = str(world.units - 1)
        if is_sealed:
            world.redis.hdel(f"{world.keys.job(name)}:out", last)
            world.redis.zadd(f"{world.keys.job(name)}:todo", {last: int(last)})
            claim = world.claim(version=version)
            assert claim is not None
            world.watched.work.commit(claim.units[0], some_results(UNIT_ITEMS))
        else:
            world.watched.submissions.seal(a_classify_job(), name, world.units)


@case("the last part of a unit of 1,000 parts; a split of it", "split", "commit")
def commit_of_the_last_part(world: World) -> None:
    version = world.number()
    name = f"parts-{version}"
    world.ledger.submissions.submit(
        a_classify_job(), Admitted(version, 1_000), job_id=name, chunk=a_chunk(1_000), sealed=True
    )
    world.claimed(version)
    key, parts = world.keys.job(name), [f"0:{n}:{n + 1}" for n in range(998)]
    row = some_results(1)
    world.redis.hset(f"{key}:out", mapping=dict.fromkeys(parts, pack_results(row)[0]))
    world.redis.hset(f"{key}:parts", "0", " ".join([*parts, "0:998:1000"]))
    world.redis.hset(f"{key}:sizes", "0:998:1000", 2)
    world.redis.hset(f"{key}:in", "0:998:1000", "x")
    world.redis.hset(f"{key}:leases", "0:998:1000", "1 worker")
    unit = Unit(name, "0:998:1000", 1, 0, b"", started_job=False)
    halves = (a_chunk(1, first=998), a_chunk(1, first=999))
    world.watched.work.split(unit, halves)
    for number in (998, 999):
        world.redis.hset(f"{key}:leases", f"0:{number}:{number + 1}", "1 worker")
        part = Unit(name, f"0:{number}:{number + 1}", 1, 0, b"", started_job=False)
        world.watched.work.commit(part, row)


@case("a training with as much input as it may have", "submit", "commit", "end_job", "steer")
def training_with_much_input(world: World) -> None:
    names = []
    for at in range(3):
        name = f"train-{world.number()}"
        request = a_train_job(source={"type": "upload"}, tenant="trains")
        if at:
            request = request.model_copy(update={"continues": names[-1]})
        ledger = world.watched if at else world.ledger
        ledger.submissions.submit(request, Admitted(None, 1), job_id=name, sealed=False)
        names.append(name)
        if at == 0:
            key, blob = world.keys.job(name), bytes(65_536)
            chunks = world.settings.max_pending_bytes // len(blob)
            for first in range(0, chunks, 64):
                rows = {str(first + n): blob for n in range(64)}
                world.redis.hset(f"{key}:in", mapping=rows)
            world.redis.hset(key, mapping={"units": chunks, "pending_bytes": chunks * len(blob)})
            world.ledger.submissions.seal(request, name, chunks)
        if at < 2:
            world.watched.control.cancel(name)
    claim = world.ledger.work.claim("trainer", ["train.imdb_lstm"])
    assert claim is not None
    world.watched.work.commit_training(claim.units[0], a_training_result())
    world.watched.control.remove(names[2])
    world.watched.control.remove(names[1])
    world.watched.control.remove(names[0])


@case("64 jobs of a mebibyte; memory is short, and ended jobs go", "submit", "evict", "append")
def submit_when_memory_is_short(world: World) -> None:
    version = world.number()
    world.redis.hset(world.keys.limits(), "kept_s", 0)
    upload = f"upload-{version}"
    world.ledger.submissions.submit(
        a_classify_job(), Admitted(version, 10), job_id=upload, owner="me"
    )
    with world.short_of_memory():
        world.watched.submissions.append(a_classify_job(), upload, 0, a_chunk(10), owner="me")
    template = BatchTemplate(a_classify_job(), Admitted(version, 512), "a client")
    jobs = [(f"{upload}-{n}", a_chunk(500)) for n in range(64)]
    with world.short_of_memory():
        world.watched.submissions.submit_each(template, jobs)
    with world.short_of_memory():
        world.watched.retention.evict()
    world.ledger.fleet.publish_limits(world.settings)
    world.watched.submissions.submit_each(template, [(f"{name}-again", c) for name, c in jobs])


@case("an upload of a large job", "append", "follow", "heartbeat")
def upload_of_a_large_job(world: World) -> None:
    name = world.large_job(sealed=0, owner="me")
    request, digest = a_classify_job(), "0" * 64
    for unit in range(world.units, world.units + 5):
        world.watched.submissions.append(
            request, name, unit, a_chunk(UNIT_ITEMS), digest=digest, owner="me"
        )
    world.watched.submissions.heartbeat(name, "me")
    world.watched.submissions.follow(name, 5, digest, "other", 10.0)
    world.watched.submissions.follow(name, world.units + 5, digest, "other", 0.0)


@case("a large job that is cancelled, removed or fails", "end_job", "steer")
def end_of_a_large_job(world: World) -> None:
    name = world.large_job(parts=PARTS, leased=min(_HELD, world.units))
    world.watched.control.cancel(name)
    world.watched.control.remove(name)
    world.watched.control.fail(world.large_job(parts=PARTS), a_failure())
    while world.watched.work.expire():
        pass


@case("a large job that is paused and goes on", "steer", "results")
def pause_of_a_large_job(world: World) -> None:
    name = world.large_job(parts=("todo", "in", "sizes", "attempts", "out"), leased=100)
    world.watched.control.pause(name)
    world.watched.control.resume(name)
    for unit in (0, world.units - 5):
        world.watched.jobs.results(name, ResultPosition(unit))


@case("a large job that is damaged, and one that is not", "fail_damaged")
def damage_of_a_large_job(world: World) -> None:
    for total in (1, "no number"):
        name = world.large_job(parts=PARTS)
        world.redis.hset(world.keys.job(name), "total", total)
        world.watched.transport.run(fail_damaged(name, ValueError("a test")))


@case("all leases of a fleet that died together", "expire", "release_worker")
def death_of_a_fleet(world: World) -> None:
    held = min(_HELD, world.units)
    for worker in ("starves", "drains"):
        name = world.large_job(leased=held, worker=worker)
        if worker == "drains":
            world.watched.work.release_worker(worker, crashed=False)
        else:
            due = {f"{name} {unit}": 1 for unit in range(held)}
            world.redis.zadd(world.keys.timers(), due, xx=True)
    # All that may be due at once: units, jobs, and warnings of what is held.
    version = world.number()
    request = a_classify_job(expires_in_s=86_400, tenant="late")
    names = world.small_jobs(1_000, request, version=version)
    for name in names[500:]:
        world.ledger.control.cancel(name)
    world.redis.zadd(world.keys.warnings(), {f"{name} results": 1 for name in names[500:]})
    world.overdue(names[:500])
    world.watched.work.expire()


@case("a worker that stands still, with units of many jobs", "renew_worker")
def standstill_of_a_worker(world: World) -> None:
    version = world.number()
    world.small_jobs(500, version=version)
    worker = f"stands-{version}"
    assert world.claim(version=version, worker=worker) is not None
    world.large_job(leased=min(_HELD, world.units), worker=worker)
    world.watched.work.renew_worker(worker, "It stands still. " * 30)


@case("a lock that others hold", "take_lock")
def lock_of_others(world: World) -> None:
    for worker in ("one", "other"):
        world.watched.fleet.take_lock("a task", worker, 10.0)


@case("a catalog of 256 models, published at once", "publish_catalog")
def publish_many_models(world: World) -> None:
    entries = [a_catalog_entry(model=f"m{number}") for number in range(256)]
    for _ in range(2):
        assert world.watched.fleet.publish_catalog(entries, world.ledger.fleet.catalog_rows())


@case("a large file that is read on", "keep_ingest", "resume_ingest", "note_unread")
def ingest_of_a_large_file(world: World) -> None:
    name = world.large_job(sealed=0, state="running")
    key, worker = world.keys.job(name), f"reads-{name}"
    world.redis.hset(f"{key}:leases", "ingest", f"1 {worker}")
    world.redis.hset(f"{key}:attempts", "ingest", 1)
    unit = Unit(name, "ingest", 1, 0, b"", started_job=False)
    assert world.watched.backlog.note_unread(unit, 1_000_000)
    assert world.watched.ingests.keep(unit)
    assert world.watched.ingests.resume(unit, worker) is True  # enough is claimable
    world.redis.delete(f"{key}:todo")
    assert isinstance(world.watched.ingests.resume(unit, worker), Unit)


@case("a large file that others read ahead", "offer_ranges", "take_range", "release_range",
      "read_ahead")  # fmt: skip
def ranges_of_a_large_file(world: World) -> None:
    version = world.number()
    name = world.large_job(version=version, sealed=0, state="running")
    ranges = world.watched.ranges
    for _ in range(7):  # of which this worker can read nothing
        other = world.large_job(sealed=0, state="running")
        place = IngestPosition(world.units, world.units * UNIT_ITEMS, 0, 0, 1, 1, 0)
        assert ranges.offer(_holds_ingest(world, other), [Range(place, 8)])
    unit = _holds_ingest(world, name)
    places = [
        IngestPosition(world.units + at, (world.units + at) * UNIT_ITEMS, at, at, 1, 1, 0)
        for at in range(0, 8 * 17, 8)
    ]
    assert ranges.offer(unit, [Range(place, 8) for place in places[:16]])
    queues = [queue_of(ROUTE, version)]
    taken = ranges.take("reads", queues)
    assert taken is not None
    ranges.release(taken, "reads")
    taken = ranges.take("reads", queues)
    assert taken is not None
    blob, digests = bytes(500_000), bytes(8 * UNIT_ITEMS)
    for at in range(8):
        begins = replace(places[0], units=places[0].units + at)
        ends = replace(begins, units=begins.units + 1, entries=begins.entries + UNIT_ITEMS)
        assert ranges.put(taken, "reads", ReadUnit(begins, ends), blob, digests) == "read"
    world.redis.unlink(world.keys.offered_ranges())


def _holds_ingest(world: World, name: str) -> Unit:
    """Let a worker hold the ingest of a job."""
    world.redis.hset(f"{world.keys.job(name)}:leases", "ingest", "1 holds")
    world.redis.hset(f"{world.keys.job(name)}:attempts", "ingest", 1)
    return Unit(name, "ingest", 1, 0, b"", started_job=False)


@case("256 jobs, all overdue; and all completed", "ended")
def look_at_many_jobs(world: World) -> None:
    version = world.number()
    names = world.small_jobs(256, a_classify_job(expires_in_s=86_400), version=version)
    world.overdue(names)
    world.watched.jobs.ended(names)
    names = world.small_jobs(256, version=version)
    world.complete_all(version)
    world.watched.jobs.ended(names)


@case("accounts of 1,000 tenants, a bucket of all jobs among them", "evict")
def buckets_run_out(world: World) -> None:
    tenant = f"old{world.number()}"
    key = world.keys.tenant(tenant)
    with world.redis.pipeline(transaction=False) as pipe:
        for number in range(1_000):
            bucket = f"604800:{number}"
            pipe.hset(world.keys.tenant_kept(tenant), bucket, 500)
            pipe.zadd(world.keys.tenant_ended(tenant), {bucket: number})
            pipe.zadd(world.keys.kept(), {f"{tenant} {bucket}": number})
            pipe.rpush(world.keys.tenant_bucket(tenant, bucket), "gone")
        pipe.execute()
    for _ in range(0, world.jobs, 1_000):
        world.redis.rpush(f"{key}:ended:604800:0", *(f"{n:020}" for n in range(1_000)))
    world.redis.hset(key, "kept_bytes", 500_000)
    world.watched.retention.evict()


@case("a full inbox", "open_inbox", "read_inbox", "take_entry", "answer_entry", "trim_inbox")
def full_inbox(world: World) -> None:
    inbox = world.keys.inbox()
    world.watched.transport.run(script("open_inbox"))
    for _ in range(10):
        with world.redis.pipeline(transaction=False) as pipe:
            for _ in range(world.jobs // 20):
                pipe.xadd(inbox, {"id": f"in-{world.number()}", "job": "{}"})
            pipe.execute()
    world.redis.hset(world.keys.limits(), "inbox_entries", world.jobs // 4)
    for _ in range(5):
        world.watched.inbox.refuse_excess()
    with world.short_of_memory():
        world.watched.inbox.refuse_excess()
    world.redis.delete(world.keys.memory())
    entries = world.watched.inbox.read_new("worker", None)
    world.watched.inbox.read_own("worker")
    version = world.number()
    for entry in islice(entries, 5):
        world.watched.submissions.submit(
            a_classify_job(),
            Admitted(version, 10),
            job_id=f"entry-{world.number()}",
            chunk=a_chunk(10),
            sealed=True,
            entry=entry,
        )
    for entry in entries[5:]:
        world.watched.inbox.reject(entry, f"no-{world.number()}", a_failure(), None)
    world.watched.inbox.accept_again(Entry("0-1", {}), "none")
    world.ledger.fleet.publish_limits(world.settings)
    world.redis.delete(inbox)


@case("256 texts at once, to streams full of short deltas", "publish_deltas", "publish")
def full_streams(world: World) -> None:
    version = world.number()
    names = world.small_jobs(256, version=version)
    units: dict[str, Unit] = {}
    while claim := world.claim(version=version):
        units |= {unit.job_id: unit for unit in claim.units}
    full = names[:8]
    for name in full:
        entries = world.settings.max_stream_bytes // 70
        for _ in range(0, entries, 1_000):
            with world.redis.pipeline(transaction=False) as pipe:
                for _ in range(1_000):
                    pipe.xadd(world.keys.deltas(name), {"d": "short"})
                pipe.execute()
        held = world.redis.xlen(world.keys.deltas(name)) * 69
        world.redis.hset(world.keys.job(name), "delta_bytes", held)
    longest = "x" * 16_000
    texts = [(units[name], some_deltas(longest)) for name in names]
    world.watched.work.publish_deltas("worker", texts)
    many = [(units[full[0]], some_deltas(longest)) for _ in range(256)]
    world.watched.work.publish_deltas("worker", many)
    event = Log(job_id=names[0], at_ms=0, level="info", message="here")
    for _ in range(5):
        world.watched.work.publish(units[names[0]], event)


@case("rates of more queues than are kept", "note_rate")
def rates_of_many_queues(world: World) -> None:
    for queue in range(1_100):
        world.watched.backlog.note_rate(f"classify.model{queue}@{world.number()}", 64, 0.5)


@case("a training's checkpoints", "checkpoint")
def checkpoints(world: World) -> None:
    name = f"train-{world.number()}"
    world.ledger.submissions.submit(a_train_job(), Admitted(None, 1), job_id=name)
    while claim := world.ledger.work.claim("trainer", ["train.imdb_lstm"]):
        (unit,) = claim.units
        for number in range(5):
            record = CheckpointRecord(f"c{number}", "0" * 64)
            world.watched.checkpoints.commit(unit, record)


@case("webhooks with all that may wait, and 64 jobs that each tells 10 receivers of", "set_webhook",
      "claim_deliveries", "settle_delivery", "replay_webhook", "commit")  # fmt: skip
def deliveries_of_all(world: World) -> None:
    webhooks, version = world.watched.webhooks, world.number()
    tenant = f"told-{version}"
    made = [webhooks.add(tenant, "https://a.test/") for _ in range(MAX_TENANT_WEBHOOKS)]
    first = made[0].webhook_id
    waiting = {f"j{number}": number + 1 for number in range(world.jobs)}
    world.redis.zadd(world.keys.webhook_failed(first), waiting)
    messages = dict.fromkeys(waiting, '0\n{"type":"batch.completed"}')
    world.redis.hset(world.keys.webhook_messages(first), mapping=messages)
    assert webhooks.replay(first) == world.jobs
    world.small_jobs(64, a_classify_job(tenant=tenant), version=version)
    world.complete(world.claimed(version, watched=True), watched=True)
    for delivery in webhooks.claim(200):
        webhooks.settle(delivery, "It did not answer.")
    for one in made:
        webhooks.remove(one.webhook_id)


@case("as many keys of the gateway as there may be, each with a rate", "admit_request")
def admission_beside_all_keys(world: World) -> None:
    made = world.ledger.api_keys.new("reviews", KeyRole.SUBMIT, requests_per_minute=100)
    rows = {f"{number:064x}": to_stored(made.key) for number in range(9_999)}
    world.redis.hset(world.keys.api_keys(), mapping=rows)
    for _ in range(101):
        world.watched.api_keys.admitted(made.secret)
    world.redis.unlink(world.keys.api_keys())


@case("as many files of a tenant as there may be, of which 100 go", "keep_file", "drop_files")
def all_files(world: World) -> None:
    first = UploadedFile(
        file_id=f"file-{world.number():x}",
        tenant="files",
        filename="reviews.jsonl",
        purpose=FilePurpose.BATCH,
        bytes=1_000,
        created_at_ms=0,
        expires_at_ms=0,
    )
    names = [f"{first.file_id}{number:08x}" for number in range(MAX_FILES)]
    for name in names[-100:]:
        world.watched.uploaded_files.keep(first.model_copy(update={"file_id": name}))
    listed = dict.fromkeys(names[:-100], 0)
    world.redis.zadd(world.keys.tenant_files("files"), listed)
    world.watched.uploaded_files.drop(names[-100:])
    world.redis.unlink(world.keys.tenant_files("files"))


@case("as many rules on workers as may stand, changed at once", "set_rules")
def all_rules(world: World) -> None:
    rules = [
        CordonRule(
            target=f"worker:{'w' * 200}{number}",
            action=CordonAction.DRAIN,
            reason="r" * 500,
            by="b" * 500,
            at_ms=number,
        )
        for number in range(MAX_CORDON_RULES)
    ]
    cordons = world.watched.cordons
    cordons.change(add=rules)
    cordons.change(add=[rule.model_copy(update={"at_ms": 7_000 + rule.at_ms}) for rule in rules])
    cordons.change(remove=rules)


@case("as many orders for models as may be open", "place_order", "take_order", "end_order")
def all_orders(world: World) -> None:
    orders, first = world.watched.orders, world.number()
    names = [f"o{first}-{number}" for number in range(MAX_MODEL_ORDERS)]
    for name in names:
        order = ModelOrder(
            order_id=name,
            action="promote",
            model="m" * 40,
            version=2,
            why="w" * 500,
            ordered_at_ms=1,
        )
        orders.place(order, 60.0)
    for name in names:
        orders.take(name, "worker", 10.0)
        labels = {f"label_{number}": 2 for number in range(1_000)}
        orders.answer(OrderAnswer(order_id=name, worker="worker", labels=labels))
    orders.cancel(names[0])


@case("4,096 queues of versions that are not in memory, 100 of them with work", "claim")
def claim_from_left_queues(world: World) -> None:
    for version in range(100):
        world.small_jobs(1, a_classify_job(), version=5_000 + version)
    cold = [queue_of(ROUTE, 5_000 + n) for n in range(4_096)]
    world.watched.work.claim("worker", [queue_of(ROUTE, 1)], LeftQueues(cold, left_s=60.0))


@case("2,000 jobs of one item that match a filter, or do not", "act_on_jobs")
def act_on_many_jobs(world: World) -> None:
    version = world.number()
    tenant = f"many{version}"
    request = a_classify_job(tenant=tenant, metadata={"batch": "7"})
    world.small_jobs(2_000, request, version=version)
    for action, states in (
        (JobAction.PAUSE, ["queued"]),
        (JobAction.RESUME, ["paused"]),
        (JobAction.CANCEL, ["queued"]),
        (JobAction.RETRY, ["cancelled"]),
        (JobAction.REMOVE, ["cancelled"]),
    ):
        wanted = job_filter({"states": states, "tenant": tenant, "metadata": {"batch": "7"}})
        selection, cursor = Selection(action, wanted), b""
        for _ in range(40):
            cursor = world.watched.many_jobs.count(selection, cursor).cursor
        cursor = b""
        for _ in range(200):
            cursor = world.watched.many_jobs.act(selection, cursor).cursor
            if not cursor:
                break


@case("3 jobs of many units and leases that are cancelled at once", "act_on_jobs")
def cancel_large_jobs(world: World) -> None:
    version = world.number()
    for _ in range(3):
        world.large_job(version=version, parts=PARTS[:-1], leased=100)
    wanted = job_filter({"states": ["queued", "running"], "model": f"imdb_lstm@{version}"})
    selection, cursor = Selection(JobAction.CANCEL, wanted), b""
    while cursor := world.watched.many_jobs.act(selection, cursor).cursor:
        pass


@case("500 queues, of which those of 256 models are paused", "set_rules", "claim")
def claim_beside_paused_models(world: World) -> None:
    pauses = world.watched.model_pauses
    for number in range(MAX_PAUSED_MODELS):
        pauses.pause(ModelPause(model=f"m{number}", at_ms=1))
    queues = []
    for number in range(500):
        version = world.number()
        queues.append(f"{ROUTE}:m{number}@{version}")
        world.redis.zadd(world.keys.queues("normal"), {queues[-1]: 0})
    for _ in range(5):
        world.watched.work.claim("worker", queues)
    for number in range(MAX_PAUSED_MODELS):
        pauses.resume(f"m{number}")
