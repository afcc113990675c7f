"""Which models a worker serves and keeps, by its settings and by placements."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.targets import Place, is_placed_on, serves_model
from seqd.worker.placement import Placement
from seqd_schemas import PlacementRule

PLACE = Place("w1", "all@gpu:0", "host7", {"zone": "a"})

TARGETS = ("kind:gpu", "kind:cpu", "host:host7", "host:host8", "label:zone=a", "worker:w2")
HERE = {"kind:gpu", "host:host7", "label:zone=a"}


def a_rule(*targets: str, model: str = "topics", **fields: object) -> PlacementRule:
    known = {"model": model, "targets": targets, "at_ms": 1}
    return PlacementRule.model_validate(known | fields)


class Rules:
    """The placements that stand."""

    def __init__(self, *rules: PlacementRule) -> None:
        self.stand = {rule.model: rule for rule in rules}

    def rules(self) -> dict[str, PlacementRule]:
        return self.stand


def a_placement(
    *rules: PlacementRule, served: tuple[str, ...] = (), required: tuple[str, ...] = ()
) -> Placement:
    placement = Placement(PLACE, served, required, Rules(*rules))
    placement.look()
    return placement


@given(
    targets=st.lists(st.sampled_from(TARGETS), min_size=1, max_size=6),
    served=st.sets(st.sampled_from(("topics", "moods"))),
)
def test_both_the_setting_and_one_target_of_the_rule_have_to_allow_a_model(targets, served):
    rule = a_rule(*targets)
    by_setting = not served or "topics" in served

    assert is_placed_on(rule, PLACE) is bool(HERE & set(targets))
    assert serves_model("topics", served, {"topics": rule}, PLACE) is (
        by_setting and bool(HERE & set(targets))
    )
    assert serves_model("topics", served, {"moods": rule}, PLACE) is by_setting


@pytest.mark.parametrize(
    ("placement", "serves", "keeps"),
    [
        (a_placement(), True, False),
        (a_placement(served=("topics",)), True, True),
        (a_placement(served=("moods",)), False, False),
        (a_placement(required=("topics",)), True, True),
        (a_placement(a_rule("kind:gpu")), True, True),
        (a_placement(a_rule("kind:cpu")), False, False),
        (a_placement(a_rule("kind:cpu"), served=("topics",)), False, False),
        (a_placement(a_rule("kind:gpu"), served=("moods",)), False, False),
    ],
)
def test_what_a_worker_is_to_serve_by_name_it_keeps(placement, serves, keeps):
    assert (placement.serves("topics"), placement.is_kept("topics")) == (serves, keeps)


def test_a_change_is_told_once(caplog):
    caplog.set_level(logging.INFO)
    rules = Rules()
    placement = Placement(PLACE, (), (), rules)

    looks = [placement.look(), placement.look()]
    rules.stand = {"topics": a_rule("kind:gpu", "label:zone=a", by="ops@h1", reason="fast")}
    looks += [placement.look(), placement.look()]
    rules.stand = {}
    looks += [placement.look(), placement.look()]

    assert looks == [False, False, True, False, True, False]
    assert [record.getMessage() for record in caplog.records] == [
        "placed model=topics: --on gpu --label zone=a by ops@h1: fast",
        "placed model=topics: anywhere",
    ]
