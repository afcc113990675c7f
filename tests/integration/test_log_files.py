"""Log files of `seqd up`: set aside while they are written to, no line lost, cut or forged."""

import sys
from pathlib import Path

import pytest

from seqd.local.child import Child
from seqd.local.log_file import LogLimits, RotatingLog, rotate_if_full
from seqd.local.redis_server import EmbeddedServer
from seqd.local.redis_watchdog import RedisWatchdog
from seqd.settings import Settings
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

#: Two processes that write 3,000 lines each, of 50 to 400 bytes, one of them past Python.
TWO_WRITERS = """
import os, sys
who = "child" if os.fork() == 0 else "parent"
for n in range(3_000):
    os.write(2, b"%s %d %s|\\n" % (who.encode(), n, b"x" * (n % 350)))
if who == "parent":
    os.wait()
"""


def run_to_its_end(script: str, log: Path, limits: LogLimits) -> Child:
    command = [sys.executable, "-I", "-S", "-c", script]
    child = Child.start("w", command, {}, log, limits)
    try:
        wait_until(child.has_ended, "the script has ended")
    finally:
        child.kill()
    return child


def test_a_log_is_set_aside_while_two_processes_write_and_no_line_is_lost_or_cut(
    tmp_path: Path,
) -> None:
    limits = LogLimits(max_bytes=64 * 1024, files=40)

    run_to_its_end(TWO_WRITERS, tmp_path / "w.log", limits)

    files = sorted(tmp_path.iterdir())
    assert len(files) > 10
    assert all(file.stat().st_size <= limits.max_bytes for file in files)
    lines = [line for file in files for line in file.read_text().splitlines()]
    written = {f"{who} {n} {'x' * (n % 350)}|" for who in ("child", "parent") for n in range(3_000)}
    assert len(lines) == 6_000 and set(lines) == written


def test_no_more_files_are_kept_than_the_operator_has_set(tmp_path: Path) -> None:
    run_to_its_end(TWO_WRITERS, tmp_path / "w.log", LogLimits(max_bytes=64 * 1024, files=3))

    assert sorted(file.name for file in tmp_path.iterdir()) == ["w.log", "w.log.1", "w.log.2"]
    assert "2999" in (tmp_path / "w.log").read_text()


def test_what_c_code_writes_reaches_the_log_with_its_control_characters_escaped(
    tmp_path: Path,
) -> None:
    script = r"""
import os
os.write(1, b"\x1b[2Jgone \xc2\x9b31m\xe2\x80\xaered \xff tab\there\r\n")
os.write(2, b"a line that does not end")
"""

    child = run_to_its_end(script, tmp_path / "w.log", LogLimits())

    assert (tmp_path / "w.log").read_text() == (
        "\\x1b[2Jgone \\x9b31m\\u202ered \\xff tab\there\\r\na line that does not end\n"
    )
    assert child.log_tail(1) == "a line that does not end"


def test_a_line_that_has_not_ended_is_in_the_log_soon(tmp_path: Path) -> None:
    script = "import os, signal; os.write(2, b'loading ...'); signal.pause()"
    child = Child.start("w", [sys.executable, "-c", script], {}, tmp_path / "w.log")
    try:
        wait_until(lambda: "loading ..." in (tmp_path / "w.log").read_text(), "it is there")
    finally:
        child.kill()


def test_what_a_full_disk_did_not_take_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "w.log"
    path.symlink_to("/dev/full")
    log = RotatingLog(path, LogLimits())

    log.write(b"lost\n")
    path.unlink()
    log.close()
    log.write(b"kept\n")

    assert path.read_text() == "seqd: 5 bytes of log are lost\nkept\n"
    log.close()


def test_one_file_alone_may_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "w.log"
    path.write_bytes(b"x" * 100)

    assert rotate_if_full(path, LogLimits(max_bytes=100, files=1))

    assert list(tmp_path.iterdir()) == []


def test_the_log_of_the_embedded_redis_is_set_aside_while_it_runs(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, max_log_bytes=64 * 1024, log_files=2)
    with EmbeddedServer(settings) as server:
        watchdog = RedisWatchdog(server, lambda change: None)
        with server.log.open("ab") as file:
            file.write(b"x" * (64 * 1024))

        def is_set_aside() -> bool:
            watchdog.look()
            return not server.log.exists()

        wait_until(is_set_aside, "it is set aside")
        server.stop()  # which it logs

    assert sorted(file.name for file in server.folder.glob("redis.log*")) == [
        "redis.log",
        "redis.log.1",
    ]
    assert "ready to exit" in server.log.read_text()
