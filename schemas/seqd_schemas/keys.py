"""Key names of all that seqd stores in Redis, with their types and contents.

`Keys("seqd").events("j1")` is `seqd:job:{j1}:events`. The braces are a Redis hash tag and part of
the key. The Lua scripts build the same names from the same prefix; a test compares the two. Other
languages use the ones that `schemas/languages.md` lists.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

DEFAULT_PREFIX = "seqd"
#: Consumer group of the workers on the inbox stream.
INBOX_GROUP = "workers"


def _key(name: str) -> Callable[["Keys"], str]:
    """Return the method that gives the name of a key of which there is one."""
    return lambda keys: f"{keys.prefix}:{name}"


def _key_of(name: str) -> Callable[["Keys", str], str]:
    """Return the method that gives the name of one's key; `%s` is whose it is."""
    return lambda keys, whose: f"{keys.prefix}:{name % whose}"


def _key_of_two(name: str) -> Callable[["Keys", str, str], str]:
    """Return the method for a key that two things name, in the places of `%s`."""
    return lambda keys, whose, part: f"{keys.prefix}:{name % (whose, part)}"


@dataclass(frozen=True, slots=True)
class Keys:
    """Key names under one prefix, each with the type and the contents of its key."""

    prefix: str = DEFAULT_PREFIX

    job = _key_of("job:{%s}")
    """HASH: the request, the state and the counters. Of a small job that has completed also its
    compressed results, 64 bytes each in the fields `results`, `results+1`, …; the request then
    stands in `template`."""
    template = _key_of("template:%s")
    """HASH with a TTL: what small jobs that completed share, and how many `jobs` those are."""
    todo = _key_of("job:{%s}:todo")
    """ZSET unit → unit: units that may be claimed now, lowest first."""
    leases = _key_of("job:{%s}:leases")
    """HASH unit → `ATTEMPT WORKER`: units under a lease."""
    attempts = _key_of("job:{%s}:attempts")
    """HASH unit → number of claims so far; the number of a claim is its fencing token."""
    crashes = _key_of("job:{%s}:crashes")
    """HASH unit → attempts whose worker died or went silent."""
    sizes = _key_of("job:{%s}:sizes")
    """HASH unit → its number of items."""
    parts = _key_of("job:{%s}:parts")
    """HASH unit → names of its parts, in order: units split to find what kills workers."""
    input = _key_of("job:{%s}:in")
    """HASH unit → JSON of its `ItemChunk`, compressed; gone once the unit is done."""
    output = _key_of("job:{%s}:out")
    """HASH row → JSON Lines of `ItemResult`, in input order, as one zlib stream. The rows of a unit
    are called UNIT, UNIT+1, UNIT+2 and so on, until one is missing."""
    failed = _key_of("job:{%s}:failed")
    """HASH unit → JSON of an `ItemChunk`, compressed: its items that have errors."""
    faults = _key_of("job:{%s}:faults")
    """HASH unit → `COUNT MILLISECONDS WORKER`: released by workers not fit for it, since. And `UNIT
    death` → `CAUSE MESSAGE`: how the last worker died with it."""
    digests = _key_of("job:{%s}:digests")
    """HASH unit → digest of the request and all input up to it; of jobs that are uploaded."""
    ranges = _key_of("job:{%s}:ranges")
    """HASH with a TTL: first unit → a range of the job's file that a worker may read ahead. `UNITS
    TAKEN_AT TAKES WORKER POSITION`; WORKER is `-` while nobody reads it."""
    ahead = _key_of("job:{%s}:ahead")
    """HASH with a TTL: units that were read ahead, until it is their turn. UNIT → JSON of its
    `ItemChunk`, compressed; `UNIT place` → where it begins and ends; `UNIT ids` → digests of its
    identifiers; `bytes` → those of all chunks."""
    events = _key_of("job:{%s}:events")
    """STREAM: field `e` holds an `Event` as JSON."""
    deltas = _key_of("job:{%s}:deltas")
    """STREAM with a TTL: field `d` holds `TextDeltas` as JSON; gone once the job completes."""
    all_events = _key("events")
    """STREAM: state changes of all jobs, for dashboards."""
    completions = _key_of("client:%s:completions")
    """STREAM with a TTL: field `jobs` names jobs of a client that have ended."""
    format = _key("format")
    """STRING: the least format that may work here; written once, by the first worker."""
    jobs = _key("jobs")
    """ZSET job → milliseconds of its creation: jobs that are kept, of small ones the newest."""
    small_jobs = _key("jobs:small")
    """LIST: small jobs that have ended and stand in `jobs`, the first to end first."""
    open_jobs = _key("jobs:open")
    """ZSET job → milliseconds of its creation: jobs that have not ended."""
    failures = _key("failures")
    """STREAM with a TTL: the dead letters; field `f` has a `FailureRecord`. Its `id` and `at_ms`
    are those of the entry."""
    failures_replayed = _key("failures:replayed")
    """HASH with a TTL: entry of `failures` → the job that tries it again."""
    offered_ranges = _key("ranges")
    """ZSET job → milliseconds: jobs of whose files ranges may be read, since."""
    uploads = _key("uploads")
    """ZSET job → milliseconds of its client's last sign of life: jobs that are uploaded."""
    timers = _key("timers")
    """ZSET `JOB UNIT` → milliseconds: when a lease or a back-off runs out."""
    deadlines = _key("deadlines")
    """ZSET job → milliseconds: when an open job expires."""
    warnings = _key("warnings")
    """ZSET `JOB job` or `JOB results` → milliseconds: when to warn of its expiry."""
    tenant = _key_of("tenant:%s")
    """HASH: `jobs` that are open, `items` and `bytes` that wait, `kept_bytes`, of one tenant.
    `kept_bytes` are those of all results, and of all that ended jobs keep."""
    tenant_kept = _key_of("tenant:%s:kept")
    """HASH bucket → bytes of the tenant's jobs that ended in a span of time and still count."""
    tenant_ended = _key_of("tenant:%s:ended")
    """ZSET bucket → milliseconds of its begin: the tenant's buckets of ended jobs."""
    tenant_bucket = _key_of_two("tenant:%s:ended:%s")
    """LIST with a TTL: the jobs of a bucket, the first to end first."""
    tenant_files = _key_of("tenant:%s:files")
    """ZSET file → 0: a tenant's files, by name, which is by time."""
    tenant_batches = _key_of("tenant:%s:batches")
    """ZSET job → 0: jobs that were asked for as batches, the newest; by name, which is by time."""
    files = _key("files")
    """HASH file → `UploadedFile` as JSON: what callers of the gateway have uploaded."""
    files_due = _key("files:due")
    """ZSET file → milliseconds: when it is to be removed."""
    file_bytes = _key("files:bytes")
    """HASH tenant → bytes of its files."""
    kept = _key("kept")
    """ZSET `TENANT BUCKET` → milliseconds: when all jobs of a bucket have expired."""
    tenants = _key("tenants")
    """ZSET tenant → its `kept_bytes`."""
    evictions = _key("evictions")
    """HASH reason → number of ended jobs that were removed before their time so far. `within_hour`
    → how many of them had ended less than an hour before."""
    evicted = _key("evicted")
    """LIST: the last jobs that were removed so, at most 10,000."""
    limits = _key("limits")
    """HASH: the operator's limits, from the settings of the worker that booted last."""
    tenant_limits = _key_of("limits:%s")
    """HASH: what an operator has set for one tenant, but for its weight; see `TenantLimits`.
    `priorities` are joined by spaces."""
    weights = _key("weights")
    """HASH tenant → weight: the tenants for which an operator has set something."""

    def usage(self, day: int) -> str:
        """HASH with a TTL: what tenants have used on a day, counted from 1970-01-01 in UTC.

        `TENANT items`, `TENANT trainings`, `TENANT tokens` and `TENANT busy_ms` → number. The
        tenants beyond the first 10,000 are counted together, as `*`.
        """
        return f"{self.prefix}:usage:{day}"

    memory = _key("memory")
    """STRING with a TTL: `short` when Redis has too little memory left for new work."""
    idempotency = _key_of_two("idempotency:%s:%s")
    """STRING: the job that an idempotency key stands for."""
    queues = _key_of("queues:%s")
    """ZSET queue → what is added to its virtual times: queues with claimable units."""
    queue = _key_of_two("queue:%s:%s")
    """ZSET tenant → virtual time: tenants with claimable units in a queue, next one first."""

    def tenant_jobs(self, queue: str, priority: str, tenant: str) -> str:
        """ZSET `GROUP JOB` → virtual time: a tenant's jobs in a queue, next one first.

        A group is jobs that one batch can hold: of one kind, model, version, set of parameters
        and priority.
        """
        return f"{self.queue(queue, priority)}:{tenant}"

    since = _key_of("since:%s")
    """HASH of queues with claimable units. QUEUE → milliseconds since when it has some, `:QUEUE` →
    when anybody claimed from it last."""
    virtual_times = _key_of("virtual_times:%s")
    """ZSET tenant → virtual time: the work that tenants were handed, while anybody waits. `:class`
    is the highest time at which anything was served, `:QUEUE` that of a queue's last."""
    worker_classes = _key_of("worker:%s:classes")
    """HASH with a TTL: priority → virtual time, of what a worker got; `:time` of the last."""
    inbox = _key("inbox")
    """STREAM: fields `id` and `job` (JSON); where any language submits a job."""
    inbox_answers = _key("inbox:answers")
    """STREAM with a TTL: field `a` holds an `InboxAnswer` as JSON, one for each entry."""
    inbox_rejections = _key("inbox:rejections")
    """LIST with a TTL: identifiers whose event stream holds a rejection, oldest first."""
    work_left = _key("work_left")
    """HASH queue → items of open jobs that nobody has done; of paused jobs none. With those that
    are estimated of files not read yet: `unread` of a job."""
    rates = _key("rates")
    """HASH queue → `ITEMS SECONDS MILLISECONDS`: work of a busy slot, the recent counts more. ITEMS
    in SECONDS, noted last at MILLISECONDS."""
    work_done = _key("work_done")
    """HASH queue → `ITEMS ERRORS RECENT_ITEMS RECENT_ERRORS SINCE MILLISECONDS`. Items done so far,
    those of them with errors, and the same of about the last minute, which fade by the clock; SINCE
    is the begin of these, MILLISECONDS when it was noted last."""
    minutes = _key("minutes")
    """STREAM, one entry a minute of the last hour, whose id is the minute's begin: fields
    `items_per_s`, `errors_per_min`, `waiting_items` and `busy_workers` of the whole fleet."""
    worker = _key_of("worker:%s")
    """STRING with a TTL: a `WorkerStatus` as JSON."""
    worker_last = _key_of("worker:%s:last")
    """STRING with a TTL of a day: what a worker said last, for who looks when it is gone. A
    `WorkerStatus` as JSON, without its plugins, models and versions."""
    worker_leases = _key_of("worker:%s:leases")
    """SET of `JOB UNIT`: the leases of a worker, all released when it dies."""
    worker_deltas = _key_of("worker:%s:deltas")
    """STRING with a TTL: token of the last text deltas that a worker published."""
    workers = _key("workers")
    """ZSET worker → milliseconds: when it was last seen."""
    cordons = _key("cordons")
    """HASH target → `CordonRule` as JSON: operators' rules; `version` counts their changes. A
    request to restart stands under `restart:TARGET`."""
    audit = _key("audit")
    """STREAM: field `a` holds an `AuditEntry` as JSON; the newest, at most about 10,000."""
    model_orders = _key("model_orders")
    """ZSET order → milliseconds until which it is open: changes of models, asked for."""
    model_order = _key_of("model_order:%s")
    """HASH with a TTL: `order` and `answer` as JSON; the `worker` on it, and its `lease`."""
    placements = _key("placements")
    """HASH model → `PlacementRule` as JSON: who serves it; `:version` counts their changes."""
    notices = _key("notices")
    """STREAM of one entry, which says nothing: cordons, placements or orders have changed."""
    api_keys = _key("api_keys")
    """HASH SHA-256 of a key's secret → `ApiKey` as JSON; `:version` counts the changes. So it stays
    when the last key goes, and the gateway goes on to ask for one."""
    api_keys_used = _key("api_keys:used")
    """HASH key → milliseconds: when it was used last, noted once a minute."""
    api_key_rate = _key_of("api_key_rate:%s")
    """STRING with a TTL: milliseconds at which a key has all requests of its minute again."""
    paused_models = _key("paused_models")
    """HASH model → `ModelPause` as JSON: models whose jobs wait, by operators' rules."""
    webhooks = _key("webhooks")
    """HASH webhook → `Webhook` as JSON, with its secret."""
    tenant_webhooks = _key_of("tenant:%s:webhooks")
    """HASH webhook → JSON of the `event_types` and `metadata` that it is told of."""
    webhooks_due = _key("webhooks:due")
    """ZSET webhook → milliseconds: when there is next something to do for it."""
    webhook = _key_of("webhook:%s")
    """HASH: `delivered` and `dropped` messages, and the last `error` with its `error_at`, until one
    is taken."""
    webhook_due = _key_of("webhook:%s:due")
    """ZSET job → milliseconds: when its first message is sent next, or its lease ends."""
    webhook_failed = _key_of("webhook:%s:failed")
    """ZSET job → milliseconds: when its first message had failed for good."""
    webhook_messages = _key_of("webhook:%s:messages")
    """HASH job → `ATTEMPTS` of the first of its messages, and a line of JSON for each."""
    catalog = _key("catalog")
    """HASH model → `CatalogEntry` as JSON."""
    task_schemas = _key("task_schemas")
    """HASH digest → JSON `{"input": …, "result": …}`: schemas of plugins' own tasks. Those that
    jobs were accepted with stay when a plugin's change."""
    rollout = _key_of_two("rollout:%s:%s")
    """HASH with a TTL: what the versions of a roll-out did, field `VERSION WHAT` → number. WHAT
    is `items`, `errors`, `differing`, `batches`, `busy_us`, or `le:N`: batches that took up to
    2^(N/4) ms."""
    lock = _key_of("lock:%s")
    """STRING with a TTL: the worker that does a periodic task for all."""
    durability_mark = _key("durability-mark")
    """STRING with a TTL: written before the server is asked whether it has synced its disk."""
    wakeup = _key_of("wakeup.%s")
    """LIST: the Celery queue whose messages wake the workers of a route."""


