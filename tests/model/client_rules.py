"""Steps of clients: jobs that are handed in, whole, many at once, or unit by unit; and retries."""

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from builders import a_failure
from model import continuing, following, submitting
from model.adapter import MODELS, VERSION
from model.jobs import ModelJob
from model.machine import ANY, LOST, TENANTS, TTL_S, Machine, outcome_of
from model.working import end_if_overdue
from seqd_schemas import ClassifyJob, FileSource, Item, UploadSource

SUBMITTED = st.fixed_dictionaries(
    {
        "tenant": TENANTS,
        "model": st.sampled_from(["imdb_lstm", "imdb_lstm", "words"]),
        "priority": st.sampled_from(["normal", "normal", "interactive", "bulk"]),
        "parameters": st.sampled_from([{}, {}, {"loud": True}]),
        "max_running_units": st.sampled_from([None, None, 1, 2, 4]),
        "expires_in_s": st.sampled_from([None, None, None, 60, 3_600]),
        "idempotency_key": st.sampled_from([None, None, None, "key-1", "key-2"]),
    }
)


class ClientRules(Machine):
    """What clients do."""

    @rule(asked=SUBMITTED, size=st.sampled_from([1, 1, 2, 3, 4, 5, 8, 9]), lost=LOST)
    def classify(self, asked: dict[str, object], size: int, lost: int) -> None:
        job_id = self.new_id()
        request = a_request(asked, size)
        self._classify(request, some_items(size, job_id), job_id, lost)

    @rule(asked=SUBMITTED, more=st.sampled_from([-1, 0, 1]), lost=LOST)
    def classify_up_to_the_quota(self, asked: dict[str, object], more: int, lost: int) -> None:
        tenant = str(asked["tenant"])
        room = self.ledger.limit_of(tenant, "items") - self.ledger.waiting_items(tenant)
        size = min(max(1, room + more), 24)
        job_id = self.new_id()
        self._classify(a_request(asked, size), some_items(size, job_id), job_id, lost)

    @precondition(lambda self: self.ledger.jobs)
    @rule(which=ANY, is_by_key=st.booleans(), change=st.sampled_from(["", "", "items", "request"]))
    def classify_again(self, which: int, is_by_key: bool, change: str) -> None:
        """Send the same once more, or something else under its name."""
        job = self.any_job(which, lambda job: job.request.idempotency_key is not None)
        is_file = isinstance(job.request.source, FileSource)
        if (
            not job.sealed
            or is_file
            or job.continues is not None
            or "@" in job.request.model  # a retry, whose first job is gone
            or not isinstance(job.request, ClassifyJob)
        ):
            return
        request, items = job.request, job.items
        if change == "items":
            items = [*items[:-1], items[-1].model_copy(update={"text": "another"})]
        if change == "request":
            request = request.model_copy(update={"metadata": {"note": "another"}})
        job_id = self.new_id() if is_by_key else job.job_id
        self._classify(request, items, job_id, 0)

    def _classify(
        self, request: ClassifyJob, items: Sequence[Item], job_id: str, lost: int
    ) -> None:
        unit_items = MODELS[request.model]
        if self.would_wait(request.tenant, items, unit_items):
            return  # its upload would wait for workers: `append` does that
        self.same(
            lambda: submitting.submit(
                self.ledger, request, items, job_id=job_id, version=VERSION, unit_items=unit_items
            ),
            lambda: self.adapter.classify(request, items, job_id),
            lost,
        )

    @rule(asked=SUBMITTED, size=st.integers(0, 4), lost=LOST)
    def begin_upload(self, asked: dict[str, object], size: int, lost: int) -> None:
        job_id = self.new_id()
        request = a_request(asked, size).model_copy(update={"idempotency_key": None})
        items, unit_items = some_items(size, job_id)[: MODELS[request.model]], MODELS[request.model]
        self.same(
            lambda: submitting.submit(
                self.ledger,
                request,
                items,
                job_id=job_id,
                version=VERSION,
                unit_items=unit_items,
                sealed=False,
                owner=f"{job_id}-sender",
            ),
            lambda: self.adapter.begin_upload(
                request, items, job_id, unit_items, f"{job_id}-sender"
            ),
            lost,
        )

    @precondition(lambda self: self.ledger.jobs)
    @rule(
        which=ANY,
        size=st.integers(1, 4),
        off=st.sampled_from([0, 0, 0, 0, -1, 1]),
        is_other=st.sampled_from([False, False, False, True]),
        lost=LOST,
    )
    def append(self, which: int, size: int, off: int, is_other: bool, lost: int) -> None:
        job = self.any_job(which, lambda job: job.owner != "")
        if job.ingest is not None:
            return
        number = max(0, len(job.units) + off)
        owner = "another" if is_other else f"{job.job_id}-sender" if job.owner else ""
        first = len(job.items)
        items = some_items(first + min(size, job.unit_items), job.job_id)
        self.same(
            lambda: submitting.append(self.ledger, job.job_id, number, items[first:], owner),
            lambda: self.adapter.append(job.request, job.job_id, number, items, first, owner),
            lost,
        )

    @precondition(lambda self: self.ledger.jobs)
    @rule(
        which=ANY,
        off=st.sampled_from([0, 0, 0, 0, -1, 1]),
        is_other=st.sampled_from([False, False, False, True]),
        lost=LOST,
    )
    def seal(self, which: int, off: int, is_other: bool, lost: int) -> None:
        job = self.any_job(which, lambda job: job.owner != "")
        if job.ingest is not None:
            return
        units, items = max(0, len(job.units) + off), job.items
        owner = "another" if is_other else f"{job.job_id}-sender" if job.owner else ""
        self.same(
            lambda: submitting.seal(self.ledger, job.job_id, units, owner),
            lambda: self.adapter.seal(job.request, job.job_id, units, items, owner),
            lost,
        )

    @precondition(lambda self: self.ledger.jobs)
    @rule(
        which=ANY,
        number=st.integers(0, 4),
        is_other_input=st.booleans(),
        silence_s=st.sampled_from([10.0, 60.0]),
        lost=LOST,
    )
    def follow(
        self, which: int, number: int, is_other_input: bool, silence_s: float, lost: int
    ) -> None:
        """Send the input of an upload again, from another client."""
        job = self.any_job(which, lambda job: job.owner != "")
        if job.ingest is not None:
            return
        items = [item for parts in job.units[: number + 1] for one in parts for item in one.items]
        if is_other_input and items:
            items[-1] = items[-1].model_copy(update={"text": "another"})
        self.same(
            lambda: following.follow(
                self.ledger, job.job_id, number, items, "another", int(1_000 * silence_s)
            ),
            lambda: self.adapter.follow(
                job.request, job.job_id, number, items, "another", silence_s
            ),
            lost,
        )

    @precondition(lambda self: self.ledger.jobs)
    @rule(which=ANY, act=st.sampled_from(["heartbeat", "fail"]), is_other=st.booleans(), lost=LOST)
    def own_an_upload(self, which: int, act: str, is_other: bool, lost: int) -> None:
        """Show that the client of an upload is alive, or that its input broke off."""
        job, failure = (
            self.any_job(which, lambda job: job.owner != ""),
            a_failure(code="upload_failed"),
        )
        token = "another" if is_other else f"{job.job_id}-sender"
        if act == "heartbeat":
            self.same(
                lambda: following.heartbeat(self.ledger, job.job_id, token),
                lambda: self.adapter.heartbeat(job.job_id, token),
                lost,
            )
            return
        self.same(
            lambda: following.fail_upload(self.ledger, job.job_id, failure, token),
            lambda: self.adapter.fail_upload(job.job_id, failure, token),
            lost,
        )

    @precondition(lambda self: self.ledger.jobs)
    @rule(which=ANY, lost=LOST)
    def retry(self, which: int, lost: int) -> None:
        job = self.any_job(which, lambda job: not job.is_open and bool(job.failed_items))
        self.retry_job(job, lost)

    def retry_job(self, job: ModelJob, lost: int = 0) -> str | None:
        """Hand a job's failed items in again; return the name of the job that continues it."""
        end_if_overdue(self.ledger, job)
        if self.would_wait(job.tenant, job.failed_items, job.unit_items):
            return None
        return self.same_job(
            lambda new_id: continuing.retry(self.ledger, job.job_id, new_id),
            lambda: self.adapter.retry(job.job_id),
            lost,
        )

    @precondition(lambda self: self.ledger.jobs)
    @rule(which=ANY)
    def read_as_one(self, which: int) -> None:
        """Read a job with its retries, once all of them have ended."""
        job = self.any_job(which, lambda job: job.continued_by is not None)
        chain = [job]
        while (later := self.ledger.jobs.get(chain[-1].continued_by or "")) is not None:
            chain.append(later)
        if any(one.is_open for one in chain):
            return
        self.same(
            lambda: continuing.merged_results(self.ledger, job.job_id),
            lambda: list(self.adapter.job(job.job_id).merged_results()),
        )
        self.same(
            lambda: continuing.origin(self.ledger, job.job_id),
            lambda: self.adapter.job(job.job_id).origin().job_id,
        )

    @rule(tenant=TENANTS, asked=SUBMITTED, count=st.integers(1, 5), lost=LOST)
    def classify_each(self, tenant: str, asked: dict[str, object], count: int, lost: int) -> None:
        """Hand in many jobs of one item each, in one step."""
        request = a_request({**asked, "tenant": tenant, "idempotency_key": None}, 1)
        ids = [self.new_id() for _ in range(count)]
        items = [some_items(1, job_id)[0] for job_id in ids]

        def predict() -> list[str]:
            return [
                str(
                    outcome_of(
                        lambda job_id=job_id, item=item: submitting.submit(  # type: ignore[misc]
                            self.ledger,
                            request,
                            [item],
                            job_id=job_id,
                            version=VERSION,
                            unit_items=MODELS[request.model],
                        )
                    )
                )
                for job_id, item in zip(ids, items, strict=True)
            ]

        self.same(predict, lambda: self.adapter.classify_each(request, items, ids), lost)


def a_request(asked: dict[str, object], size: int) -> ClassifyJob:
    """Return a request with a source of so many items."""
    ttl_s = TTL_S[str(asked["tenant"])]
    source = UploadSource(expected_items=size or None)
    return ClassifyJob.model_validate({**asked, "results_ttl_s": ttl_s, "source": source})


def some_items(count: int, job_id: str) -> list[Item]:
    """Return items whose names and texts no other job has."""
    return [Item(custom_id=f"item-{at}", text=f"text {at} of {job_id}") for at in range(count)]
