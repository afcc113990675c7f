"""What is committed can be read: results of any size, row by row, by every reader."""

from collections.abc import Sequence
from random import Random
from types import SimpleNamespace

import pytest
from pydantic import Field

from builders import a_chunk, a_generate_job, some_items, some_results
from ledger_fixtures import Environment
from seqd.client import JobHandle
from seqd.client.job import EndedJob
from seqd.client.waiting import ended_handles
from seqd.hookspecs import PluginParameters, TaskSpec
from seqd.ledger import blobs, jobs
from seqd.ledger.jobs import ResultPosition
from seqd.ledger.units import Death, Unit
from seqd.ledger.work import CommitOutcome, Finished, OversizedResults
from seqd.settings import Settings
from seqd.worker.computing import unpack
from seqd.worker.counting import WorkerStats
from seqd.worker.items import ItemRunner
from seqd_schemas import (
    DeathCause,
    GeneratedSample,
    Generation,
    InlineSource,
    ItemFailure,
    ItemSuccess,
    JobState,
    OutputBound,
)

pytestmark = pytest.mark.processes

MILLION = 1_000_000


def written(name: str, text: str) -> ItemSuccess:
    """A result of a prompt, its text in samples of a million characters."""
    texts = [text[first : first + MILLION] for first in range(0, len(text), MILLION)]
    samples = tuple(GeneratedSample(text=one, temperature=1.0, seed=0) for one in texts)
    return ItemSuccess(custom_id=name, output=Generation(prompt="", samples=samples))


def names(count: int) -> list[str]:
    return [f"item-{n}" for n in range(count)]


def ids_of(environment: Environment, job_id: str) -> list[str]:
    return [result.custom_id for result in environment.handle(job_id).results()]


def submit_prompts(environment: Environment, items: int, **options: object) -> Unit:
    """Hand in a job of one unit, and claim that."""
    chunk = a_chunk(items)
    environment.submit(a_generate_job(**options), chunk=chunk, sealed=True, unit_items=items)
    return environment.claim_unit()


def all_ended(environment: Environment, handles: Sequence[JobHandle]) -> list[EndedJob]:
    ledger = environment.ledger
    return list(
        ledger.transport.read(ended_handles(ledger, "none", handles, 5, JobHandle, EndedJob))
    )


def test_a_unit_that_writes_more_than_64_mib_is_read_back_by_every_reader(
    environment: Environment,
) -> None:
    unit = submit_prompts(environment, 36, stream=True)
    results = [written(name, "x" * 2 * MILLION) for name in names(36)]

    outcome = environment.ledger.work.commit(unit, results)

    assert outcome is CommitOutcome.COMPLETED
    handle = environment.handle(unit.job_id)
    assert list(handle.results()) == results
    (ended,) = all_ended(environment, [handle])
    assert [result.custom_id for result in ended.results()] == names(36)
    streamed = list(handle.stream())
    assert [text.custom_id for text in streamed] == [name for name in names(36) for _ in "ab"]
    assert all(text.finished is not None for text in streamed)


def test_as_completed_fetches_no_more_results_at_once_than_fit_into_a_reply(
    environment: Environment,
) -> None:
    results = [written("item-0", Random(n).randbytes(2_500_000).hex()) for n in range(2)]
    handles = []
    for result in results:
        unit = submit_prompts(environment, 1)
        environment.ledger.work.commit(unit, [result])
        handles.append(environment.handle(unit.job_id))

    rows = environment.ledger.jobs.ended([handle.job_id for handle in handles])
    ended = all_ended(environment, handles)

    assert [row.blob is not None for row in rows] == [True, False]
    assert [result for done in ended for result in done.results()] == results