def route_of(task: str, plugin: str) -> str:
    """Return the route of a task and a plugin's model, `classify.imdb_lstm`: who can run it."""
    return f"{task}.{plugin}"


def queue_of(route: str, version: int | None, model: str | None = None) -> str:
    """Return the queue of a route's jobs that run on a version, `classify.imdb_lstm@3`.

    Of those that run on none, as a training does, it is the route. A worker claims from the queues
    whose version it can load. The route has the plugin's name; `model` is the model's where that is
    another, `classify.imdb_lstm:topics@3`.
    """
    named = route if model is None else f"{route}:{model}"
    return named if version is None else f"{named}@{version}"


def queues_of_model(route: str, model: str, versions: Iterable[int | None]) -> list[str]:
    """Return the queues of a model's versions under the route of what it is made with."""
    named = None if route.partition(".")[2] == model else model
    return [queue_of(route, version, named) for version in versions]


class QueueName(NamedTuple):
    """The parts of a queue's name."""

    task: str
    model: str
    #: None of a training.
    version: int | None

    @classmethod
    def parse(cls, queue: str) -> Self:
        """Return the parts of what `queue_of` returns; checks none of them."""
        named, _, version = queue.partition("@")
        route, _, model = named.partition(":")
        task, _, routed = route.partition(".")
        return cls(task, model or routed, int(version) if version.isdecimal() else None)


def wakeup_queue(route: str) -> str:
    """Return the Celery queue of a route; in Redis it stands behind the prefix: `Keys.wakeup`."""
    return f"wakeup.{route}"
