"""What people see of placements, and of what workers have in memory."""

import pytest

from builders import a_worker_status
from seqd.cli.ui.memory import memory_lines
from seqd.cli.ui.placements import print_placed, print_placements, record_of
from seqd.cli.ui.screen import Screen
from seqd_schemas import PlacementRule

RULE = PlacementRule(
    model="topics",
    targets=("kind:cpu", "label:zone=a"),
    reason="short texts",
    by="ops@h1",
    at_ms=1_000,
)
HAS_IT = {"versions": {"topics": (1,)}, "seen_at_ms": 61_000}
ON_CPU = a_worker_status(worker="w1", **HAS_IT, models_loaded=("topics@1", "imdb_lstm@0"))
ON_GPU = a_worker_status(worker="w2", slot="gpu:0", **HAS_IT)
IN_ZONE = a_worker_status(worker="w3", slot="gpu:1", labels={"zone": "a"}, **HAS_IT)
WORKERS = [ON_CPU, ON_GPU, IN_ZONE]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


def test_a_placement_is_listed_with_how_many_workers_it_means(capsys) -> None:
    print_placements(Screen(), [RULE], WORKERS, None)

    heading, row = capsys.readouterr().out.splitlines()
    assert " ".join(heading.split()) == "model where workers loaded on by since reason"
    assert " ".join(row.split()) == ("topics --on cpu --label zone=a 2 1 ops@h1 1 min short texts")


def test_where_none_is_placed_that_is_said(capsys) -> None:
    print_placements(Screen(), [], WORKERS, None)
    print_placements(Screen(), [], WORKERS, "topics")

    assert capsys.readouterr().out == (
        "No model is placed: all workers may serve all.\n"
        "topics is not placed: all workers may serve it.\n"
    )


def test_a_placement_that_nobody_can_follow_is_told_with_how_to_take_it_back(capsys) -> None:
    print_placed(Screen(), RULE, [ON_GPU])
    print_placed(Screen(), RULE, WORKERS)

    assert capsys.readouterr().out == (
        "topics is placed: --on cpu --label zone=a.\n"
        "No worker that is up serves topics there: its jobs wait until one does. `seqd models "
        "place topics --anywhere` takes that back.\n"
        "topics is placed: --on cpu --label zone=a.\n"
        "Workers: w1, w3\n"
    )


def test_a_program_gets_the_rule_and_the_workers_by_name() -> None:
    record = record_of(RULE, WORKERS)

    assert record["targets"] == ["kind:cpu", "label:zone=a"]
    assert (record["workers"], record["loaded_on"]) == (["w1", "w3"], ["w1"])


def test_a_worker_has_a_line_on_its_memory_and_one_on_what_it_leaves() -> None:
    worker = a_worker_status(
        worker="w1",
        models_loaded=("topics@1", "moods@2"),
        loaded_bytes={"topics@1": 17_300_000, "moods@2": 500},
        memory_budget_bytes=20_000_000,
        left_out=tuple(f"m{number:02}" for number in range(18)),
    )

    listed = ", ".join(f"m{number:02}" for number in range(16))
    assert memory_lines(worker) == [
        "w1 has loaded topics@1 17.3 MB, moods@2 500 B: 17.3 MB of 20.0 MB",
        f"w1 leaves {listed} and 2 more to other workers (`seqd models place`)",
    ]
    assert memory_lines(a_worker_status(models_loaded=("topics@1",))) == []
    assert memory_lines(a_worker_status(tasks=("train",), left_out=("topics",))) == []
