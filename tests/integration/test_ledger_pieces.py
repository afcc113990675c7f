"""Pieces of texts: whoever holds the unit may publish them, they are bounded, and they go again."""

import itertools
import json
import logging

import pytest

from builders import a_chunk, a_generate_job, some_generations, some_pieces
from ledger_fixtures import Environment
from seqd.client import JobHandle, Piece
from seqd.errors import JobFailed
from seqd.ledger.chunking import halves_of
from seqd.ledger.units import Unit
from seqd_schemas import Failure, ItemErrorCode, TextPieces

pytestmark = pytest.mark.processes

STREAMING = a_generate_job(stream=True)


def a_unit(environment: Environment, items: int = 1, **changes: object) -> Unit:
    """A streaming unit that worker-a has begun."""
    request = a_generate_job(stream=True, **changes)
    environment.submit(request, chunk=a_chunk(items), sealed=True)
    return environment.claim_unit()


def tell(
    environment: Environment, unit: Unit, *texts: str, offset: int = 0, worker: str = "worker-a"
) -> bool:
    """Publish texts that go on from each other, each as an entry; False when it is not ours."""
    offsets = itertools.accumulate(map(len, texts), initial=offset)
    return all(
        environment.ledger.work.publish_pieces(
            worker, [(unit, some_pieces(text, offset=at, attempt=unit.attempt))]
        )[0]
        for text, at in zip(texts, offsets, strict=False)
    )


def told(environment: Environment, job_id: str) -> list[str]:
    """Give the text of each entry that is kept."""
    entries = environment.redis.xrange(environment.keys.pieces(job_id))
    pieces = [TextPieces.model_validate_json(fields[b"p"]) for _, fields in entries]
    return ["".join(piece.text for piece in entry.pieces) for entry in pieces]


def texts_given(environment: Environment, job_id: str) -> list[str]:
    """Read a job's stream to its end; gives the texts of its pieces."""
    return [piece.text for piece in JobHandle(environment.ledger, job_id).stream()]


def test_only_the_attempt_that_holds_the_unit_goes_on_with_its_text(
    environment: Environment,
) -> None:
    zombie = a_unit(environment)
    assert tell(environment, zombie, "one")
    environment.ledger.work.release("worker-a", crashed=True)
    current = environment.claim_unit("worker-b")

    answers = environment.ledger.work.publish_pieces(
        "worker-a", [(zombie, some_pieces("no")), (current, some_pieces("two", attempt=2))]
    )

    assert answers == [False, True]
    assert told(environment, current.job_id) == ["one", "two"]


def test_nobody_goes_on_with_a_text_whose_job_has_ended(environment: Environment) -> None:
    unit = a_unit(environment)
    environment.ledger.control.cancel(unit.job_id)

    assert not tell(environment, unit, "one")
    assert told(environment, unit.job_id) == []


def test_the_oldest_pieces_go_when_there_are_too_many_bytes(environment: Environment) -> None:
    small = environment.with_settings(max_stream_bytes=1_024)
    unit = a_unit(small)

    tell(small, unit, *("x" * 100 for _ in range(20)), "the last")

    kept = told(small, unit.job_id)
    entries = environment.redis.xrange(environment.keys.pieces(unit.job_id))
    assert 2 <= len(kept) < 6
    assert kept[-1] == "the last"
    assert sum(len(fields[b"p"]) + 64 for _, fields in entries) <= 1_024


def test_tiny_pieces_are_bounded_in_number(environment: Environment) -> None:
    small = environment.with_settings(max_stream_bytes=4_096)
    unit = a_unit(small)

    tell(small, unit, *"abcdefghij" * 20)

    assert len(told(small, unit.job_id)) < 4_096 / 64


def test_one_piece_larger_than_the_bound_stands_alone(environment: Environment) -> None:
    small = environment.with_settings(max_stream_bytes=1_024)
    unit = a_unit(small)

    tell(small, unit, "one", "x" * 5_000)

    assert told(small, unit.job_id) == ["x" * 5_000]


def test_pieces_are_counted_anew_when_their_time_has_passed(environment: Environment) -> None:
    small = environment.with_settings(max_stream_bytes=1_024)
    unit = a_unit(small)
    tell(small, unit, "x" * 900)
    environment.redis.delete(environment.keys.pieces(unit.job_id))

    tell(small, unit, "a", "b", "c")

    assert told(small, unit.job_id) == ["a", "b", "c"]


