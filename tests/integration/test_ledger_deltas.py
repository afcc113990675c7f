"""Text deltas: a reader makes whole texts of them.

Who may publish them, and which are kept of a job in any walk, says `tests/model`.
"""

import itertools
import json

import pytest

from builders import a_chunk, a_generate_job, some_deltas, some_generations
from ledger_fixtures import Environment
from seqd.client import StreamedText
from seqd.errors import JobFailed
from seqd.ledger.blobs import split_chunk
from seqd.ledger.units import Unit
from seqd_schemas import Failure, ItemErrorCode

pytestmark = pytest.mark.processes


def a_unit(environment: Environment, items: int = 1, **changes: object) -> Unit:
    """A streaming unit that worker-a has begun."""
    request = a_generate_job(stream=True, **changes)
    environment.submit(request, chunk=a_chunk(items), sealed=True)
    return environment.claim_unit()


def publish(environment: Environment, unit: Unit, *texts: str, offset: int = 0) -> bool:
    """Publish texts that go on from each other, each as an entry; False when it is not ours."""
    offsets = itertools.accumulate(map(len, texts), initial=offset)
    return all(
        environment.ledger.work.publish_deltas(
            unit.worker, [(unit, some_deltas(text, offset=at, attempt=unit.attempt))]
        )[0]
        for text, at in zip(texts, offsets, strict=False)
    )


def stream_of(environment: Environment, unit: Unit):
    return environment.handle(unit.job_id).stream()


def shown(texts: list[StreamedText]) -> list[tuple[str, str, bool]]:
    """Return of each text its item, what it says, and whether it ends the item."""
    return [(one.custom_id, one.text, one.finished is not None) for one in texts]


def test_a_second_attempt_goes_on_where_the_first_one_was(environment: Environment) -> None:
    first = a_unit(environment)
    publish(environment, first, "the quick", " brown")
    environment.ledger.work.release_worker("worker-a", crashed=True)
    second = environment.claim_unit("worker-b")
    stream = stream_of(environment, first)
    given = [next(stream).text, next(stream).text]

    late = publish(environment, first, " late", offset=15)
    publish(environment, second, "the ", "quick bro", "wn fox")
    given.append(next(stream).text)
    environment.ledger.work.commit(second, some_generations("the quick brown fox jumps"))
    given += [streamed.text for streamed in stream]

    assert not late
    assert given == ["the quick", " brown", " fox", " jumps"]


def test_a_text_with_a_delta_missing_waits_for_its_result_and_others_do_not(
    environment: Environment,
) -> None:
    unit = a_unit(environment, items=2)
    publish(environment, unit, "one ")
    publish(environment, unit, "three ", offset=8)
    environment.ledger.work.publish_deltas("worker-a", [(unit, some_deltas("else", item="item-1"))])
    stream = stream_of(environment, unit)

    given = [next(stream), next(stream)]
    environment.ledger.work.commit(unit, some_generations("one two three four", "else"))

    assert shown([*given, *stream]) == [
        ("item-0", "one ", False),
        ("item-1", "else", False),
        ("item-0", "two three four", True),
        ("item-1", "", True),
    ]


def test_a_unit_that_is_done_out_of_turn_is_given_before_those_that_have_not_begun(
    environment: Environment,
) -> None:
    environment.submit_units(40, a_generate_job(stream=True))
    units = [environment.claim_unit() for _ in range(40)]
    late = units[30]
    environment.ledger.work.publish_deltas(
        "worker-a", [(late, some_deltas("li", unit="30", item="item-60"))]
    )
    stream = stream_of(environment, late)
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
    stream = stream_of(environment, whole)
    given = [next(stream).text]

    for at, text in enumerate(("one", "two")):
        part = environment.claim_unit()
        deltas = some_deltas(text, item=f"item-{at}", unit=part.name, attempt=part.attempt)
        environment.ledger.work.publish_deltas("worker-a", [(part, deltas)])
        given.append(next(stream).text)
        environment.ledger.work.commit(part, some_generations(text, first=at))

    assert given == ["on", "e", "two"]
    assert shown(list(stream)) == [("item-0", "", True), ("item-1", "", True)]


def test_what_a_cancelled_job_had_written_is_given_and_then_its_errors(
    environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    unit = a_unit(environment, items=2)
    for odd in ({"x": "y"}, {"d": "{"}, {"d": json.dumps({"unit": "0", "attempt": 0})}):
        environment.redis.xadd(environment.keys.deltas(unit.job_id), odd)  # by hand
    publish(environment, unit, "one")
    environment.ledger.control.cancel(unit.job_id)

    first, *rest = stream_of(environment, unit)

    assert first == StreamedText("item-0", 0, "one")
    assert [(one.custom_id, one.text, one.error and one.error.code) for one in rest] == [
        ("item-0", "", ItemErrorCode.CANCELLED),
        ("item-1", "", ItemErrorCode.CANCELLED),
    ]
    assert caplog.text.count("were left out") == 3


def test_a_job_that_fails_ends_its_stream_as_it_ends_its_results(environment: Environment) -> None:
    unit = a_unit(environment)
    publish(environment, unit, "one")
    environment.ledger.work.fail_job(unit, Failure(code="plugin_fault", message="It broke."))
    given: list[StreamedText] = []

    with pytest.raises(JobFailed, match=r"It broke\."):
        given.extend(stream_of(environment, unit))

    assert [streamed.text for streamed in given] == ["one", ""]
    assert given[-1].error is not None
    with pytest.raises(JobFailed, match=r"It broke\."):
        list(environment.handle(unit.job_id).results())
