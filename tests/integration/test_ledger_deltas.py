"""Text deltas: only the holder of a unit publishes them, they are bounded, and they go again."""

import itertools
import json
import logging

import pytest

from builders import a_chunk, a_generate_job, some_deltas, some_generations
from ledger_fixtures import Scene
from seqd.client import JobHandle, StreamedText
from seqd.errors import JobFailed
from seqd.ledger.blobs import split_chunk
from seqd.ledger.work import Unit
from seqd_schemas import Failure, ItemErrorCode, TextDeltas

pytestmark = pytest.mark.processes

STREAMING = a_generate_job(stream=True)


def a_unit(scene: Scene, items: int = 1, **changes: object) -> Unit:
    """A streaming unit that worker-a has begun."""
    request = a_generate_job(stream=True, **changes)
    scene.submit(request, chunk=a_chunk(items), sealed=True)
    return scene.claim_unit()


def publish(
    scene: Scene, unit: Unit, *texts: str, offset: int = 0, worker: str = "worker-a"
) -> bool:
    """Publish texts that go on from each other, each as an entry; False when it is not ours."""
    offsets = itertools.accumulate(map(len, texts), initial=offset)
    return all(
        scene.ledger.work.publish_deltas(
            worker, [(unit, some_deltas(text, offset=at, attempt=unit.attempt))]
        )[0]
        for text, at in zip(texts, offsets, strict=False)
    )


def published(scene: Scene, job_id: str) -> list[str]:
    """Give the text of each entry that is kept."""
    entries = scene.redis.xrange(scene.keys.deltas(job_id))
    entries_read = [TextDeltas.model_validate_json(fields[b"d"]) for _, fields in entries]
    return ["".join(delta.text for delta in entry.deltas) for entry in entries_read]


def texts_given(scene: Scene, job_id: str) -> list[str]:
    """Read a job's stream to its end; returns its texts in order."""
    return [streamed.text for streamed in JobHandle(scene.ledger, job_id).stream()]


def test_only_the_attempt_that_holds_the_unit_goes_on_with_its_text(scene: Scene) -> None:
    zombie = a_unit(scene)
    assert publish(scene, zombie, "one")
    scene.ledger.work.release_worker("worker-a", crashed=True)
    current = scene.claim_unit("worker-b")

    answers = scene.ledger.work.publish_deltas(
        "worker-a", [(zombie, some_deltas("no")), (current, some_deltas("two", attempt=2))]
    )

    assert answers == [False, True]
    assert published(scene, current.job_id) == ["one", "two"]


def test_nobody_goes_on_with_a_text_whose_job_has_ended(scene: Scene) -> None:
    unit = a_unit(scene)
    scene.ledger.control.cancel(unit.job_id)

    assert not publish(scene, unit, "one")
    assert published(scene, unit.job_id) == []


def test_the_oldest_deltas_go_when_there_are_too_many_bytes(scene: Scene) -> None:
    small = scene.with_settings(max_stream_bytes=1_024)
    unit = a_unit(small)

    publish(small, unit, *("x" * 100 for _ in range(20)), "the last")

    kept = published(small, unit.job_id)
    entries = scene.redis.xrange(scene.keys.deltas(unit.job_id))
    assert 2 <= len(kept) < 6
    assert kept[-1] == "the last"
    assert sum(len(fields[b"d"]) + 64 for _, fields in entries) <= 1_024


def test_tiny_deltas_are_bounded_in_number(scene: Scene) -> None:
    small = scene.with_settings(max_stream_bytes=4_096)
    unit = a_unit(small)

    publish(small, unit, *"abcdefghij" * 20)

    assert len(published(small, unit.job_id)) < 4_096 / 64


def test_one_delta_larger_than_the_bound_stands_alone(scene: Scene) -> None:
    small = scene.with_settings(max_stream_bytes=1_024)
    unit = a_unit(small)

    publish(small, unit, "one", "x" * 5_000)

    assert published(small, unit.job_id) == ["x" * 5_000]


