"""Placements in the ledger: one a model, bounded, and seen by whoever looks at one number."""

import pytest

from builders import a_chunk, a_classify_job
from ledger_fixtures import Environment
from seqd.errors import InvalidRequest
from seqd_schemas import MAX_PLACEMENTS, PlacementRule, queue_of

pytestmark = pytest.mark.processes


def a_rule(model: str = "topics", target: str = "kind:gpu", **fields: object) -> PlacementRule:
    known = {"model": model, "targets": (target,), "by": "ops@h1", "at_ms": 1}
    return PlacementRule.model_validate(known | fields)


def test_a_placement_stands_until_it_is_removed(environment: Environment) -> None:
    placements = environment.ledger.placements

    placed = [placements.place(a_rule()), placements.place(a_rule("moods", reason="tests"))]
    standing = placements.rules()
    removed = [placements.remove("topics"), placements.remove("topics")]

    assert (placed, removed) == ([True, True], [True, False])
    assert standing == {"moods": a_rule("moods", reason="tests"), "topics": a_rule()}
    assert list(placements.rules()) == ["moods"]


def test_a_placement_takes_the_place_of_the_one_before(environment: Environment) -> None:
    placements = environment.ledger.placements
    placements.place(a_rule())

    placements.place(a_rule(target="label:zone=a"))

    assert placements.rules() == {"topics": a_rule(target="label:zone=a")}


def test_the_version_changes_with_the_placements_and_only_with_them(
    environment: Environment,
) -> None:
    placements = environment.ledger.placements

    versions = [placements.version()]
    for change in (
        lambda: placements.place(a_rule()),
        lambda: placements.place(a_rule()),
        lambda: placements.remove("moods"),
        lambda: placements.remove("topics"),
    ):
        change()
        versions.append(placements.version())

    assert versions == [None, b"1", b"1", b"1", b"2"]


def test_more_placements_than_may_stand_are_refused(environment: Environment) -> None:
    placements = environment.ledger.placements
    for number in range(MAX_PLACEMENTS):
        placements.place(a_rule(f"m{number}"))

    with pytest.raises(InvalidRequest) as refused:
        placements.place(a_rule("one_more"))

    assert str(refused.value) == (
        "257 models would be placed; allowed: 256. Remove those that need no placement any more: "
        "`seqd models place` lists all, `seqd models place NAME --anywhere` removes one."
    )
    assert placements.place(a_rule("m0", "kind:cpu"))
    assert len(placements.rules()) == MAX_PLACEMENTS


def test_what_somebody_wrote_by_hand_is_left_out(environment: Environment, caplog) -> None:
    environment.ledger.placements.place(a_rule())
    environment.redis.hset(environment.keys.placements(), "moods", "no JSON")

    assert list(environment.ledger.placements.rules()) == ["topics"]
    assert "a PlacementRule in Redis was left out" in caplog.text


def test_queues_with_work_are_told_with_their_wait_and_whether_anybody_claims_from_them(
    environment: Environment,
) -> None:
    work, route = environment.ledger.work, "classify.imdb_lstm"
    for name in ("j1", "j2"):
        environment.ledger.submissions.submit(
            a_classify_job(), job_id=name, version=1, unit_items=1, chunk=a_chunk(1), sealed=True
        )
    asked = [queue_of(route, 1), queue_of(route, 2)]

    before, again = work.waiting_queues(asked), work.waiting_queues(asked)
    claimed = work.claim("w1", asked)
    after = work.waiting_queues(asked)

    assert claimed is not None
    assert list(before) == list(after) == [queue_of(route, 1)]
    assert before[asked[0]].mark == again[asked[0]].mark != after[asked[0]].mark
    assert 0 <= before[asked[0]].next_wait_s <= again[asked[0]].next_wait_s < 30
    assert work.waiting_queues([]) == {}
