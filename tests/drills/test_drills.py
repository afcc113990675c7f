"""The drills themselves: what is counted, how the program ends, and a run of one.

`make drills` runs them all, in `make test-long`.
"""

from pathlib import Path

import pytest

from cli_builders import a_failure, a_success
from drills import __main__ as program
from drills.result import HEAD, DrillResult, counted


def test_what_is_missing_came_twice_failed_or_came_too_early_is_counted():
    came = [a_success("row-1"), *[a_success("row-3")] * 3, a_failure("row-5"), a_success("row-2")]

    result = counted("drain", 5, [*came, a_success("row-6")], 0.25)

    assert (result.items, result.lost, result.doubled, result.failed) == (5, 1, 2, 1)
    assert result.misplaced == 2  # row-2, and row-6, which nobody has sent
    assert result.row() == "| drain | 5 | 0.2 | 1 | 2 | 3 |"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 0),
        ({"lost": 1}, 1),
        ({"doubled": 1}, 1),
        ({"failed": 1}, 1),
        ({"misplaced": 1}, 1),
        ({"stall_s": 29.9}, 0),
        ({"stall_s": 30.0}, 1),
        ({"stall_s": 30.0, "failover_s": 0.1}, 0),
    ],
)
def test_the_program_exits_1_where_an_item_was_lost_doubled_or_failed_or_work_stood_still(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, float],
    status: int,
):
    bad, sound = DrillResult(name="bad", **changes), DrillResult(name="sound", stall_s=0.25)
    monkeypatch.setattr(program, "DRILLS", {"bad": lambda _: bad, "sound": lambda _: sound})

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
def test_in_a_drain_under_load_nothing_is_lost_doubled_or_failed(tmp_path: Path) -> None:
    result = program.DRILLS["drain"](tmp_path)

    assert result.is_clean, result.row()
    assert result.stall_s < program.STALL_S
    assert result.items > 400
