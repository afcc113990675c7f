"""Steps of trainings: handed in, going on from checkpoint to checkpoint, and continued."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from model import steering, submitting, trainings
from model.jobs import Claimed
from model.machine import ANY, LOST, TENANTS, TTL_S, Machine
from model.working import end_if_overdue
from seqd_schemas import NamedSource, TrainJob

DATA = NamedSource(name="keras:imdb")


class TrainingRules(Machine):
    """What trainings do beside what all units do."""

    @property
    def trained(self) -> list[Claimed]:
        """Claims of trainings."""
        return [claimed for claimed in self.claims if claimed.name == trainings.TRAIN]

    @rule(tenant=TENANTS, expires_in_s=st.sampled_from([None, None, 3_600]), lost=LOST)
    def train(self, tenant: str, expires_in_s: int | None, lost: int) -> None:
        job_id = self.new_id()
        request = TrainJob(
            model="imdb_lstm",
            source=DATA,
            tenant=tenant,
            results_ttl_s=TTL_S[tenant],
            expires_in_s=expires_in_s,
        )
        self.same(
            lambda: self._train(request, job_id), lambda: self.adapter.train(request, job_id), lost
        )

    def _train(self, request: TrainJob, job_id: str) -> str:
        return submitting.submit(
            self.ledger, request, [], job_id=job_id, version=None, unit_items=1
        )

    @precondition(lambda self: self.trained)
    @rule(which=ANY, name=st.sampled_from(["epoch-1", "epoch-2", "epoch-3"]), lost=LOST)
    def checkpoint(self, which: int, name: str, lost: int) -> None:
        claimed = self.trained[which % len(self.trained)]
        self.touched.add(claimed.job_id)
        self.same(
            lambda: trainings.checkpoint(self.ledger, claimed, name),
            lambda: self.adapter.checkpoint(claimed, name),
            lost,
        )
        self.same(
            lambda: trainings.has_checkpoint(self.ledger, claimed.job_id),
            lambda: self.adapter.job(claimed.job_id).has_checkpoint(),
        )

    @precondition(lambda self: self.trained)
    @rule(which=ANY, epoch=st.integers(1, 3), lost=LOST)
    def publish_epoch(self, which: int, epoch: int, lost: int) -> None:
        claimed = self.trained[which % len(self.trained)]
        self.touched.add(claimed.job_id)
        self.same(
            lambda: trainings.publish_epoch(self.ledger, claimed, epoch),
            lambda: self.adapter.publish_epoch(claimed, epoch),
            lost,
            counts_once=True,
        )

    @precondition(lambda self: self.ledger.jobs)
    @rule(which=ANY, lost=LOST)
    def resume_or_continue(self, which: int, lost: int) -> None:
        """Let a job go on: an open one that is paused, or an ended training."""
        job = self.any_job(which, lambda job: isinstance(job.request, TrainJob))
        end_if_overdue(self.ledger, job)

        def predict(new_id: str) -> str:
            if job.is_open:
                steering.resume(self.ledger, job.job_id)
                return job.job_id
            return self._train(trainings.resumption(self.ledger, job.job_id), new_id)

        self.same_job(predict, lambda: self.adapter.client.resume(job.job_id).job_id, lost)
