"""What is said of workers' processes that have died."""

import pytest

from seqd.cli.ui.deaths import death_lines, log_told, print_deaths
from seqd.cli.ui.screen import Screen
from seqd_schemas import MAX_DEATHS, ChildDeath, DeathCause, Log, WorkerState, WorkerStatus

NOW_MS = 10_000_000


def a_worker(*deaths: ChildDeath) -> WorkerStatus:
    return WorkerStatus(
        worker="cpu:0@host-ab12",
        slot="cpu:0",
        tasks=("classify",),
        host="host",
        pid=1,
        state=WorkerState.READY,
        plugins=(),
        seqd_version="0.3.0",
        started_at_ms=1,
        seen_at_ms=NOW_MS,
        deaths=deaths,
    )


def died(
    seconds_ago: int, cause: DeathCause = DeathCause.EXIT, message: str = "It exited."
) -> ChildDeath:
    return ChildDeath(at_ms=NOW_MS - 1_000 * seconds_ago, cause=cause, message=message, pid=7)


def lines_of(*deaths: ChildDeath) -> list[str]:
    return list(death_lines(a_worker(*deaths), NOW_MS))


def test_a_death_is_told_of_for_an_hour() -> None:
    assert lines_of(died(3_599)) == [
        "cpu:0@host-ab12 died once in the last hour, last exit 59 min ago: It exited."
    ]
    assert lines_of(died(3_601)) == []
    assert lines_of() == []


def test_several_deaths_are_one_line_with_the_last_of_them() -> None:
    deaths = (
        died(4_000),
        died(3_000, DeathCause.SIGNAL, "It was ended."),
        died(180, DeathCause.OUT_OF_MEMORY, "Memory was used up."),
    )

    assert lines_of(*deaths) == [
        "cpu:0@host-ab12 died 2 times in the last hour, last out_of_memory 3 min ago: "
        "Memory was used up."
    ]


@pytest.mark.parametrize(
    ("count", "said"), [(3, "3 times"), (MAX_DEATHS, f"at least {MAX_DEATHS} times")]
)
def test_three_deaths_within_ten_minutes_are_a_crash_loop(count: int, said: str) -> None:
    deaths = [died(10 * (count - number)) for number in range(count)]

    assert lines_of(*deaths) == [
        f"cpu:0@host-ab12 is in a crash loop: it died {said} in the last 10 min, last exit 10 s "
        "ago: It exited."
    ]


def test_no_control_character_of_a_message_reaches_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_deaths(Screen(), [a_worker(died(5, message="a\x1b[2J\u202eb"))], NOW_MS)

    assert capsys.readouterr().out == (
        "\ncpu:0@host-ab12 died once in the last hour, last exit 5 s ago: a\\x1b[2J\\u202eb\n"
    )


def test_an_event_of_a_death_names_the_worker_and_the_cause() -> None:
    event = Log(job_id="j1", at_ms=1, level="warning", message="It hung.")
    death = event.model_copy(update={"cause": DeathCause.HANG, "worker": "w1"})

    assert log_told(event) == "It hung."
    assert log_told(death) == "w1 died, hang: It hung."
