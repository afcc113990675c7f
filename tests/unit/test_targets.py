"""Whom a rule means, what is left without some workers, and how a worker's state is told."""

import pytest

from builders import a_worker_status
from seqd.serving import is_listening, only_there, shown_state
from seqd.targets import Place, drain_for, is_meant, option_of, rule_for
from seqd_schemas import Cordon, CordonAction, CordonRule, UnfitVersion, WorkerState

PLACE = Place("w1", "train@gpu:0", "host7", {"pool": "a", "example.org/zone": "b"})


def a_rule(target: str, action: str = "cordon", at_ms: int = 1) -> CordonRule:
    return CordonRule(target=target, action=CordonAction(action), at_ms=at_ms)


def a_worker(name: str, **fields: object):
    known = {"tasks": ("classify", "train"), "versions": {"echo": (1, 2)}}
    return a_worker_status(worker=name, **known | fields)


@pytest.mark.parametrize(
    ("target", "means"),
    [
        ("worker:w1", True),
        ("worker:w", False),
        ("slot:train@gpu:0@host7", True),
        ("slot:gpu:0@host7", False),
        ("host:host7", True),
        ("host:host", False),
        ("label:pool=a", True),
        ("label:pool=b", False),
        ("label:example.org/zone=b", True),
        ("label:rack=", False),
        ("kind:gpu", True),
        ("kind:cpu", False),
        ("later:host7", False),
    ],
)
def test_a_target_means_a_worker_by_its_exact_name_slot_host_or_label(target, means):
    assert is_meant(PLACE, target) is means


def test_a_drain_goes_before_a_cordon_and_a_restart_keeps_nobody():
    rules = [
        a_rule("host:host7", "restart"),
        a_rule("host:host7", "cordon", 1),
        a_rule("worker:w1", "drain", 2),
        a_rule("host:elsewhere", "drain", 0),
    ]

    assert rule_for(rules, PLACE) == drain_for(rules, PLACE) == rules[2]
    assert rule_for(rules[:2], PLACE) == rules[1]
    assert drain_for(rules[:2], PLACE) is None
    assert rule_for(rules[:1], PLACE) is None


def test_a_target_is_written_as_it_is_typed():
    targets = ("host:h", "label:pool=a", "slot:gpu:0@h", "worker:w")

    assert [option_of(one) for one in targets] == ["--host h", "--label pool=a", "gpu:0@h", "w"]


def test_what_only_some_workers_can_run_is_named_with_its_versions():
    workers = [
        a_worker("a", versions={"echo": (1, 2), "own": (1,)}),
        a_worker("b", tasks=("classify",), versions={"echo": (1,)}),
        a_worker("c", state=WorkerState.DRAINING),
    ]

    assert only_there(workers, {"a"}) == [
        ("classify", "echo", (2,)),
        ("classify", "own", (1,)),
        ("train", "echo", ()),
        ("train", "own", ()),
    ]
    assert only_there(workers, {"b"}) == []
    assert only_there(workers, {"c"}) == []


@pytest.mark.parametrize(
    ("fields", "shown", "listens"),
    [
        ({}, "ready", True),
        ({"state": WorkerState.BUSY}, "busy", True),
        ({"state": WorkerState.STARTING}, "starting", False),
        ({"versions": {"echo": ()}, "tasks": ("classify",), "unfit": True}, "unfit", True),
        ({"unfit": True}, "ready", True),
        ({"state": WorkerState.DRAINING}, "draining", False),
        ({"state": WorkerState.DRAINING, "cordon": "cordoned"}, "cordoned", True),
        ({"state": WorkerState.DRAINING, "cordon": "drained"}, "drained", False),
        ({"state": WorkerState.DRAINING, "cordon": "later_word"}, "later_word", False),
    ],
)
def test_a_workers_state_is_told_by_what_keeps_it_from_claiming(fields, shown, listens):
    if fields.get("unfit"):
        unfit = UnfitVersion(model="echo", version=3, code="missing", since_ms=1)
        fields = fields | {"unfit": (unfit,)}
    if "cordon" in fields:
        fields = fields | {"cordon": Cordon(phase=fields["cordon"], since_ms=1)}
    worker = a_worker("w1", **fields)

    assert shown_state(worker) == shown
    assert is_listening(worker) is listens
