"""Steps of files: read slice by slice by one worker, and ahead of it by others."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from model import ingesting, submitting
from model.adapter import MODELS, SERVED, VERSION
from model.client_rules import some_items
from model.jobs import Claimed
from model.machine import ANY, LEASE_MS, LOST, TENANTS, TTL_S, Machine
from seqd_schemas import ClassifyJob, FileSource, Item, ItemChunk

READERS = st.sampled_from(["worker-a", "worker-b", "worker-c"])


class FileRules(Machine):
    """What is done with files."""

    @property
    def reading(self) -> list[Claimed]:
        """Claims of units that read files."""
        return [claimed for claimed in self.claims if claimed.name == submitting.INGEST]

    def any_reader(self, which: int) -> Claimed:
        """Choose a claim of a file, the last ones more often."""
        claims = self.reading[-3:] if which % 3 else self.reading
        claimed = claims[which % len(claims)]
        self.touched.add(claimed.job_id)
        return claimed

    @rule(tenant=TENANTS, units=st.sampled_from([None, 1, 2]), lost=LOST)
    def classify_file(self, tenant: str, units: int | None, lost: int) -> None:
        job_id = self.new_id()
        request = ClassifyJob(
            model="imdb_lstm",
            source=FileSource(path="/data/reviews.jsonl"),
            tenant=tenant,
            results_ttl_s=TTL_S[tenant],
            max_running_units=units,
        )
        self.same(
            lambda: submitting.submit(
                self.ledger,
                request,
                [],
                job_id=job_id,
                version=VERSION,
                unit_items=MODELS["imdb_lstm"],
                sealed=False,
            ),
            lambda: self.adapter.classify_file(request, job_id),
            lost,
        )

    @precondition(lambda self: self.reading)
    @rule(which=ANY, size=st.integers(1, 4), off=st.sampled_from([0, 0, 0, -1, 1]), lost=LOST)
    def append_of_file(self, which: int, size: int, off: int, lost: int) -> None:
        claimed = self.any_reader(which)
        job = self.ledger.jobs.get(claimed.job_id)
        if job is None:
            return
        number, first = max(0, len(job.units) + off), len(job.items)
        items = some_items(first + size, job.job_id)[first:]
        before = len(job.units)
        self.same(
            lambda: submitting.append(self.ledger, job.job_id, number, items, reader=claimed),
            lambda: self.adapter.append_of_file(
                job.request, claimed, number, ItemChunk(first_index=first, items=tuple(items))
            ),
            lost,
        )
        if len(job.units) > before:
            job.position = (number + 1, first + size)
        assert self.adapter.position(job.job_id) == job.position

    @precondition(lambda self: self.reading)
    @rule(which=ANY, off=st.sampled_from([0, 0, -1, 1]), lost=LOST)
    def seal_file(self, which: int, off: int, lost: int) -> None:
        claimed = self.any_reader(which)
        job = self.ledger.jobs.get(claimed.job_id)
        if job is None:
            return
        units = max(0, len(job.units) + off)
        self.same(
            lambda: submitting.seal(self.ledger, job.job_id, units, reader=claimed),
            lambda: self.adapter.seal_file(job.request, claimed, units),
            lost,
        )

    @precondition(lambda self: self.reading)
    @rule(which=ANY, lost=LOST)
    def keep(self, which: int, lost: int) -> None:
        claimed = self.any_reader(which)
        self.same(
            lambda: ingesting.keep(self.ledger, claimed), lambda: self.adapter.keep(claimed), lost
        )

    @precondition(lambda self: self.reading)
    @rule(which=ANY, lost=LOST)
    def resume_ingest(self, which: int, lost: int) -> None:
        claimed = self.any_reader(which)
        found = self.same(
            lambda: ingesting.resume(self.ledger, claimed, LEASE_MS),
            lambda: self.adapter.resume_ingest(claimed),
            lost,
        )
        if isinstance(found, Claimed):
            self.claims.append(found)

    @precondition(lambda self: self.reading)
    @rule(which=ANY, items=st.integers(0, 9), lost=LOST)
    def note_unread(self, which: int, items: int, lost: int) -> None:
        claimed = self.any_reader(which)
        self.same(
            lambda: ingesting.note_unread(self.ledger, claimed, items),
            lambda: self.adapter.note_unread(claimed, items),
            lost,
        )

    @precondition(lambda self: self.reading)
    @rule(which=ANY, count=st.integers(0, 3), anew=st.booleans(), lost=LOST)
    def offer(self, which: int, count: int, anew: bool, lost: int) -> None:
        """Offer ranges of two units each."""
        claimed = self.any_reader(which)
        job = self.ledger.jobs.get(claimed.job_id)
        first = 0 if job is None else len(job.units)
        ranges = [(first + 2 * at, 2) for at in range(count)]
        self.same(
            lambda: ingesting.offer(self.ledger, claimed, ranges, anew=anew),
            lambda: self.adapter.offer(claimed, ranges, anew=anew),
            lost,
        )

    @precondition(lambda self: self.ledger.offers)
    @rule(which=ANY, worker=READERS, is_own=st.booleans(), lost=LOST)
    def take_range(self, which: int, worker: str, is_own: bool, lost: int) -> None:
        own = list(self.ledger.offers)[which % len(self.ledger.offers)] if is_own else ""
        self.same(
            lambda: ingesting.take(self.ledger, worker, SERVED, own),
            lambda: self.adapter.take_range(worker, SERVED, own),
            lost,
        )

    @precondition(lambda self: self.ledger.offers)
    @rule(which=ANY, worker=READERS, at=st.integers(0, 2), size=st.integers(1, 4), lost=LOST)
    def put(self, which: int, worker: str, at: int, size: int, lost: int) -> None:
        job_id, first = self._any_range(which)
        chunk = a_chunk_ahead(job_id, first + at, size)
        self.same(
            lambda: ingesting.put(self.ledger, job_id, first, worker, first + at, chunk),
            lambda: self.adapter.put(job_id, first, worker, first + at, chunk),
            lost,
        )

    @precondition(lambda self: self.ledger.offers)
    @rule(which=ANY, worker=READERS, lost=LOST)
    def release_range(self, which: int, worker: str, lost: int) -> None:
        job_id, first = self._any_range(which)
        self.same(
            lambda: ingesting.release(self.ledger, job_id, first, worker),
            lambda: self.adapter.release_range(job_id, first, worker),
            lost,
        )

    @precondition(lambda self: self.reading)
    @rule(which=ANY, off=st.sampled_from([0, 0, 0, -1, 1]), lost=LOST)
    def append_ahead(self, which: int, off: int, lost: int) -> None:
        claimed = self.any_reader(which)
        job = self.ledger.jobs.get(claimed.job_id)
        if job is None:
            return
        number = max(0, len(job.units) + off)
        offers = self.ledger.offers.get(job.job_id)
        chunk = None if offers is None else offers.ahead.get(number)
        size = 0 if chunk is None else len(chunk.items)
        before = len(job.units)
        self.same(
            lambda: ingesting.append_ahead(self.ledger, claimed, number),
            lambda: self.adapter.append_ahead(job.request, claimed, number, size),
            lost,
        )
        if len(job.units) > before:
            job.position = (number + 1, 0)

    def _any_range(self, which: int) -> tuple[str, int]:
        job_id = list(self.ledger.offers)[which % len(self.ledger.offers)]
        firsts = list(self.ledger.offers[job_id].ranges) or [0]
        return job_id, firsts[which % len(firsts)]


def a_chunk_ahead(job_id: str, number: int, size: int) -> ItemChunk:
    """Return a unit that is read ahead, whose items no other unit has."""
    items = [
        Item(custom_id=f"ahead-{number}-{at}", text=f"text {at} of {job_id}") for at in range(size)
    ]
    return ItemChunk(first_index=100 + 4 * number, items=tuple(items))