def test_deltas_are_counted_anew_when_their_time_has_passed(scene: Scene) -> None:
    small = scene.with_settings(max_stream_bytes=1_024)
    unit = a_unit(small)
    publish(small, unit, "x" * 900)
    scene.redis.delete(scene.keys.deltas(unit.job_id))

    publish(small, unit, "a", "b", "c")

    assert published(small, unit.job_id) == ["a", "b", "c"]


def test_deltas_go_when_the_job_completes(scene: Scene) -> None:
    unit = a_unit(scene)
    publish(scene, unit, "one")

    scene.ledger.work.commit(unit, some_generations("one"))

    assert scene.redis.exists(scene.keys.deltas(unit.job_id)) == 0


@pytest.mark.parametrize(("ttl_s", "longest_s"), [(60, 60), (7 * 24 * 3_600, 3_600)])
def test_deltas_of_a_job_that_ends_early_have_a_time_to_live(
    scene: Scene, ttl_s: int, longest_s: int
) -> None:
    unit = a_unit(scene, results_ttl_s=ttl_s)
    publish(scene, unit, "one")
    while_it_runs_s = scene.redis.ttl(scene.keys.deltas(unit.job_id))

    scene.ledger.control.cancel(unit.job_id)

    assert 0 < while_it_runs_s <= 3_600
    assert 0 < scene.redis.ttl(scene.keys.deltas(unit.job_id)) <= longest_s


def test_deltas_go_with_their_job(scene: Scene) -> None:
    unit = a_unit(scene)
    publish(scene, unit, "one")
    scene.ledger.control.cancel(unit.job_id)

    scene.ledger.control.remove(unit.job_id)

    assert scene.redis.exists(scene.keys.deltas(unit.job_id)) == 0


def test_nothing_is_published_while_redis_is_short_of_memory(scene: Scene) -> None:
    scene.ledger.fleet.publish_limits(scene.settings)
    unit = a_unit(scene)
    scene.redis.set(scene.keys.memory(), "short")

    is_ours = publish(scene, unit, "one")

    assert is_ours
    assert published(scene, unit.job_id) == []
    scene.ledger.work.commit(unit, some_generations("one"))
    assert texts_given(scene, unit.job_id) == ["one"]


def test_streaming_jobs_and_others_are_not_claimed_together(scene: Scene) -> None:
    for is_streamed in (True, False, True, False):
        job = a_generate_job(stream=is_streamed)
        scene.submit(job, chunk=a_chunk(1), sealed=True, unit_items=8)

    claims = [scene.claim(), scene.claim()]

    kinds = [[scene.record(u.job_id).job.stream for u in claim.units] for claim in claims]
    assert kinds == [[True, True], [False, False]]


def test_a_second_attempt_goes_on_where_the_first_one_was(scene: Scene) -> None:
    first = a_unit(scene)
    publish(scene, first, "the quick", " brown")
    scene.ledger.work.release_worker("worker-a", crashed=True)
    second = scene.claim_unit("worker-b")
    stream = JobHandle(scene.ledger, first.job_id).stream()
    given = [next(stream).text, next(stream).text]

    publish(scene, second, "the ", "quick bro", "wn fox", worker="worker-b")
    given.append(next(stream).text)
    scene.ledger.work.commit(second, some_generations("the quick brown fox jumps"))
    given += [streamed.text for streamed in stream]

    assert given == ["the quick", " brown", " fox", " jumps"]


