"""Text deltas: only the holder of a unit publishes them, they are bounded, and they go again."""

import itertools
import json
import logging

import pytest

from builders import a_chunk, a_generate_job, some_deltas, some_generations
from ledger_fixtures import Environment
from seqd.client import JobHandle, StreamedText
from seqd.errors import JobFailed
from seqd.ledger.blobs import split_chunk
from seqd.ledger.units import Unit
from seqd_schemas import Failure, ItemErrorCode, TextDeltas

pytestmark = pytest.mark.processes

STREAMING = a_generate_job(stream=True)


def a_unit(environment: Environment, items: int = 1, **changes: object) -> Unit:
    """A streaming unit that worker-a has begun."""
    request = a_generate_job(stream=True, **changes)
    environment.submit(request, chunk=a_chunk(items), sealed=True)
    return environment.claim_unit()


def publish(
    environment: Environment, unit: Unit, *texts: str, offset: int = 0, worker: str = "worker-a"
) -> bool:
    """Publish texts that go on from each other, each as an entry; False when it is not ours."""
    offsets = itertools.accumulate(map(len, texts), initial=offset)
    return all(
        environment.ledger.work.publish_deltas(
            worker, [(unit, some_deltas(text, offset=at, attempt=unit.attempt))]
        )[0]
        for text, at in zip(texts, offsets, strict=False)
    )


def published(environment: Environment, job_id: str) -> list[str]:
    """Return the text of each entry that is kept."""
    entries = environment.redis.xrange(environment.keys.deltas(job_id))
    entries_read = [TextDeltas.model_validate_json(fields[b"d"]) for _, fields in entries]
    return ["".join(delta.text for delta in entry.deltas) for entry in entries_read]


def texts_given(environment: Environment, job_id: str) -> list[str]:
    """Read a job's stream to its end; returns its texts in order."""
    return [streamed.text for streamed in JobHandle(environment.ledger, job_id).stream()]


def test_the_oldest_deltas_go_when_there_are_too_many_bytes(environment: Environment) -> None:
    small = environment.with_settings(max_stream_bytes=1_024)
    unit = a_unit(small)

    publish(small, unit, *("x" * 100 for _ in range(20)), "the last")

    kept = published(small, unit.job_id)
    entries = environment.redis.xrange(environment.keys.deltas(unit.job_id))
    assert 2 <= len(kept) < 6
    assert kept[-1] == "the last"
    assert sum(len(fields[b"d"]) + 64 for _, fields in entries) <= 1_024


def test_one_delta_larger_than_the_bound_stands_alone(environment: Environment) -> None:
    small = environment.with_settings(max_stream_bytes=1_024)
    unit = a_unit(small)

    publish(small, unit, "one", "x" * 5_000)

    assert published(small, unit.job_id) == ["x" * 5_000]


def test_deltas_are_counted_anew_when_their_time_has_passed(environment: Environment) -> None:
    small = environment.with_settings(max_stream_bytes=1_024)
    unit = a_unit(small)
    publish(small, unit, "x" * 900)
    environment.redis.delete(environment.keys.deltas(unit.job_id))

    publish(small, unit, "a", "b", "c")

    assert published(small, unit.job_id) == ["a", "b", "c"]


@pytest.mark.parametrize(("ttl_s", "longest_s"), [(60, 60), (7 * 24 * 3_600, 3_600)])
def test_deltas_of_a_job_that_ends_early_have_a_time_to_live(
    environment: Environment, ttl_s: int, longest_s: int
) -> None:
    unit = a_unit(environment, results_ttl_s=ttl_s)
    publish(environment, unit, "one")
    while_it_runs_s = environment.redis.ttl(environment.keys.deltas(unit.job_id))

    environment.ledger.control.cancel(unit.job_id)

    assert 0 < while_it_runs_s <= 3_600
    assert 0 < environment.redis.ttl(environment.keys.deltas(unit.job_id)) <= longest_s


def test_nothing_is_published_while_redis_is_short_of_memory(environment: Environment) -> None:
    environment.ledger.fleet.publish_limits(environment.settings)
    unit = a_unit(environment)
    environment.redis.set(environment.keys.memory(), "short")

    is_ours = publish(environment, unit, "one")

    assert is_ours
    assert published(environment, unit.job_id) == []
    environment.ledger.work.commit(unit, some_generations("one"))
    assert texts_given(environment, unit.job_id) == ["one"]


def test_a_second_attempt_goes_on_where_the_first_one_was(environment: Environment) -> None:
    first = a_unit(environment)
    publish(environment, first, "the quick", " brown")
    environment.ledger.work.release_worker("worker-a", crashed=True)
    second = environment.claim_unit("worker-b")
    stream = JobHandle(environment.ledger, first.job_id).stream()
    given = [next(stream).text, next(stream).text]

    publish(environment, second, "the ", "quick bro", "wn fox", worker="worker-b")
    given.append(next(stream).text)
    environment.ledger.work.commit(second, some_generations("the quick brown fox jumps"))
    given += [streamed.text for streamed in stream]

    assert given == ["the quick", " brown", " fox", " jumps"]


