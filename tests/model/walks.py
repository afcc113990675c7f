"""The walk that takes all steps."""

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from model.adapter import SERVED
from model.client_rules import SUBMITTED, ClientRules
from model.file_rules import FileRules
from model.machine import BACKOFF_MS, LEASE_MS, TENANTS
from model.people_rules import PeopleRules
from model.time_rules import SPANS_MS, TimeRules
from model.training_rules import TrainingRules
from model.worker_rules import WORKERS, WorkerRules
from seqd_schemas import TenantLimits

#: Tenants that share workers, each with a model.
RIVALS = (
    (("north", "imdb_lstm"), ("south", "imdb_lstm")),
    (("north", "imdb_lstm"), ("north", "words")),
    (("north", "imdb_lstm"), ("south", "imdb_lstm"), ("north", "words")),
)

#: As much as nobody hands in here.
MUCH = TenantLimits(jobs=1_000, items=10_000)


class Walk(ClientRules, WorkerRules, FileRules, TrainingRules, PeopleRules, TimeRules):
    """All rules together, beginning with some work that is under way."""

    @initialize(first=SUBMITTED, second=SUBMITTED, size=st.sampled_from([1, 4, 5, 9]))
    def begin_with_work(
        self, first: dict[str, object], second: dict[str, object], size: int
    ) -> None:
        self.classify(asked=first, size=size, lost=0)
        self.begin_upload(asked=second, size=3, lost=0)
        self.classify_file(tenant="north", units=None, lost=0)
        for _ in range(2):
            self.claim(worker="worker-a", served=SERVED, lost=0)

    @rule(
        tenant=TENANTS,
        size=st.sampled_from([1, 1, 4, 5, 9]),
        outcomes=st.sampled_from([["error"], ["error"], ["error", "like"]]),
        spans_ms=st.lists(SPANS_MS, min_size=1, max_size=2),
        worker=WORKERS,
    )
    def fail_and_try_again(
        self, tenant: str, size: int, outcomes: list[str], spans_ms: list[int], worker: str
    ) -> None:
        """Have items fail, and hand them in again after any time, and those again."""
        self.set_tenant(tenant=tenant, change=(MUCH, ()), lost=0)
        asked = {"tenant": tenant, "model": "imdb_lstm", "priority": "normal"}
        self.classify(asked=asked, size=size, lost=0)
        job = self.ledger.jobs.get(self.last_id)
        for span_ms in spans_ms:
            self.work_until_nothing_is_left(worker=worker, outcomes=outcomes)
            self.step(span_ms)
            if job is None or job.job_id not in self.ledger.jobs:
                return
            self.touched.add(job.job_id)
            job = self.ledger.jobs.get(self.retry_job(job) or "")
            self.all_is_as_predicted()

    @rule(worker=WORKERS, deaths=st.lists(st.booleans(), min_size=2, max_size=4))
    def kill_a_worker_again_and_again(self, worker: str, deaths: list[bool]) -> None:
        """Have workers die, told of or found out by their leases, with what is due by then."""
        for is_told in deaths:
            self.claim(worker=worker, served=SERVED, lost=0)
            if is_told:
                self.release_worker(worker=worker, crashed=True, death="", goes_on=False, lost=0)
            for span_ms in (*(() if is_told else (LEASE_MS,)), BACKOFF_MS - 1, 1):
                self.step(span_ms)
                self.reconcile(what="expire", is_much=False, lost=0)
            self.all_is_as_predicted()

    @rule(worker=WORKERS, rivals=st.sampled_from(RIVALS), size=st.sampled_from([24, 40]))
    def share_the_workers(self, worker: str, rivals: Sequence[tuple[str, str]], size: int) -> None:
        """Have two tenants hand in much that is alike, and work until nothing is left."""
        for tenant, model in rivals:
            self.set_tenant(tenant=tenant, change=(MUCH, ()), lost=0)
            asked = {"tenant": tenant, "model": model, "priority": "normal"}
            self.classify(asked=asked, size=size, lost=0)
        self.work_until_nothing_is_left(worker=worker, outcomes=["like"])