def test_pieces_go_when_the_job_completes(environment: Environment) -> None:
    unit = a_unit(environment)
    tell(environment, unit, "one")

    environment.ledger.commits.one(unit, some_generations("one"))

    assert environment.redis.exists(environment.keys.pieces(unit.job_id)) == 0


@pytest.mark.parametrize(("ttl_s", "longest_s"), [(60, 60), (7 * 24 * 3_600, 3_600)])
def test_pieces_of_a_job_that_ends_early_have_a_time_to_live(
    environment: Environment, ttl_s: int, longest_s: int
) -> None:
    unit = a_unit(environment, results_ttl_s=ttl_s)
    tell(environment, unit, "one")
    while_it_runs_s = environment.redis.ttl(environment.keys.pieces(unit.job_id))

    environment.ledger.control.cancel(unit.job_id)

    assert 0 < while_it_runs_s <= 3_600
    assert 0 < environment.redis.ttl(environment.keys.pieces(unit.job_id)) <= longest_s


def test_pieces_go_with_their_job(environment: Environment) -> None:
    unit = a_unit(environment)
    tell(environment, unit, "one")
    environment.ledger.control.cancel(unit.job_id)

    environment.ledger.control.remove(unit.job_id)

    assert environment.redis.exists(environment.keys.pieces(unit.job_id)) == 0


def test_nothing_is_published_while_redis_is_short_of_memory(environment: Environment) -> None:
    environment.ledger.fleet.publish_limits(environment.settings)
    unit = a_unit(environment)
    environment.redis.set(environment.keys.memory(), "short")

    is_ours = tell(environment, unit, "one")

    assert is_ours
    assert told(environment, unit.job_id) == []
    environment.ledger.commits.one(unit, some_generations("one"))
    assert texts_given(environment, unit.job_id) == ["one"]


def test_streaming_jobs_and_others_are_not_claimed_together(environment: Environment) -> None:
    for is_streamed in (True, False, True, False):
        job = a_generate_job(stream=is_streamed)
        environment.submit(job, chunk=a_chunk(1), sealed=True, unit_items=8)

    claims = [environment.claim(), environment.claim()]

    kinds = [[environment.record(u.job_id).job.stream for u in claim.units] for claim in claims]
    assert kinds == [[True, True], [False, False]]


def test_a_second_attempt_goes_on_where_the_first_one_was(environment: Environment) -> None:
    first = a_unit(environment)
    tell(environment, first, "the quick", " brown")
    environment.ledger.work.release("worker-a", crashed=True)
    second = environment.claim_unit("worker-b")
    stream = JobHandle(environment.ledger, first.job_id).stream()
    given = [next(stream).text, next(stream).text]

    tell(environment, second, "the ", "quick bro", "wn fox", worker="worker-b")
    given.append(next(stream).text)
    environment.ledger.commits.one(second, some_generations("the quick brown fox jumps"))
    given += [piece.text for piece in stream]

    assert given == ["the quick", " brown", " fox", " jumps"]


def test_a_text_with_a_piece_missing_waits_for_its_result_and_others_do_not(
    environment: Environment,
) -> None:
    unit = a_unit(environment, items=2)
    tell(environment, unit, "one ")
    tell(environment, unit, "three ", offset=8)
    environment.ledger.work.publish_pieces("worker-a", [(unit, some_pieces("else", item="item-1"))])
    stream = JobHandle(environment.ledger, unit.job_id).stream()

    given = [next(stream), next(stream)]
    environment.ledger.commits.one(unit, some_generations("one two three four", "else"))
    rest = list(stream)

    assert [(piece.custom_id, piece.text) for piece in given + rest] == [
        ("item-0", "one "),
        ("item-1", "else"),
        ("item-0", "two three four"),
        ("item-1", ""),
    ]
    assert [piece.finished is not None for piece in given + rest] == [False, False, True, True]


