"""Which units come together in a claim, and how much one takes.

Whose turn it is, under whatever a walk does to jobs, workers and models, and who is told that there
is work, says `tests/model`.
"""

import zlib
from collections.abc import Callable

import pytest

from builders import a_chunk, a_classify_job, a_generate_job, inline
from ledger_fixtures import CLASSIFY, Environment
from seqd.ledger.blobs import PackedChunk
from seqd_schemas import Item, ItemChunk, Job, queue_of

pytestmark = pytest.mark.processes

MIB = 1024 * 1024


def submit_one_item_jobs(environment: Environment, count: int) -> list[str]:
    """Hand in like jobs of one item each."""
    job = a_classify_job(source=inline("good"))
    return [environment.submit(job, unit_items=4) for _ in range(count)]


def a_chunk_of(*texts: str) -> ItemChunk:
    items = tuple(Item(custom_id=str(n), text=text) for n, text in enumerate(texts))
    return ItemChunk(first_index=0, items=items)


def test_a_worker_gets_nothing_on_a_version_that_it_cannot_load(environment: Environment) -> None:
    new = environment.submit(chunk=a_chunk(), sealed=True, version=4)
    old = environment.submit(chunk=a_chunk(), sealed=True, version=3)

    work = environment.ledger.work
    claims = [work.claim("worker-a", [CLASSIFY, queue_of(CLASSIFY, 3)]) for _ in range(2)]

    assert [claim.units[0].job_id for claim in claims if claim] == [old]
    assert environment.claim_unit("worker-b").job_id == new


GOOD = inline("good")
PLAIN = a_classify_job(source=GOOD)
#: Beside what `tests/model` draws: parameters, priorities, models.
UNLIKE: dict[str, tuple[Job, Job]] = {
    "least score": (PLAIN, a_classify_job(source=GOOD, min_score=0.0)),
    "labels": (PLAIN, a_classify_job(source=GOOD, label_map={"neg": "bad"})),
    "named label": (
        a_classify_job(source=GOOD, model="imdb_lstm@production"),
        a_classify_job(source=GOOD, model="imdb_lstm@candidate"),
    ),
    "stream": (a_generate_job(source=GOOD), a_generate_job(source=GOOD, stream=True)),
}


@pytest.mark.parametrize("jobs", UNLIKE.values(), ids=UNLIKE)
def test_unlike_jobs_do_not_come_together(environment: Environment, jobs: tuple[Job, Job]) -> None:
    for job in (*jobs, jobs[0]):
        environment.submit(job, version=None if "@" in job.model else 3, unit_items=4)

    claims = [environment.claim() for _ in range(2)]

    assert sorted(len(claim.units) for claim in claims if claim) == [1, 2]


def test_jobs_on_different_versions_do_not_come_together(environment: Environment) -> None:
    for version in (1, 2):
        environment.submit(PLAIN, version=version, unit_items=4)

    claims = [environment.claim(), environment.claim()]

    assert [(claim.version, len(claim.units)) for claim in claims if claim] == [(1, 1), (2, 1)]


#: As text that is pasted a thousand times, and as noise, which hardly compresses.
LONG_TEXTS: dict[str, Callable[[], str]] = {
    "repeated": lambda: "a great film " * 70_000,
    "noise": lambda: "".join(f"{number * 2654435761 % 2**32:08x}" for number in range(115_000)),
}


@pytest.mark.parametrize("make_text", LONG_TEXTS.values(), ids=LONG_TEXTS)
def test_the_input_of_a_claim_inflates_to_no_more_than_a_worker_takes(
    environment: Environment, make_text: Callable[[], str]
) -> None:
    chunk = a_chunk_of(make_text())
    for _ in range(20):
        environment.submit(chunk=chunk, sealed=True, unit_items=100)

    names = environment.claim_names()

    assert len(names) == environment.settings.max_claim_bytes // len(PackedChunk(chunk).json) == 18


def test_an_operator_may_let_a_worker_take_less_and_what_is_larger_comes_alone(
    environment: Environment,
) -> None:
    small_worker = environment.with_settings(max_claim_bytes=MIB + 200)
    half, large = a_chunk_of("x" * (MIB // 2)), a_chunk_of("x" * MIB, "x" * MIB)

    def claims_of(*chunks: ItemChunk) -> list[int]:
        for chunk in chunks:
            environment.submit(chunk=chunk, sealed=True, unit_items=100)
        return [len(names) for _ in chunks if (names := small_worker.claim_names())]

    assert claims_of(half, half, half) == [2, 1]
    assert claims_of(large, a_chunk(1), large) == [1, 1, 1]


def test_a_unit_that_states_too_little_counts_by_its_bytes_and_one_that_states_nothing_comes_alone(
    environment: Environment,
) -> None:
    small_worker = environment.with_settings(max_claim_bytes=MIB)
    jobs = submit_one_item_jobs(environment, 6)
    blobs = dict.fromkeys(jobs[3:], b"\x48" + bytes(400 * 1024))
    blobs[jobs[1]] = zlib.compress(
        PackedChunk(a_chunk_of("short")).json
    )  # of no window that seqd chooses
    for job_id, blob in blobs.items():
        environment.redis.hset(environment.keys.input(job_id), "0", blob)

    claims = [[job_id for job_id, _ in small_worker.claim_names()] for _ in range(3)]

    assert [jobs[1]] in claims
    assert all(len(set(claim) & set(jobs[3:])) <= 2 for claim in claims)


@pytest.mark.parametrize("head", ["capped", "nothing to do"])
def test_a_claim_on_a_full_redis_gets_past_a_job_that_has_none_for_it(
    environment: Environment, head: str
) -> None:
    first = environment.submit_units(2, a_classify_job(max_running_units=1))
    held = environment.claim_unit()
    if head == "nothing to do":
        # A late commit of a unit that had gone back.
        environment.ledger.work.release_unit(held)
        environment.redis.zrem(environment.keys.todo(first), "0", "1")
    other = environment.submit_units(1)

    with environment.full_redis():
        claimed = environment.claim_names()

    assert claimed == [(other, "0")]