def test_a_text_with_a_delta_missing_waits_for_its_result_and_others_do_not(scene: Scene) -> None:
    unit = a_unit(scene, items=2)
    publish(scene, unit, "one ")
    publish(scene, unit, "three ", offset=8)
    scene.ledger.work.publish_deltas("worker-a", [(unit, some_deltas("else", item="item-1"))])
    stream = JobHandle(scene.ledger, unit.job_id).stream()

    given = [next(stream), next(stream)]
    scene.ledger.work.commit(unit, some_generations("one two three four", "else"))
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
    scene: Scene,
) -> None:
    job_id = scene.submit_units(40, STREAMING)
    units = [scene.claim_unit() for _ in range(40)]
    late = units[30]
    scene.ledger.work.publish_deltas(
        "worker-a", [(late, some_deltas("li", unit="30", item="item-60"))]
    )
    stream = JobHandle(scene.ledger, job_id).stream()
    begun = next(stream)

    for unit in [late, *(unit for unit in units if unit is not late)]:
        texts = ("live", "late") if unit is late else ("a", "b")
        scene.ledger.work.commit(unit, some_generations(*texts, first=2 * int(unit.name)))
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


def test_a_unit_that_was_split_is_read_as_one(scene: Scene) -> None:
    whole = a_unit(scene, items=2)
    publish(scene, whole, "on")
    parts = split_chunk(a_chunk(2))
    assert parts is not None
    scene.ledger.work.split(whole, parts)
    stream = JobHandle(scene.ledger, whole.job_id).stream()
    given = [next(stream).text]

    for at, text in enumerate(("one", "two")):
        part = scene.claim_unit()
        deltas = some_deltas(text, item=f"item-{at}", unit=part.name, attempt=part.attempt)
        scene.ledger.work.publish_deltas("worker-a", [(part, deltas)])
        given.append(next(stream).text)
        scene.ledger.work.commit(part, some_generations(text, first=at))

    assert given == ["on", "e", "two"]
    assert [(p.custom_id, p.text, p.finished is not None) for p in stream] == [
        ("item-0", "", True),
        ("item-1", "", True),
    ]


def test_what_a_cancelled_job_had_written_is_given_and_then_its_errors(scene: Scene) -> None:
    unit = a_unit(scene, items=2)
    publish(scene, unit, "one")
    scene.ledger.control.cancel(unit.job_id)

    texts = list(JobHandle(scene.ledger, unit.job_id).stream())

    assert texts[0] == StreamedText("item-0", 0, "one")
    assert [(streamed.custom_id, streamed.text) for streamed in texts[1:]] == [
        ("item-0", ""),
        ("item-1", ""),
    ]
    assert all(
        streamed.error is not None and streamed.error.code is ItemErrorCode.CANCELLED
        for streamed in texts[1:]
    )


def test_a_job_that_fails_ends_its_stream_as_it_ends_its_results(scene: Scene) -> None:
    unit = a_unit(scene)
    publish(scene, unit, "one")
    scene.ledger.work.fail_job(unit, Failure(code="plugin_fault", message="It broke."))
    given: list[StreamedText] = []

    with pytest.raises(JobFailed, match=r"It broke\."):
        given.extend(JobHandle(scene.ledger, unit.job_id).stream())

    assert [streamed.text for streamed in given] == ["one", ""]
    assert given[-1].error is not None
    with pytest.raises(JobFailed, match=r"It broke\."):
        list(JobHandle(scene.ledger, unit.job_id).results())


def test_a_text_that_comes_out_otherwise_is_warned_of(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    unit = a_unit(scene)
    publish(scene, unit, "one ")
    stream = JobHandle(scene.ledger, unit.job_id).stream()
    next(stream)

    with caplog.at_level(logging.WARNING):
        scene.ledger.work.commit(unit, some_generations("two three"))
        (last,) = stream

    assert last.finished is not None
    assert last.finished.text == "two three"
    assert f"job={unit.job_id} item=item-0 sample=0: the text that was streamed" in caplog.text


def test_what_is_no_delta_is_left_out(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    unit = a_unit(scene)
    for odd in ({"x": "y"}, {"p": "{"}, {"p": json.dumps({"unit": "0", "attempt": 0})}):
        scene.redis.xadd(scene.keys.deltas(unit.job_id), odd)
    publish(scene, unit, "one")
    scene.ledger.control.cancel(unit.job_id)

    texts = list(JobHandle(scene.ledger, unit.job_id).stream())

    assert [streamed.text for streamed in texts] == ["one", ""]
    assert caplog.text.count("were left out") == 3
