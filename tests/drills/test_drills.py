"""The drills themselves: what is counted, how the program ends, and a run of each.

`failover` and `failover-hang` are run by `integration/test_redis_sentinel.py`.
"""

import pytest

from cli_builders import a_failure, a_success
from drills import __main__ as program
from drills.result import HEAD, DrillResult, counted

SENTINEL = {"failover", "failover-hang"}

#: Far more than any of them takes on a busy machine, and far less than a lease (60 s).
STALL_S = 15.0


def a_result(**counts: int) -> DrillResult:
    return DrillResult("drain", stall_s=0.25, **{"lost": 0, "doubled": 0, "failed": 0} | counts)


def test_what_is_missing_came_twice_or_failed_is_counted():
    came = [a_success("row-1"), *[a_success("row-2")] * 3, a_failure("row-4")]

    result = counted("drain", ["row-1", "row-2", "row-3", "row-4"], came, 0.25)

    assert (result.items, result.lost, result.doubled, result.failed) == (4, 1, 2, 1)
    assert result.row() == "| drain | 4 | 0.2 | 1 | 2 | 1 |"


@pytest.mark.parametrize(
    ("counts", "status"), [({}, 0), ({"lost": 1}, 1), ({"doubled": 1}, 1), ({"failed": 1}, 1)]
)
def test_the_program_exits_1_where_an_item_was_lost_doubled_or_failed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    counts: dict[str, int],
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
@pytest.mark.parametrize("name", sorted(program.DRILLS.keys() - SENTINEL))
def test_nothing_is_lost_doubled_or_failed(name: str):
    result = program.DRILLS[name]()

    assert (result.lost, result.doubled, result.failed) == (0, 0, 0), result.row()
    assert result.items > 400
    assert result.stall_s < STALL_S
