"""`seqd top` on a real terminal and in a pipe, beside a real Redis."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from builders import a_catalog_entry, a_worker_status
from cli_builders import clean_environment, here
from ledger_fixtures import Environment, open_environment, publish_entries
from redis_fixtures import PrivateServer
from seqd.ledger import connect
from seqd.settings import load_settings
from top_builders import top_on_a_terminal

pytestmark = pytest.mark.processes

FULL_SCREEN, BACK = b"\x1b[?1049h", b"\x1b[?1049l"
HOSTILE = "evil\x1b[2J\x07"


@pytest.fixture
def fleet(private_server: PrivateServer) -> Iterator[Environment]:
    """A fleet of one worker with work, and one that is not heard of any more."""
    settings = load_settings(redis_url=private_server.url)
    with connect(private_server.url) as redis:
        redis.flushall()
        environment = open_environment(redis, settings)
        fleet = environment.ledger.fleet
        publish_entries(fleet, [a_catalog_entry()])
        now_ms = fleet.now_ms()
        status = a_worker_status(worker="cpu:0@here-1", versions={"imdb_lstm": (3,)})
        fleet.publish_worker(status.model_copy(update={"seen_at_ms": now_ms}), ttl_s=600)
        redis.zadd(environment.keys.workers(), {HOSTILE: now_ms})
        environment.ledger.backlog.note_rate("classify.imdb_lstm@3", 600, 1.0, 2)
        environment.submit_units(3)
        yield environment


@pytest.mark.slow
def test_keys_change_what_is_shown_and_q_gives_the_terminal_back(
    fleet: Environment, private_server: PrivateServer
) -> None:
    with top_on_a_terminal({"SEQD_REDIS_URL": private_server.url}, "--every", "0.2") as terminal:
        before = terminal.modes()
        terminal.until_shown("1 ready; 1 silent")
        assert terminal.lines()[-1].startswith("q quit")
        terminal.press("4")
        terminal.until_shown("classify  imdb_lstm@3  queued")
        terminal.press("3/cpu\r")
        terminal.until_shown("filter: cpu")
        terminal.resize(40, 12)
        terminal.until(lambda lines: lines[1] == " 1  2  3 workers  4  5", "a smaller screen")
        terminal.press("q")

        assert terminal.end() == 0
        assert terminal.modes() == before
        assert FULL_SCREEN in terminal.written
        assert terminal.written.rpartition(FULL_SCREEN)[2].count(BACK) == 1
        # Of what others have written, nothing reaches the terminal as it is.
        assert b"\x07" not in terminal.written and b"evil\x1b" not in terminal.written


@pytest.mark.slow
def test_while_redis_hangs_keys_work_and_sigterm_gives_the_terminal_back(
    fleet: Environment, private_server: PrivateServer
) -> None:
    with top_on_a_terminal({"SEQD_REDIS_URL": private_server.url}, "--every", "0.2") as terminal:
        before = terminal.modes()
        terminal.until_shown("1 ready; 1 silent")
        private_server.freeze()
        try:
            terminal.until_shown("Redis away since")
            terminal.press("2")
            terminal.until_shown("What is shown was read")
            terminal.program.send_signal(signal.SIGTERM)

            assert terminal.end() == 143
        finally:
            private_server.thaw()
        assert terminal.modes() == before
        assert terminal.written.rpartition(FULL_SCREEN)[2].count(BACK) == 1
        assert b"Traceback" not in terminal.written


@pytest.mark.slow
def test_it_goes_on_when_redis_is_back_until_ctrl_c(
    fleet: Environment, private_server: PrivateServer
) -> None:
    with top_on_a_terminal({"SEQD_REDIS_URL": private_server.url}, "--every", "0.2") as terminal:
        before = terminal.modes()
        terminal.until_shown("1 ready; 1 silent")
        private_server.freeze()
        terminal.until_shown("Redis away since")
        private_server.thaw()
        terminal.until(lambda lines: "away" not in lines[0], "it is back")
        terminal.press("\x03")

        assert terminal.end() == 130
        assert terminal.modes() == before


@pytest.mark.slow
def test_a_dumb_terminal_gets_one_look_as_text_and_is_told_why(
    fleet: Environment, private_server: PrivateServer
) -> None:
    with top_on_a_terminal(
        {"SEQD_REDIS_URL": private_server.url}, rows=40, term="dumb"
    ) as terminal:
        assert terminal.end() == 0

        assert "TERM=dumb: nothing can be drawn over, so this is one look." in terminal.lines()
        assert b"\x1b" not in terminal.written


@pytest.mark.slow
def test_a_pipe_gets_one_look_in_characters_that_it_can_take(
    fleet: Environment, private_server: PrivateServer
) -> None:
    environment = clean_environment(
        SEQD_REDIS_URL=private_server.url, PYTHONIOENCODING="ascii", NO_COLOR="1"
    )
    command = [sys.executable, "-m", "seqd", "top", "--view", "workers"]

    looked = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=True
    )

    lines = looked.stdout.splitlines()
    assert lines[2].split() == [
        "worker", "state", "units", "items/s", "heard", "of", "loaded", "child", "up",
        "host", "version",
    ]  # fmt: skip
    assert lines[3].startswith("evil\\x1b[2J\\x07  silent")
    assert lines[4].startswith("cpu:0@here-1     ready")


def test_a_server_that_is_away_at_the_begin_of_one_look_is_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQD_REDIS_URL", "redis://127.0.0.1:1/0")

    ended = here(capsys, "top", "--once")

    assert ended.status == 2
    assert ended.err.startswith("error[redis_unreachable]: No answer from Redis at 127.0.0.1:1")
