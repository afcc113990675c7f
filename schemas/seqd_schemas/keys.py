"""Names of everything that seqd keeps in Redis; as much a contract as a field's name.

`Keys("seqd").events("j1")` is `seqd:job:{j1}:events`. The braces are a Redis hash tag and
part of the key. The Lua scripts build the same names from the same prefix; a test holds the
two against each other. Other languages use the ones that `schemas/README.md` lists.
"""

from dataclasses import dataclass

from seqd_schemas.jobs import Task

DEFAULT_PREFIX = "seqd"

#: Consumer group of the workers on the inbox stream.
INBOX_GROUP = "workers"


@dataclass(frozen=True, slots=True)
class Keys:
    """Key names under one prefix."""

    prefix: str = DEFAULT_PREFIX

    def job(self, job_id: str) -> str:
        """HASH: the request, the state and the counters."""
        return f"{self.prefix}:job:{{{job_id}}}"

    def todo(self, job_id: str) -> str:
        """ZSET unit → unit: units that may be claimed now, lowest first."""
        return f"{self.job(job_id)}:todo"

    def leases(self, job_id: str) -> str:
        """HASH unit → `ATTEMPT WORKER`: units that somebody works on."""
        return f"{self.job(job_id)}:leases"

    def attempts(self, job_id: str) -> str:
        """HASH unit → starts so far; the number of a start is its fencing token."""
        return f"{self.job(job_id)}:attempts"

    def crashes(self, job_id: str) -> str:
        """HASH unit → starts that ended without a word from the worker."""
        return f"{self.job(job_id)}:crashes"

    def sizes(self, job_id: str) -> str:
        """HASH unit → its number of items."""
        return f"{self.job(job_id)}:sizes"

    def parts(self, job_id: str) -> str:
        """HASH unit → names of its parts, in order: units that were split to find a killer."""
        return f"{self.job(job_id)}:parts"

    def input(self, job_id: str) -> str:
        """HASH unit → JSON of its `ItemChunk`, compressed; gone once the unit is done."""
        return f"{self.job(job_id)}:in"

    def output(self, job_id: str) -> str:
        """HASH unit → JSON Lines of `ItemResult`, in input order, as one zlib stream or several."""
        return f"{self.job(job_id)}:out"

    def failed(self, job_id: str) -> str:
        """HASH unit → JSON of an `ItemChunk`, compressed: its items that have errors."""
        return f"{self.job(job_id)}:failed"

    def digests(self, job_id: str) -> str:
        """HASH unit → digest of its content, of units that were uploaded."""
        return f"{self.job(job_id)}:digests"

    def events(self, job_id: str) -> str:
        """STREAM: field `e` holds an `Event` as JSON."""
        return f"{self.job(job_id)}:events"

    def pieces(self, job_id: str) -> str:
        """STREAM with a TTL: field `p` holds `TextPieces` as JSON; gone once the job completes."""
        return f"{self.job(job_id)}:pieces"

    def all_events(self) -> str:
        """STREAM: state changes of all jobs, for dashboards."""
        return f"{self.prefix}:events"

    def ended(self, client: str) -> str:
        """STREAM with a TTL: field `jobs` names jobs of a client that have ended."""
        return f"{self.prefix}:client:{client}:ended"

    def jobs(self) -> str:
        """ZSET job → milliseconds of its creation: all jobs that are kept."""
        return f"{self.prefix}:jobs"

    def open_jobs(self) -> str:
        """ZSET job → milliseconds of its creation: jobs that have not ended."""
        return f"{self.prefix}:jobs:open"

    def quarantine(self, job_id: str, part: str) -> str:
        """With a TTL, as it was found: `hash` of a damaged job, or its `todo`, `out` and so on."""
        return f"{self.prefix}:quarantine:{{{job_id}}}:{part}"

    def quarantined(self) -> str:
        """STRING: number of damaged jobs that were put aside so far."""
        return f"{self.prefix}:quarantined"

    def uploads(self) -> str:
        """ZSET job → milliseconds of its last chunk: jobs whose client still uploads."""
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
        """HASH: `jobs` that are open, `items` and `bytes` that wait, of one tenant."""
        return f"{self.prefix}:tenant:{tenant}"

    def limits(self) -> str:
        """HASH: what the operator allows, from the settings of the worker that booted last."""
        return f"{self.prefix}:limits"

    def memory(self) -> str:
        """STRING with a TTL: `short` when Redis has too little memory left for new work."""
        return f"{self.prefix}:memory"

    def idempotency(self, tenant: str, key: str) -> str:
        """STRING: the job that an idempotency key stands for."""
        return f"{self.prefix}:idempotency:{tenant}:{key}"

    def route(self, route: str, priority: str) -> str:
        """ZSET group → turn: groups of like jobs with claimable units, next one first."""
        return f"{self.prefix}:route:{route}:{priority}"

    def group(self, group: str) -> str:
        """ZSET job → turn: jobs of one group with claimable units, next one first; fair among
        tenants.
        """
        return f"{self.prefix}:group:{group}"

    def group_clocks(self, group: str) -> str:
        """HASH tenant → turn: how far each tenant of a group is; `:served` is the last turn."""
        return f"{self.group(group)}:clocks"

    def turn(self) -> str:
        """STRING: counter that the round robin draws its turns from."""
        return f"{self.prefix}:turn"

    def inbox(self) -> str:
        """STREAM: fields `id` and `job` (JSON); where any language hands a job in."""
        return f"{self.prefix}:inbox"

    def worker(self, worker: str) -> str:
        """STRING with a TTL: a `WorkerStatus` as JSON."""
        return f"{self.prefix}:worker:{worker}"

    def worker_leases(self, worker: str) -> str:
        """SET of `JOB UNIT`: what a worker holds, so that its death gives all of it back."""
        return f"{self.prefix}:worker:{worker}:leases"

    def worker_pieces(self, worker: str) -> str:
        """STRING with a TTL: token of the last pieces that a worker published."""
        return f"{self.prefix}:worker:{worker}:pieces"

    def workers(self) -> str:
        """ZSET worker → milliseconds: when it was last seen."""
        return f"{self.prefix}:workers"

    def catalog(self) -> str:
        """HASH model → `CatalogEntry` as JSON."""
        return f"{self.prefix}:catalog"

    def lock(self, name: str) -> str:
        """STRING with a TTL: who does a chore that one worker does for all."""
        return f"{self.prefix}:lock:{name}"

    def durability_mark(self) -> str:
        """STRING with a TTL: written before the server is asked whether it has synced its disk."""
        return f"{self.prefix}:durability-mark"

    def bell(self, route: str) -> str:
        """LIST: the Celery queue whose messages wake the workers of a route."""
        return f"{self.prefix}:bell.{route}"


def route_of(task: Task, model: str) -> str:
    """Name of the road from a job to the workers that can run it, such as `classify.imdb_lstm`."""
    return f"{task}.{model}"


def bell_queue(route: str) -> str:
    """Celery queue name of a route; in Redis it stands behind the prefix, see `Keys.bell`."""
    return f"bell.{route}"