def test_a_text_with_a_delta_missing_waits_for_its_result_and_others_do_not(
    environment: Environment,
) -> None:
    unit = a_unit(environment, items=2)
    publish(environment, unit, "one ")
    publish(environment, unit, "three ", offset=8)
    environment.ledger.work.publish_deltas("worker-a", [(unit, some_deltas("else", item="item-1"))])
    stream = JobHandle(environment.ledger, unit.job_id).stream()

    given = [next(stream), next(stream)]
    environment.ledger.work.commit(unit, some_generations("one two three four", "else"))
    rest = list(stream)

    assert [(streamed.custom_id, streamed.text) for streamed in given + rest] == [
        ("item-0", "one "),
        ("item-1", "else"),
        ("item-0", "two three four"),
        ("item-1", ""),
    ]
    assert [streamed.finished is not None for streamed in given + rest] == [
        False,
        False,
        True,
        True,
    ]


def test_a_unit_that_is_done_out_of_turn_is_given_before_those_that_have_not_begun(
    environment: Environment,
) -> None:
    job_id = environment.submit_units(40, STREAMING)
    units = [environment.claim_unit() for _ in range(40)]
    late = units[30]
    environment.ledger.work.publish_deltas(
        "worker-a", [(late, some_deltas("li", unit="30", item="item-60"))]
    )
    stream = JobHandle(environment.ledger, job_id).stream()
    begun = next(stream)

    for unit in [late, *(unit for unit in units if unit is not late)]:
        texts = ("live", "late") if unit is late else ("a", "b")
        environment.ledger.work.commit(unit, some_generations(*texts, first=2 * int(unit.name)))
    rest = list(stream)

    names = [streamed.custom_id for streamed in rest]
    assert sorted(names) == sorted(f"item-{at}" for at in range(80))
    # Those of the first look, and what had begun; then the others in their turn.
    assert names[:32] == [f"item-{at}" for at in range(32)]
    assert [(streamed.custom_id, streamed.text) for streamed in (begun, *rest[32:34])] == [
        ("item-60", "li"),
        ("item-60", "ve"),
        ("item-61", "late"),
    ]
    assert names[34:36] == ["item-32", "item-33"]


def test_a_unit_that_was_split_is_read_as_one(environment: Environment) -> None:
    whole = a_unit(environment, items=2)
    publish(environment, whole, "on")
    parts = split_chunk(a_chunk(2))
    assert parts is not None
    environment.ledger.work.split(whole, parts)
    stream = JobHandle(environment.ledger, whole.job_id).stream()
    given = [next(stream).text]

    for at, text in enumerate(("one", "two")):
        part = environment.claim_unit()
        deltas = some_deltas(text, item=f"item-{at}", unit=part.name, attempt=part.attempt)
        environment.ledger.work.publish_deltas("worker-a", [(part, deltas)])
        given.append(next(stream).text)
        environment.ledger.work.commit(part, some_generations(text, first=at))

    assert given == ["on", "e", "two"]
    assert [(p.custom_id, p.text, p.finished is not None) for p in stream] == [
        ("item-0", "", True),
        ("item-1", "", True),
    ]


def test_what_a_cancelled_job_had_written_is_given_and_then_its_errors(
    environment: Environment,
) -> None:
    unit = a_unit(environment, items=2)
    publish(environment, unit, "one")
    environment.ledger.control.cancel(unit.job_id)

    texts = list(JobHandle(environment.ledger, unit.job_id).stream())

    assert texts[0] == StreamedText("item-0", 0, "one")
    assert [(streamed.custom_id, streamed.text) for streamed in texts[1:]] == [
        ("item-0", ""),
        ("item-1", ""),
    ]
    assert all(
        streamed.error is not None and streamed.error.code is ItemErrorCode.CANCELLED
        for streamed in texts[1:]
    )


def test_a_job_that_fails_ends_its_stream_as_it_ends_its_results(environment: Environment) -> None:
    unit = a_unit(environment)
    publish(environment, unit, "one")
    environment.ledger.work.fail_job(unit, Failure(code="plugin_fault", message="It broke."))
    given: list[StreamedText] = []

    with pytest.raises(JobFailed, match=r"It broke\."):
        given.extend(JobHandle(environment.ledger, unit.job_id).stream())

    assert [streamed.text for streamed in given] == ["one", ""]
    assert given[-1].error is not None
    with pytest.raises(JobFailed, match=r"It broke\."):
        list(JobHandle(environment.ledger, unit.job_id).results())


def test_a_text_that_comes_out_otherwise_is_warned_of(
    environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    unit = a_unit(environment)
    publish(environment, unit, "one ")
    stream = JobHandle(environment.ledger, unit.job_id).stream()
    next(stream)

    with caplog.at_level(logging.WARNING):
        environment.ledger.work.commit(unit, some_generations("two three"))
        (last,) = stream

    assert last.finished is not None
    assert last.finished.text == "two three"
    assert f"job={unit.job_id} item=item-0 sample=0: the text that was streamed" in caplog.text


def test_what_is_no_delta_is_left_out(
    environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    unit = a_unit(environment)
    for odd in ({"x": "y"}, {"d": "{"}, {"d": json.dumps({"unit": "0", "attempt": 0})}):
        environment.redis.xadd(environment.keys.deltas(unit.job_id), odd)
    publish(environment, unit, "one")
    environment.ledger.control.cancel(unit.job_id)

    texts = list(JobHandle(environment.ledger, unit.job_id).stream())

    assert [streamed.text for streamed in texts] == ["one", ""]
    assert caplog.text.count("were left out") == 3
