"""The drills themselves: what is counted, how the program ends, and a run of one.

`make drills` runs them all, in `make test-long`.
"""

import pytest

from cli_builders import a_failure, a_success
from drills import __main__ as program
from drills.result import HEAD, DrillResult, counted


def a_result(**changes: float) -> DrillResult:
    counts = {"stall_s": 0.25, "lost": 0, "doubled": 0, "failed": 0}
    return DrillResult("drain", **counts | changes)  # type: ignore[arg-type]


def test_what_is_missing_came_twice_or_failed_is_counted():
    came = [a_success("row-1"), *[a_success("row-2")] * 3, a_failure("row-4")]

    result = counted("drain", ["row-1", "row-2", "row-3", "row-4"], came, 0.25)

    assert (result.items, result.lost, result.doubled, result.failed) == (4, 1, 2, 1)
    assert result.row() == "| drain | 4 | 0.2 | 1 | 2 | 1 |"


@pytest.mark.parametrize(
    ("counts", "status"),
    [
        ({}, 0),
        ({"lost": 1}, 1),
        ({"doubled": 1}, 1),
        ({"failed": 1}, 1),
        ({"stall_s": 29.9}, 0),
        ({"stall_s": 30.0}, 1),
    ],
)
def test_the_program_exits_1_where_an_item_was_lost_doubled_or_failed_or_work_stood_still(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    counts: dict[str, float],
    status: int,
):
    bad, sound = a_result(**counts), a_result()
    monkeypatch.setattr(program, "DRILLS", {"bad": lambda: bad, "sound": lambda: sound})

    assert program.main([]) == status
    assert capsys.readouterr().out == f"{HEAD}\n{bad.row()}\n{sound.row()}\n"


def test_a_drill_that_there_is_not_is_named_with_those_that_there_are(
    capsys: pytest.CaptureFixture[str],
):
    with pytest.raises(SystemExit) as ended:
        program.main(["drian"])

    assert ended.value.code == 2
    assert "no drill 'drian'; there are: failover, failover-hang, drain" in capsys.readouterr().err


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_in_a_drain_under_load_nothing_is_lost_doubled_or_failed() -> None:
    result = program.DRILLS["drain"]()

    assert result.passed, result.row()
    assert result.stall_s < program.STALL_S
    assert result.items > 400