def test_a_unit_that_is_done_out_of_turn_is_given_before_those_that_have_not_begun(
    environment: Environment,
) -> None:
    job_id = environment.submit_units(40, STREAMING)
    units = [environment.claim_unit() for _ in range(40)]
    late = units[30]
    environment.ledger.work.publish_pieces(
        "worker-a", [(late, some_pieces("li", unit="30", item="item-60"))]
    )
    stream = JobHandle(environment.ledger, job_id).stream()
    begun = next(stream)

    for unit in [late, *(unit for unit in units if unit is not late)]:
        texts = ("live", "late") if unit is late else ("a", "b")
        environment.ledger.commits.one(unit, some_generations(*texts, first=2 * int(unit.name)))
    rest = list(stream)

    names = [piece.custom_id for piece in rest]
    assert sorted(names) == sorted(f"item-{at}" for at in range(80))
    # Those of the first look, and what had begun; then the others in their turn.
    assert names[:32] == [f"item-{at}" for at in range(32)]
    assert [(piece.custom_id, piece.text) for piece in (begun, *rest[32:34])] == [
        ("item-60", "li"),
        ("item-60", "ve"),
        ("item-61", "late"),
    ]
    assert names[34:36] == ["item-32", "item-33"]


def test_a_unit_that_was_split_is_read_as_one(environment: Environment) -> None:
    whole = a_unit(environment, items=2)
    tell(environment, whole, "on")
    halves = halves_of(a_chunk(2))
    assert halves is not None
    environment.ledger.work.split(whole, halves)
    stream = JobHandle(environment.ledger, whole.job_id).stream()
    given = [next(stream).text]

    for at, text in enumerate(("one", "two")):
        part = environment.claim_unit()
        pieces = some_pieces(text, item=f"item-{at}", unit=part.name, attempt=part.attempt)
        environment.ledger.work.publish_pieces("worker-a", [(part, pieces)])
        given.append(next(stream).text)
        environment.ledger.commits.one(part, some_generations(text, first=at))

    assert given == ["on", "e", "two"]
    assert [(p.custom_id, p.text, p.finished is not None) for p in stream] == [
        ("item-0", "", True),
        ("item-1", "", True),
    ]


def test_what_a_cancelled_job_had_written_is_given_and_then_its_errors(
    environment: Environment,
) -> None:
    unit = a_unit(environment, items=2)
    tell(environment, unit, "one")
    environment.ledger.control.cancel(unit.job_id)

    pieces = list(JobHandle(environment.ledger, unit.job_id).stream())

    assert pieces[0] == Piece("item-0", 0, "one")
    assert [(piece.custom_id, piece.text) for piece in pieces[1:]] == [
        ("item-0", ""),
        ("item-1", ""),
    ]
    assert all(
        piece.error is not None and piece.error.code is ItemErrorCode.CANCELLED
        for piece in pieces[1:]
    )


def test_a_job_that_fails_ends_its_stream_as_it_ends_its_results(environment: Environment) -> None:
    unit = a_unit(environment)
    tell(environment, unit, "one")
    environment.ledger.work.fail_job(unit, Failure(code="plugin_fault", message="It broke."))
    given: list[Piece] = []

    with pytest.raises(JobFailed, match=r"It broke\."):
        given.extend(JobHandle(environment.ledger, unit.job_id).stream())

    assert [piece.text for piece in given] == ["one", ""]
    assert given[-1].error is not None
    with pytest.raises(JobFailed, match=r"It broke\."):
        list(JobHandle(environment.ledger, unit.job_id).results())


def test_a_text_that_comes_out_otherwise_is_told(
    environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    unit = a_unit(environment)
    tell(environment, unit, "one ")
    stream = JobHandle(environment.ledger, unit.job_id).stream()
    next(stream)

    with caplog.at_level(logging.WARNING):
        environment.ledger.commits.one(unit, some_generations("two three"))
        (last,) = stream

    assert last.finished is not None
    assert last.finished.text == "two three"
    assert f"job={unit.job_id} item=item-0 sample=0: the text that was streamed" in caplog.text


def test_what_is_no_piece_is_left_out(
    environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    unit = a_unit(environment)
    for odd in ({"x": "y"}, {"p": "{"}, {"p": json.dumps({"unit": "0", "attempt": 0})}):
        environment.redis.xadd(environment.keys.pieces(unit.job_id), odd)
    tell(environment, unit, "one")
    environment.ledger.control.cancel(unit.job_id)

    pieces = list(JobHandle(environment.ledger, unit.job_id).stream())

    assert [piece.text for piece in pieces] == ["one", ""]
    assert caplog.text.count("were left out") == 3
