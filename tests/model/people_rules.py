"""Steps of people: what is done to jobs, models and tenants."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from model import limits, many, steering
from model.adapter import MODELS
from model.machine import ANY, LOST, TENANTS, Machine
from seqd_schemas import Priority, TenantLimits, TrainJob

ANY_TENANT = st.sampled_from(["north", "south", None])
SOME_MODEL = st.sampled_from([*MODELS, "unknown"])

SET = st.sampled_from(
    [
        (TenantLimits(jobs=3, weight=2.0), ()),
        (TenantLimits(items=6), ()),
        (TenantLimits(jobs=0), ()),
        (TenantLimits(priorities=(Priority.NORMAL, Priority.BULK)), ()),
        (TenantLimits(results_ttl_s=600), ("jobs",)),
        (TenantLimits(), ("jobs", "items", "priorities", "results_ttl_s", "weight")),
        (TenantLimits(), ("jobs", "items", "priorities", "results_ttl_s", "weight")),
        (TenantLimits(), ()),
    ]
)


class PeopleRules(Machine):
    """What people do."""

    @precondition(lambda self: self.ledger.jobs)
    @rule(
        which=ANY,
        act=st.sampled_from(["cancel", "fail", "pause", "pause", "resume", "resume", "remove"]),
        lost=LOST,
    )
    def steer(self, which: int, act: str, lost: int) -> None:
        is_for_ended = act == "remove"
        job_id = self.any_job(which, lambda job: job.is_open != is_for_ended).job_id
        predict = getattr(steering, act)
        self.same(
            lambda: predict(self.ledger, job_id), lambda: self.adapter.steer(job_id, act), lost
        )

    @rule(
        tenant=ANY_TENANT,
        action=st.sampled_from(["cancel", "pause", "resume", "remove"]),
        lost=LOST,
    )
    def steer_many(self, tenant: str | None, action: str, lost: int) -> None:
        self.touched |= set(self.ledger.jobs)
        self.same(
            lambda: many.act(self.ledger, action, tenant),
            lambda: self.adapter.act_on_many(action, tenant),
            lost,
        )

    @precondition(lambda self: self.ledger.jobs and self.may_lose)
    @rule(which=ANY, count=st.integers(1, 3), cancels=st.booleans(), lost=LOST)
    def take_ended(self, which: int, count: int, cancels: bool, lost: int) -> None:
        """Take jobs with their results, as who waits for many of them does."""
        job_ids = sorted({self.any_job(which + at).job_id for at in range(count)})
        if any(isinstance(self.ledger.jobs[one].request, TrainJob) for one in job_ids):
            return
        self.same(
            lambda: many.take_ended(self.ledger, job_ids, cancels=cancels),
            lambda: self.adapter.take_ended(job_ids, cancels=cancels),
            lost,
        )

    @precondition(lambda self: self.may_lose)
    @rule()
    def remove_everything(self) -> None:
        """Nothing stays behind jobs that are removed."""
        for action in ("cancel", "remove"):
            self.steer_many(None, action, 0)
        assert not self.ledger.jobs
        stays = self.adapter.names_that_stay(has_past=bool(self.ledger.past))
        assert not stays, f"when all is removed, there are {stays}"

    @rule(model=SOME_MODEL, disables=st.booleans(), lost=LOST)
    def pause_model(self, model: str, disables: bool, lost: int) -> None:
        self.same(
            lambda: limits.pause_model(self.ledger, model, MODELS, disables=disables),
            lambda: self.adapter.pause_model(model, disables=disables),
            lost,
        )

    @precondition(lambda self: self.ledger.paused_models | self.ledger.disabled_models)
    @rule(model=SOME_MODEL, lost=LOST)
    def resume_model(self, model: str, lost: int) -> None:
        self.same(
            lambda: limits.resume_model(self.ledger, model),
            lambda: self.adapter.client.resume_model(model),
            lost,
        )

    @rule(tenant=TENANTS, change=SET, lost=LOST)
    def set_tenant(
        self, tenant: str, change: tuple[TenantLimits, tuple[str, ...]], lost: int
    ) -> None:
        self.same(
            lambda: limits.set_tenant(self.ledger, tenant, *change),
            lambda: self.adapter.client.set_tenant(tenant, change[0], unset=change[1]).own,
            lost,
        )