@pytest.mark.parametrize("committed", [0, 1])
def test_a_cancelled_job_keeps_all_rows_of_what_was_done(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, committed: int
) -> None:
    monkeypatch.setattr(blobs, "RESULT_ROW_BYTES", 1)
    job_id = environment.submit_units(2)
    units = [environment.claim_unit(), environment.claim_unit()]
    environment.commit(units[committed])

    environment.ledger.control.cancel(job_id)

    results = list(environment.handle(job_id).results())
    assert [result.custom_id for result in results] == names(4)
    assert [result.ok for result in results] == [at // 2 == committed for at in range(4)]


def test_a_reader_holds_no_more_than_a_windows_bytes_at_once_or_one_row_that_is_larger(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "RESULT_ROW_BYTES", 1)
    job_id = environment.submit_units(3)
    for _ in range(3):
        environment.commit(environment.claim_unit())
    size = max(map(len, environment.redis.hvals(environment.keys.output(job_id))))

    def reads(most_bytes: int) -> list[tuple[int, ResultPosition]]:
        monkeypatch.setattr(jobs, "READ_BYTES", most_bytes)
        position, found = ResultPosition(0), []
        while (read := environment.ledger.jobs.results(job_id, position)).rows:
            position = read.position
            found.append((len(read.rows), position))
        assert ids_of(environment, job_id) == names(6)
        return found

    assert reads(3 * size) == [(3, (1, 1)), (3, (3, 0))]
    assert [rows for rows, _ in reads(1)] == [1] * 6


def test_a_step_takes_no_more_bytes_than_it_may_and_a_unit_of_more_is_told_apart(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqd.ledger.work.COMMIT_BYTES", 1)
    monkeypatch.setattr("seqd.ledger.work.MAX_COMMIT_BYTES", 500)
    sizes = (1, 300, 1, 1)
    units = [submit_prompts(environment, size) for size in sizes]

    outcomes = environment.ledger.work.commit_batch(
        [Finished(unit, some_results(size)) for unit, size in zip(units, sizes, strict=True)]
    )

    assert isinstance(outcomes.pop(1), OversizedResults)
    assert outcomes == [CommitOutcome.COMPLETED] * 3
    assert environment.record(units[1].job_id).counts.processing == 300


class WriteParameters(PluginParameters):
    length: int = Field(default=1_000, ge=1, le=1_000_000, description="Characters to write.")


def a_runner(environment: Environment, **more: object) -> ItemRunner:
    """Return what runs items, with so much of a worker as that needs here."""
    nothing = lambda *_, **__: None  # noqa: E731
    context = SimpleNamespace(
        ledger=environment.ledger,
        stats=WorkerStats(),
        leases=SimpleNamespace(computed=nothing, committed=nothing, given_up=nothing),
        jobs_finished=nothing,
        counts=SimpleNamespace(items=nothing),
        max_attempts=3,
        plugin_running=lambda name: SimpleNamespace(name="writer", version="1.0"),
        cache=SimpleNamespace(get=nothing),
        store=SimpleNamespace(plugin_of=lambda name: name),
        **more,
    )
    return ItemRunner(context, Settings())  # type: ignore[arg-type]


def test_an_inline_job_whose_items_could_write_too_much_is_cut_before_they_do(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqd.worker.plans.UNIT_OUTPUT_CHARACTERS", 20_000)
    bound = OutputBound(factors=("length",), max_characters=1_000_000)
    model = SimpleNamespace(tasks={"generate": TaskSpec(WriteParameters, bound=bound)})
    runner = a_runner(environment, described=lambda name: model)
    environment.submit(a_generate_job(source=InlineSource(items=some_items(64))))

    while claim := environment.claim():
        if len(unpack(claim.units[0]).work) > 16:  # what is left is small enough to be computed
            runner.run(claim)

    assert environment.ledger.jobs.parts("job-0", 0) == ["0:0:16", "0:16:32", "0:32:48", "0:48:64"]


def test_an_item_alone_with_which_a_worker_was_silent_is_tried_once_more(
    environment: Environment,
) -> None:
    class IsTried(Exception):
        pass

    def described(name: str) -> None:
        raise IsTried

    runner, work = a_runner(environment, described=described), environment.ledger.work
    job_id = submit_prompts(environment, 1).job_id
    death = Death(DeathCause.HANG, "It was silent.")

    work.release_worker("worker-a", crashed=True, death=death)
    with pytest.raises(IsTried):
        runner.run(environment.claim())
    work.release_worker("worker-a", crashed=True, death=death)
    environment.redis.zadd(environment.keys.timers(), {f"{job_id} 0": 1})
    work.expire()
    runner.run(environment.claim())

    (failure,) = environment.handle(job_id).results()
    assert isinstance(failure, ItemFailure)
    assert failure.error.message.endswith(" at last on it alone. It was silent.")


def test_a_unit_that_wrote_more_than_one_step_takes_is_halved_until_its_results_fit(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sixteen,) = blobs.pack_results(some_results(16))
    monkeypatch.setattr("seqd.ledger.work.MAX_COMMIT_BYTES", len(sixteen) + 2)
    runner, unit, seen = a_runner(environment), submit_prompts(environment, 64), list[str]()
    job_id = unit.job_id

    while True:
        items = unpack(unit)
        first, count = items.chunk.first_index, len(items.chunk.items)
        seen.append(unit.name)
        runner._commit([(items, list(some_results(count, first=first)))])
        if environment.record(job_id).state is JobState.COMPLETED:
            break
        unit = environment.claim_unit()

    assert seen[:4] == ["0", "0:0:32", "0:0:16", "0:16:32"]
    assert ids_of(environment, job_id) == names(64)
    assert environment.record(job_id).counts.succeeded == 64
