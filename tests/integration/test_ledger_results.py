"""What is committed can be read: results of any size, row by row, by every reader."""

from random import Random
from types import SimpleNamespace

import pytest
from pydantic import Field

from builders import (
    a_chunk,
    a_generate_job,
    some_items,
    some_results,
)
from ledger_fixtures import Environment
from seqd.client import JobHandle
from seqd.client.completion import EndedJob, ended_handles
from seqd.hookspecs import PluginParameters, TaskSpec
from seqd.ledger import blobs, jobs
from seqd.ledger.jobs import ResultPosition
from seqd.ledger.units import Unit
from seqd.ledger.work import CommitOutcome, Finished, OversizedResults
from seqd.worker.computing import unpack
from seqd.worker.context import WorkerStats
from seqd.worker.items import ItemRunner
from seqd_schemas import (
    GeneratedSample,
    Generation,
    InlineSource,
    ItemSuccess,
    JobState,
    OutputBound,
)

pytestmark = pytest.mark.processes


def written(first: int, items: int, *, chars: int) -> list[ItemSuccess]:
    """Results of prompts, each with texts of so many characters."""
    texts = [GeneratedSample(text="x" * 1_000_000, temperature=1.0, seed=0)] * (chars // 1_000_000)
    return [
        ItemSuccess(custom_id=f"item-{n}", output=Generation(prompt="", samples=tuple(texts)))
        for n in range(first, first + items)
    ]


def ids_of(environment: Environment, job_id: str) -> list[str]:
    return [result.custom_id for result in JobHandle(environment.ledger, job_id).results()]


def submit_prompts(environment: Environment, items: int, **options: object) -> Unit:
    """Hand in a job of one unit, and claim that."""
    environment.submit(
        a_generate_job(**options), chunk=a_chunk(items), sealed=True, unit_items=items
    )
    return environment.claim_unit()


def test_a_unit_that_writes_more_than_64_mib_is_read_back(environment: Environment) -> None:
    unit = submit_prompts(environment, 36)
    results = written(0, 36, chars=2_000_000)

    outcome = environment.ledger.work.commit(unit, results)

    assert outcome is CommitOutcome.COMPLETED
    assert list(JobHandle(environment.ledger, unit.job_id).results()) == results


def all_ended(environment: Environment, handles: list[JobHandle]) -> list[EndedJob]:
    ledger = environment.ledger
    return list(ledger.transport.read(ended_handles(ledger, "none", handles, timeout_s=5)))


def test_as_completed_gives_results_of_more_than_one_row(environment: Environment) -> None:
    unit = submit_prompts(environment, 5)
    environment.ledger.work.commit(unit, written(0, 5, chars=2_000_000))

    handle = JobHandle(environment.ledger, unit.job_id)
    (ended,) = all_ended(environment, [handle])

    assert [result.custom_id for result in ended.results()] == [f"item-{n}" for n in range(5)]


def test_as_completed_fetches_no_more_results_at_once_than_fit_into_a_reply(
    environment: Environment,
) -> None:
    texts = [Random(number).randbytes(2_500_000).hex() for number in range(2)]
    handles = []
    for text in texts:
        unit = submit_prompts(environment, 1)
        samples = [
            GeneratedSample(text=text[first : first + 1_000_000], temperature=1.0, seed=0)
            for first in range(0, len(text), 1_000_000)
        ]
        output = Generation(prompt="", samples=tuple(samples))
        environment.ledger.work.commit(unit, [ItemSuccess(custom_id="item-0", output=output)])
        handles.append(JobHandle(environment.ledger, unit.job_id))

    rows = environment.ledger.jobs.ended([handle.job_id for handle in handles])
    ended = all_ended(environment, handles)

    assert [row.blob is not None for row in rows] == [True, False]
    read = [result.output for done in ended for result in done.results()]
    assert ["".join(sample.text for sample in output.samples) for output in read] == texts  # type: ignore[union-attr]


def test_a_stream_ends_with_texts_of_more_than_one_row(environment: Environment) -> None:
    unit = submit_prompts(environment, 5, stream=True)
    environment.ledger.work.commit(unit, written(0, 5, chars=2_000_000))

    texts = list(JobHandle(environment.ledger, unit.job_id).stream())

    assert [text.custom_id for text in texts] == [f"item-{n}" for n in range(5) for _ in "ab"]
    assert all(text.finished is not None for text in texts)


@pytest.mark.parametrize("first_committed", [True, False])
def test_a_cancelled_job_keeps_all_rows_of_what_was_done(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, first_committed: bool
) -> None:
    monkeypatch.setattr(blobs, "RESULT_ROW_BYTES", 1)
    job_id = environment.submit_units(2)
    units = [environment.claim_unit(), environment.claim_unit()]
    environment.commit(units[0 if first_committed else 1])

    environment.ledger.control.cancel(job_id)

    statuses = [result.status for result in JobHandle(environment.ledger, job_id).results()]
    assert ids_of(environment, job_id) == [f"item-{n}" for n in range(4)]
    done = ["succeeded"] * 2
    assert statuses == (done + ["errored"] * 2 if first_committed else ["errored"] * 2 + done)


def test_a_reader_holds_no_more_than_a_windows_bytes_at_once(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "RESULT_ROW_BYTES", 1)
    job_id = environment.submit_units(3)
    for _ in range(3):
        environment.commit(environment.claim_unit())
    size = max(map(len, environment.redis.hvals(environment.keys.output(job_id))))
    monkeypatch.setattr(jobs, "READ_BYTES", 3 * size)

    position, reads = ResultPosition(0), []
    while (read := environment.ledger.jobs.results(job_id, position))[0]:
        position = read[1]
        reads.append((len(read[0]), position))

    assert reads == [(3, (1, 1)), (3, (3, 0))]
    assert position == ResultPosition(3)
    assert ids_of(environment, job_id) == [f"item-{n}" for n in range(6)]


def test_a_row_that_is_larger_than_a_window_comes_alone(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "READ_BYTES", 1)
    job_id = environment.submit_units(2)
    environment.commit(environment.claim_unit())
    environment.commit(environment.claim_unit())

    rows, position = environment.ledger.jobs.results(job_id, ResultPosition(0))

    assert (len(rows), position) == (1, (1, 0))


def test_a_unit_of_more_than_one_step_takes_is_told_apart_and_its_neighbours_are_committed(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqd.ledger.work.MAX_COMMIT_BYTES", 500)
    small, large = submit_prompts(environment, 1), submit_prompts(environment, 300)
    finished = [
        Finished(small, some_results(1)),
        Finished(large, some_results(300)),
    ]

    first, second = environment.ledger.work.commit_batch(finished)

    assert first is CommitOutcome.COMPLETED
    assert isinstance(second, OversizedResults)
    assert environment.record(large.job_id).counts.processing == 300


def test_a_step_takes_no_more_bytes_than_it_may_however_many_units_there_are(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqd.ledger.work.COMMIT_BYTES", 1)
    units = [submit_prompts(environment, 1) for _ in range(3)]

    outcomes = environment.ledger.work.commit_batch(
        [Finished(unit, some_results(1)) for unit in units]
    )

    assert outcomes == [CommitOutcome.COMPLETED] * 3


class WriteParameters(PluginParameters):
    length: int = Field(default=1_000, ge=1, le=1_000_000, description="Characters to write.")


def test_an_inline_job_whose_items_could_write_too_much_is_cut_before_they_do(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqd.worker.items.UNIT_OUTPUT_CHARACTERS", 20_000)
    bound = OutputBound(factors=("length",), max_characters=1_000_000)
    model = SimpleNamespace(tasks={"generate": TaskSpec(WriteParameters, output=bound)})
    context = SimpleNamespace(
        ledger=environment.ledger,
        stats=WorkerStats(),
        max_attempts=3,
        described=lambda name: model,
        plugin_version=lambda name: "1.0",
        cache=SimpleNamespace(get=lambda name, version: None),
        leases=SimpleNamespace(given_up=lambda unit: None),
    )
    environment.submit(a_generate_job(source=InlineSource(items=some_items(64))))

    while claim := environment.claim():
        if len(unpack(claim.units[0]).work) > 16:  # what is left is small enough to be computed
            ItemRunner(context).run(claim)  # type: ignore[arg-type] # what this needs of it

    assert environment.ledger.jobs.parts("job-0", 0) == ["0:0:16", "0:16:32", "0:32:48", "0:48:64"]


def test_a_unit_that_wrote_more_than_one_step_takes_is_halved_until_its_results_fit(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sixteen,) = blobs.pack_results(some_results(16))
    monkeypatch.setattr("seqd.ledger.work.MAX_COMMIT_BYTES", len(sixteen) + 2)
    nothing = lambda *_, **__: None  # noqa: E731
    context = SimpleNamespace(
        ledger=environment.ledger,
        stats=WorkerStats(),
        jobs_finished=nothing,
        leases=SimpleNamespace(committed=nothing, given_up=nothing),
        counts=SimpleNamespace(items=nothing),
    )
    runner = ItemRunner(context)  # type: ignore[arg-type] # what a commit needs of it
    unit = submit_prompts(environment, 64)
    names, job_id = [], unit.job_id

    while True:
        items = unpack(unit)
        first, count = items.chunk.first_index, len(items.chunk.items)
        names.append(unit.name)
        runner._commit([(items, list(some_results(count, first=first)))])
        if environment.record(job_id).state is JobState.COMPLETED:
            break
        unit = environment.claim_unit()

    assert names[:4] == ["0", "0:0:32", "0:0:16", "0:16:32"]
    assert ids_of(environment, job_id) == [f"item-{n}" for n in range(64)]
    assert environment.record(job_id).counts.succeeded == 64
