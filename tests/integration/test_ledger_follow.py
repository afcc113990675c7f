"""Who owns a job whose input comes unit by unit, and how a second sender compares and succeeds."""

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from builders import a_chunk, a_classify_job, some_items
from ledger_fixtures import Environment, open_environment
from redis_fixtures import PrivateServer
from seqd.admission import Admitted
from seqd.client.sources import Entries
from seqd.client.upload import Upload
from seqd.errors import IdempotencyConflict
from seqd.ledger import connect
from seqd.ledger.blobs import PackedChunk, chunks_of
from seqd.ledger.digests import InputDigest
from seqd.ledger.submissions import Followed
from seqd.settings import Settings
from seqd_schemas import InlineSource, Item, Job, JobState, UploadSource

pytestmark = pytest.mark.processes

JOB = a_classify_job(idempotency_key="mine")
NEVER_S, AT_ONCE_S = 600.0, 0.0


def digest_of(items: tuple[Item, ...], job: Job = JOB, unit_items: int = 1) -> str:
    """The digest of a request with some input."""
    digest = InputDigest(job)
    for chunk in chunks_of(items, unit_items):
        digest.add(PackedChunk(chunk))
    return digest.hex()


def of_units(units: int) -> str:
    """The digest of the request and so many units of two items."""
    return digest_of(some_items(2 * units), JOB, 2)


def upload_units(environment: Environment, units: int, owner: str = "first") -> str:
    """A job that `owner` has sent so many units of, and goes on with."""
    job_id = environment.submit(JOB, chunk=a_chunk(), owner=owner)
    for unit in range(1, units):
        added = environment.append(job_id, unit, job=JOB, owner=owner, digest=of_units(unit + 1))
        assert added == "added"
    return job_id


def follow(
    environment: Environment, job_id: str, unit: int, digest: str, silence_s: float = NEVER_S
) -> Followed:
    return environment.ledger.submissions.follow(job_id, unit, digest, "second", silence_s)


def test_a_digest_tells_requests_and_items_from_each_other_and_not_how_they_were_brought() -> None:
    one, other = some_items(1)[0], Item(custom_id="item-1", text="other")
    inputs = [(), (one,), some_items(2), (one, other), some_items(2)[::-1]]
    jobs = [JOB, a_classify_job(), a_classify_job(idempotency_key="mine", results_ttl_s=99)]
    brought = [
        (JOB, 2),
        (JOB, 4),
        (JOB.model_copy(update={"source": InlineSource(items=some_items(6))}), 6),
        (JOB.model_copy(update={"source": UploadSource(expected_items=6)}), 1),
    ]

    assert len({digest_of(items, job) for job in jobs for items in inputs}) == 15
    assert len({digest_of(some_items(6), job, size) for job, size in brought}) == 1


def test_a_job_without_room_is_followed_and_taken_over_on_a_full_redis(
    environment: Environment,
) -> None:
    job_id = upload_units(environment, 1)
    follow(environment, job_id, 0, of_units(1))
    environment.ledger.submissions.heartbeat(job_id, "first")

    with environment.full_redis():
        assert environment.ledger.submissions.heartbeat(job_id, "first")
        assert follow(environment, job_id, 1, of_units(2), 60.0) == Followed("wait")
        assert follow(environment, job_id, 1, of_units(2), AT_ONCE_S) == Followed("taken")


class Sender:
    """An upload of items, one each unit, that lets others go in front now and then."""

    def __init__(
        self, environment: Environment, items: tuple[Item, ...], waits: list[int], silence_s: float
    ) -> None:
        self.digest, token = digest_of(items), f"token-{id(self)}"
        accepted = environment.ledger.submissions.submit(
            JOB, Admitted(3, 1), job_id=f"by-{id(self)}", owner=token
        )
        self.job_id = accepted.job_id
        self._items, self._waits = items, waits
        self._run = environment.ledger.transport.run
        source = Entries(self._draw())
        source.begin(1)
        self._upload = Upload(
            environment.ledger,
            JOB,
            self.job_id,
            source,
            token=token,
            owns=accepted.created,
            silence_s=silence_s,
        )

    def _draw(self) -> Iterator[Item]:
        for number, item in enumerate(self._items):
            time.sleep(self._waits[number % len(self._waits)] / 2_000)
            yield item

    def start(self) -> None:
        self._run(self._upload.start())

    def is_refused(self) -> bool:
        """Wait for its end; True when it was told that its input is another."""
        self._run(self._upload.join(120))
        assert not self._upload.is_running
        try:
            self._run(self._upload.raise_error())
        except IdempotencyConflict:
            return True
        return False


INPUTS = st.tuples(st.integers(1, 6), st.none() | st.integers(0, 5)).map(
    lambda drawn: tuple(
        Item(custom_id=f"i{n}", text="b" if n == drawn[1] else "a") for n in range(drawn[0])
    )
)
SENDERS = st.lists(
    st.tuples(INPUTS, st.lists(st.integers(0, 4), min_size=1, max_size=4)), min_size=2, max_size=3
)


@pytest.mark.timeout(600)
def test_senders_that_race_and_succeed_each_other_never_mix_their_inputs(
    private_server: PrivateServer,
) -> None:
    """Each counts as dead at once, so that the job goes from one to the next all the time."""
    number = 0
    with connect(private_server.url) as redis:

        @hypothesis_settings(max_examples=40, deadline=None, database=None)
        @given(senders=SENDERS)
        @example(senders=[(some_items(6), [1]), (some_items(6), [2])])
        def race(senders: list[tuple[tuple[Item, ...], list[int]]]) -> None:
            nonlocal number
            number += 1
            settings = Settings(redis_url=private_server.url, prefix=f"race-{number}")
            environment = open_environment(redis, settings)
            racers = [Sender(environment, items, waits, 0.001) for items, waits in senders]
            threads = [threading.Thread(target=racer.start) for racer in racers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            refused = [racer.is_refused() for racer in racers]

            (job_id,) = {racer.job_id for racer in racers}
            record = environment.record(job_id)
            stored = environment.redis.hget(environment.keys.job(job_id), "input_digest").decode()
            assert (record.state, record.sealed) == (JobState.QUEUED, True)
            assert refused == [racer.digest != stored for racer in racers]
            assert not all(refused)
            assert record.counts.total in {len(items) for items, _ in senders}

        race()
