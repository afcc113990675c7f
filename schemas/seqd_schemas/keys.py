"""Key names of all that seqd stores in Redis, with their types and contents.

`Keys("seqd").events("j1")` is `seqd:job:{j1}:events`. The braces are a Redis hash tag and part of
the key. The Lua scripts build the same names from the same prefix; a test compares the two. Other
languages use the ones that `schemas/README.md` lists.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

DEFAULT_PREFIX = "seqd"

#: Consumer group of the workers on the inbox stream.
INBOX_GROUP = "workers"


@dataclass(frozen=True, slots=True)
class Keys:
    """Key names under one prefix."""

    prefix: str = DEFAULT_PREFIX

    def job(self, job_id: str) -> str:
        """HASH: the request, the state and the counters.

        Of a small job that has completed also its compressed results, 64 bytes each in
        the fields `results`, `results+1`, …; the request then stands in `template`.
        """
        return f"{self.prefix}:job:{{{job_id}}}"

    def template(self, digest: str) -> str:
        """HASH with a TTL: what small jobs that completed share, and how many `jobs` those are."""
        return f"{self.prefix}:template:{digest}"

    def todo(self, job_id: str) -> str:
        """ZSET unit → unit: units that may be claimed now, lowest first."""
        return f"{self.job(job_id)}:todo"

    def leases(self, job_id: str) -> str:
        """HASH unit → `ATTEMPT WORKER`: units under a lease."""
        return f"{self.job(job_id)}:leases"

    def attempts(self, job_id: str) -> str:
        """HASH unit → number of claims so far; the number of a claim is its fencing token."""
        return f"{self.job(job_id)}:attempts"

    def crashes(self, job_id: str) -> str:
        """HASH unit → attempts whose worker died or went silent."""
        return f"{self.job(job_id)}:crashes"

    def sizes(self, job_id: str) -> str:
        """HASH unit → its number of items."""
        return f"{self.job(job_id)}:sizes"

    def parts(self, job_id: str) -> str:
        """HASH unit → names of its parts, in order: units split to find what kills workers."""
        return f"{self.job(job_id)}:parts"

    def input(self, job_id: str) -> str:
        """HASH unit → JSON of its `ItemChunk`, compressed; gone once the unit is done."""
        return f"{self.job(job_id)}:in"

    def output(self, job_id: str) -> str:
        """HASH row → JSON Lines of `ItemResult`, in input order, as one zlib stream.

        The rows of a unit are called UNIT, UNIT+1, UNIT+2 and so on, until one is missing.
        """
        return f"{self.job(job_id)}:out"

    def failed(self, job_id: str) -> str:
        """HASH unit → JSON of an `ItemChunk`, compressed: its items that have errors."""
        return f"{self.job(job_id)}:failed"

    def faults(self, job_id: str) -> str:
        """HASH unit → `COUNT MILLISECONDS WORKER`: released by workers not fit for it, since.

        And `UNIT death` → `CAUSE MESSAGE`: how the last worker died with it.
        """
        return f"{self.job(job_id)}:faults"

    def digests(self, job_id: str) -> str:
        """HASH unit → digest of the request and all input up to it; of jobs that are uploaded."""
        return f"{self.job(job_id)}:digests"

    def ranges(self, job_id: str) -> str:
        """HASH with a TTL: first unit → a range of the job's file that a worker may read ahead.

        `UNITS TAKEN_AT TAKES WORKER POSITION`; WORKER is `-` while nobody reads it.
        """
        return f"{self.job(job_id)}:ranges"

    def ahead(self, job_id: str) -> str:
        """HASH with a TTL: units that were read ahead, until it is their turn.

        UNIT → JSON of its `ItemChunk`, compressed; `UNIT place` → where it begins and ends; `UNIT
        ids` → digests of its identifiers; `bytes` → those of all chunks.
        """
        return f"{self.job(job_id)}:ahead"

    def events(self, job_id: str) -> str:
        """STREAM: field `e` holds an `Event` as JSON."""
        return f"{self.job(job_id)}:events"

    def deltas(self, job_id: str) -> str:
        """STREAM with a TTL: field `d` holds `TextDeltas` as JSON; gone once the job completes."""
        return f"{self.job(job_id)}:deltas"

    def all_events(self) -> str:
        """STREAM: state changes of all jobs, for dashboards."""
        return f"{self.prefix}:events"

    def completions(self, client: str) -> str:
        """STREAM with a TTL: field `jobs` names jobs of a client that have ended."""
        return f"{self.prefix}:client:{client}:completions"

    def format(self) -> str:
        """STRING: the least format that may work here; written once, by the first worker."""
        return f"{self.prefix}:format"

    def jobs(self) -> str:
        """ZSET job → milliseconds of its creation: jobs that are kept, of small ones the newest."""
        return f"{self.prefix}:jobs"

    def small_jobs(self) -> str:
        """LIST: small jobs that have ended and stand in `jobs`, the first to end first."""
        return f"{self.prefix}:jobs:small"

    def open_jobs(self) -> str:
        """ZSET job → milliseconds of its creation: jobs that have not ended."""
        return f"{self.prefix}:jobs:open"

    def quarantine(self, job_id: str, part: str) -> str:
        """With a TTL: a damaged job's hash (`hash`), or its `todo`, `out` and so on, as found."""
        return f"{self.prefix}:quarantine:{{{job_id}}}:{part}"

    def quarantined(self) -> str:
        """STRING: number of jobs put in quarantine so far."""
        return f"{self.prefix}:quarantined"

    def failures(self) -> str:
        """STREAM with a TTL: the dead letters; field `f` has a `FailureRecord`.

        Its `id` and `at_ms` are those of the entry.
        """
        return f"{self.prefix}:failures"

    def failures_replayed(self) -> str:
        """HASH with a TTL: entry of `failures` → the job that tries it again."""
        return f"{self.prefix}:failures:replayed"

    def offered_ranges(self) -> str:
        """ZSET job → milliseconds: jobs of whose files ranges may be read, since."""
        return f"{self.prefix}:ranges"

    def uploads(self) -> str:
        """ZSET job → milliseconds of its client's last sign of life: jobs that are uploaded."""
        return f"{self.prefix}:uploads"

    def timers(self) -> str:
        """ZSET `JOB UNIT` → milliseconds: when a lease or a back-off runs out."""
        return f"{self.prefix}:timers"

    def deadlines(self) -> str:
        """ZSET job → milliseconds: when an open job expires."""
        return f"{self.prefix}:deadlines"

    def warnings(self) -> str:
        """ZSET `JOB job` or `JOB results` → milliseconds: when to warn of its expiry."""
        return f"{self.prefix}:warnings"

    def tenant(self, tenant: str) -> str:
        """HASH: `jobs` that are open, `items` and `bytes` that wait, `kept_bytes`, of one tenant.

        `kept_bytes` are those of all results, and of all that ended jobs keep.
        """
        return f"{self.prefix}:tenant:{tenant}"

    def tenant_kept(self, tenant: str) -> str:
        """HASH bucket → bytes of the tenant's jobs that ended in a span of time and still count."""
        return f"{self.tenant(tenant)}:kept"

    def tenant_ended(self, tenant: str) -> str:
        """ZSET bucket → milliseconds of its begin: the tenant's buckets of ended jobs."""
        return f"{self.tenant(tenant)}:ended"

    def tenant_bucket(self, tenant: str, bucket: str) -> str:
        """LIST with a TTL: the jobs of a bucket, the first to end first."""
        return f"{self.tenant_ended(tenant)}:{bucket}"

    def kept(self) -> str:
        """ZSET `TENANT BUCKET` → milliseconds: when all jobs of a bucket have expired."""
        return f"{self.prefix}:kept"

    def tenants(self) -> str:
        """ZSET tenant → its `kept_bytes`."""
        return f"{self.prefix}:tenants"

    def evictions(self) -> str:
        """HASH reason → number of ended jobs that were removed before their time so far.

        `within_hour` → how many of them had ended less than an hour before.
        """
        return f"{self.prefix}:evictions"

    def evicted(self) -> str:
        """LIST: the last jobs that were removed so, at most 10,000."""
        return f"{self.prefix}:evicted"

    def limits(self) -> str:
        """HASH: the operator's limits, from the settings of the worker that booted last."""
        return f"{self.prefix}:limits"

    def tenant_limits(self, tenant: str) -> str:
        """HASH: what an operator has set for one tenant, but for its weight; see `TenantLimits`.

        `priorities` are joined by spaces.
        """
        return f"{self.limits()}:{tenant}"

    def weights(self) -> str:
        """HASH tenant → weight: the tenants for which an operator has set something."""
        return f"{self.prefix}:weights"

    def usage(self, day: int) -> str:
        """HASH with a TTL: what tenants have used on a day, counted from 1970-01-01 in UTC.

        `TENANT items`, `TENANT trainings`, `TENANT tokens` and `TENANT busy_ms` → number. The
        tenants beyond the first 10,000 are counted together, as `*`.
        """
        return f"{self.prefix}:usage:{day}"

    def memory(self) -> str:
        """STRING with a TTL: `short` when Redis has too little memory left for new work."""
        return f"{self.prefix}:memory"

    def idempotency(self, tenant: str, key: str) -> str:
        """STRING: the job that an idempotency key stands for."""
        return f"{self.prefix}:idempotency:{tenant}:{key}"

    def queues(self, priority: str) -> str:
        """ZSET queue → what is added to its virtual times: queues with claimable units."""
        return f"{self.prefix}:queues:{priority}"

    def queue(self, queue: str, priority: str) -> str:
        """ZSET tenant → virtual time: tenants with claimable units in a queue, next one first."""
        return f"{self.prefix}:queue:{queue}:{priority}"

    def groups(self, queue: str, priority: str, tenant: str) -> str:
        """ZSET group → virtual time of its first job: a tenant's groups in a queue.

        A group is jobs that one batch can hold: of one kind, model, version, set of parameters
        and priority.
        """
        return f"{self.queue(queue, priority)}:{tenant}"

    def group(self, group: str) -> str:
        """ZSET tenant → virtual time, or an earlier one: tenants with such jobs in a group."""
        return f"{self.prefix}:group:{group}"

    def group_jobs(self, group: str, tenant: str) -> str:
        """ZSET job → virtual time: a tenant's jobs in a group, next one first."""
        return f"{self.group(group)}:{tenant}"

    def virtual_times(self, priority: str) -> str:
        """ZSET tenant → virtual time: the work that tenants were handed, while anybody waits.

        `:class` is the highest time at which anything was served, `:QUEUE` that of a queue's last.
        """
        return f"{self.prefix}:virtual_times:{priority}"

    def worker_classes(self, worker: str) -> str:
        """HASH with a TTL: priority → virtual time, of what a worker got; `:time` of the last."""
        return f"{self.prefix}:worker:{worker}:classes"

    def inbox(self) -> str:
        """STREAM: fields `id` and `job` (JSON); where any language submits a job."""
        return f"{self.prefix}:inbox"

    def inbox_answers(self) -> str:
        """STREAM with a TTL: field `a` holds an `InboxAnswer` as JSON, one for each entry."""
        return f"{self.prefix}:inbox:answers"

    def inbox_rejections(self) -> str:
        """LIST with a TTL: identifiers whose event stream holds a rejection, oldest first."""
        return f"{self.prefix}:inbox:rejections"

    def work_left(self) -> str:
        """HASH queue → items of open jobs that nobody has done; of paused jobs none.

        With those that are estimated of files not read yet: `unread` of a job.
        """
        return f"{self.prefix}:work_left"

    def rates(self) -> str:
        """HASH queue → `ITEMS SECONDS MILLISECONDS`: work of a busy slot, the recent counts more.

        ITEMS in SECONDS, noted last at MILLISECONDS.
        """
        return f"{self.prefix}:rates"

    def work_done(self) -> str:
        """HASH queue → `ITEMS ERRORS RECENT_ITEMS RECENT_ERRORS SINCE MILLISECONDS`.

        Items done so far, those of them with errors, and the same of about the last minute, which
        fade by the clock; SINCE is the begin of these, MILLISECONDS when it was noted last.
        """
        return f"{self.prefix}:work_done"

    def worker(self, worker: str) -> str:
        """STRING with a TTL: a `WorkerStatus` as JSON."""
        return f"{self.prefix}:worker:{worker}"

    def worker_last(self, worker: str) -> str:
        """STRING with a TTL of a day: what a worker said last, for who looks when it is gone.

        A `WorkerStatus` as JSON, without its plugins, models and versions.
        """
        return f"{self.prefix}:worker:{worker}:last"

    def worker_leases(self, worker: str) -> str:
        """SET of `JOB UNIT`: the leases of a worker, all released when it dies."""
        return f"{self.prefix}:worker:{worker}:leases"

    def ended_leases(self) -> str:
        """SET of `JOB:MILLISECONDS`: jobs that ended with more leases than one call drops."""
        return f"{self.prefix}:ended_leases"

    def ended_leases_of(self, name: str) -> str:
        """HASH unit → `ATTEMPT WORKER`: those leases of one of them, until they are cleared."""
        return f"{self.ended_leases()}:{name}"

    def worker_deltas(self, worker: str) -> str:
        """STRING with a TTL: token of the last text deltas that a worker published."""
        return f"{self.prefix}:worker:{worker}:deltas"

    def workers(self) -> str:
        """ZSET worker → milliseconds: when it was last seen."""
        return f"{self.prefix}:workers"

    def cordons(self) -> str:
        """HASH target → `CordonRule` as JSON: operators' rules; `version` counts their changes.

        A request to restart stands under `restart:TARGET`.
        """
        return f"{self.prefix}:cordons"

    def audit(self) -> str:
        """STREAM: field `a` holds an `AuditEntry` as JSON; the newest, at most about 10,000."""
        return f"{self.prefix}:audit"

    def model_orders(self) -> str:
        """ZSET order → milliseconds until which it is open: changes of models, asked for."""
        return f"{self.prefix}:model_orders"

    def model_order(self, order_id: str) -> str:
        """HASH with a TTL: `order` and `answer` as JSON; the `worker` on it, and its `lease`."""
        return f"{self.prefix}:model_order:{order_id}"

    def placements(self) -> str:
        """HASH model → `PlacementRule` as JSON: who serves it; `:version` counts their changes."""
        return f"{self.prefix}:placements"

    def paused_models(self) -> str:
        """HASH model → `ModelPause` as JSON: models whose jobs wait, by operators' rules."""
        return f"{self.prefix}:paused_models"

    def catalog(self) -> str:
        """HASH model → `CatalogEntry` as JSON."""
        return f"{self.prefix}:catalog"

    def task_schemas(self) -> str:
        """HASH digest → JSON `{"input": …, "result": …}`: schemas of plugins' own tasks.

        Those that jobs were accepted with stay when a plugin's change.
        """
        return f"{self.prefix}:task_schemas"

    def rollout(self, model: str, rollout_id: str) -> str:
        """HASH with a TTL: what the versions of a roll-out did, field `VERSION WHAT` → number.

        WHAT is `items`, `errors`, `differing`, `batches`, `busy_us`, or `le:N`: batches that took
        up to 2^(N/4) ms.
        """
        return f"{self.prefix}:rollout:{model}:{rollout_id}"

    def lock(self, name: str) -> str:
        """STRING with a TTL: the worker that does a periodic task for all."""
        return f"{self.prefix}:lock:{name}"

    def durability_mark(self) -> str:
        """STRING with a TTL: written before the server is asked whether it has synced its disk."""
        return f"{self.prefix}:durability-mark"

    def wakeup(self, route: str) -> str:
        """LIST: the Celery queue whose messages wake the workers of a route."""
        return f"{self.prefix}:wakeup.{route}"


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
