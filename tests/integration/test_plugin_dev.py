"""`seqd plugins dev`: changes of a plugin's files are served, and no fault ends a session."""

import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyte
import pytest

from authoring_builders import PLUGIN, write_plugin
from checkout import python_path
from cli_builders import Ended, clean_environment
from plugin_folders import install_plugin
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

DEADLINE_S = 30.0


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    return write_plugin(tmp_path / "seqd-hello")


class PipedSession:
    """A session that reads a pipe; what it says to people is in a file."""

    def __init__(self, plugin: Path) -> None:
        self._said = plugin.parent / "said.txt"
        with self._said.open("w") as said:
            self.program = subprocess.Popen(
                [sys.executable, "-m", "seqd", "plugins", "dev", str(plugin)],
                env=clean_environment(SEQD_DATA_DIR=str(plugin.parent / "data")),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                bufsize=1,
            )

    def give(self, line: str) -> None:
        assert self.program.stdin is not None
        self.program.stdin.write(f"{line}\n")

    def label_of(self, text: str) -> object:
        self.give(text)
        assert self.program.stdout is not None
        return json.loads(self.program.stdout.readline())["output"]["label"]

    def said(self) -> str:
        return self._said.read_text()

    def wait_until_said(self, words: str, times: int = 1) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while self.said().count(words) < times:
            assert self.program.poll() is None, self.said()
            assert time.monotonic() < deadline, f"{words!r} never came: {self.said()}"
            time.sleep(0.02)


@contextmanager
def a_session(plugin: Path) -> Iterator[PipedSession]:
    """Run a session until the block ends; its input then ends, and so does the session."""
    session = PipedSession(plugin)
    try:
        yield session
        session.program.communicate(timeout=DEADLINE_S)
    finally:
        session.program.kill()
        session.program.wait()
    assert session.program.returncode == 0, session.said()


def write(plugin: Path, old: str, new: str) -> None:
    """Write the plugin with a change, at once: half a file may be loaded, too."""
    made = plugin / "seqd_hello.tmp"
    made.write_text(PLUGIN.replace(old, new))
    made.replace(plugin / "seqd_hello.py")


def test_a_change_of_a_file_is_served(plugin):
    with a_session(plugin) as session:
        before = session.label_of("a")
        write(plugin, 'default="hello"', 'default="hallo"')
        session.wait_until_said("after seqd_hello.py changed: hello@0, plugin hello of seqd-hello")

        assert (before, session.label_of("a")) == ("hello", "hallo")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["import time", "return LoadedHello()"])
def test_sigterm_ends_a_session_and_what_its_plugin_has_started(plugin, place):
    started = (
        "import subprocess; print('beside', subprocess.Popen(['sleep', '60']).pid, flush=True)"
    )
    # In the first case it is being loaded, in the second it waits for a line.
    if place == "import time":
        write(plugin, place, f"import time; {started}; time.sleep(60)")
    else:
        write(plugin, place, f"{started}; {place}")
    session = PipedSession(plugin)
    try:
        session.wait_until_said("beside")
        if place != "import time":
            session.wait_until_said("A line is a text for classify")
        session.program.send_signal(signal.SIGTERM)
        status = session.program.wait(DEADLINE_S)
    finally:
        session.program.kill()
        session.program.communicate()

    beside = session.said().partition("beside ")[2].split()[0]
    assert status == 128 + signal.SIGTERM, session.said()
    wait_until(lambda: not Path(f"/proc/{beside}/exe").exists(), "what the plugin started is gone")


@pytest.mark.slow
def test_serving_takes_nothing_that_is_for_the_prompt(tmp_path, plugin):
    ended = subprocess.run(
        [sys.executable, "-m", "seqd", "plugins", "dev", str(plugin), "--serve", "--bench"],
        env=clean_environment(SEQD_DATA_DIR=str(tmp_path / "data")),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (
        2,
        "error[invalid_request]: --serve goes without a task, -p, --bench and --texts: it serves "
        "the jobs of other programs. Leave one of both away.\n",
    )


@pytest.mark.slow
def test_a_plugin_that_is_broken_serves_nothing_until_it_is_mended(plugin):
    with a_session(plugin) as session:
        session.label_of("a")
        write(plugin, "class Hello(Model):", "class Hello(Model:")
        session.wait_until_said("Nothing serves until that is mended")
        session.give("a")
        session.wait_until_said("error[plugin_fault]: the plugin 'hello' is broken", times=2)
        write(plugin, 'default="hello"', 'default="again"')
        session.wait_until_said("after seqd_hello.py changed: hello@0")

        assert session.label_of("a") == "again"
        line = 1 + PLUGIN.splitlines().index("class Hello(Model):")
        assert f'File "{plugin / "seqd_hello.py"}", line {line}\n' in session.said()
        assert "SyntaxError: invalid syntax" in session.said()


@pytest.mark.slow
def test_ctrl_c_ends_a_call_and_kills_what_does_not_obey(plugin):
    with a_session(plugin) as session:
        session.label_of("a")
        session.give("wait")
        session.wait_until_said("waiting")
        session.program.send_signal(signal.SIGINT)
        session.wait_until_said("error[stopped]: The call was stopped.")
        session.give("hang")
        session.wait_until_said("hanging")
        began = time.monotonic()
        session.program.send_signal(signal.SIGINT)
        session.wait_until_said("it did not stop within 2 s of Ctrl-C")

        assert 1.5 < time.monotonic() - began < DEADLINE_S
        assert f'File "{plugin / "seqd_hello.py"}", line ' in session.said()
        assert session.label_of("b") == "hello"


@pytest.mark.slow
def test_a_plugin_that_waits_for_a_processor_is_killed_once_it_has_said_where_it_stands(plugin):
    write(plugin, 'print("hanging")', 'print(f"hanging in {os.getpid()}.")')
    with a_session(plugin) as session:
        session.label_of("a")
        session.give("hang")
        wait_until(lambda: re.search(r"hanging in \d+\.", session.said()) is not None, "it hangs")
        pid = int(session.said().partition("hanging in ")[2].partition(".")[0])
        os.kill(pid, signal.SIGSTOP)
        session.program.send_signal(signal.SIGINT)
        wait_until(lambda: is_pending(pid, signal.SIGUSR2), "it is asked where it stands")
        time.sleep(1.0)  # five times what its lines are waited for once they come
        os.kill(pid, signal.SIGCONT)
        session.wait_until_said("it did not stop within 2 s of Ctrl-C")

        assert f'File "{plugin / "seqd_hello.py"}", line ' in session.said()


@pytest.mark.slow
def test_a_plugin_that_does_not_stop_while_it_is_measured_has_said_where_it_stands(plugin):
    """What it prints meanwhile goes nowhere."""
    measured = plugin.parent / "measured"
    hangs = f"open({str(measured)!r}, 'w').close(); time.sleep(600)"
    write(plugin, "outcomes = []", f"outcomes = []\n        if items[1:]: {hangs}")
    with a_session(plugin) as session:
        session.label_of("a")
        session.give(":bench")
        wait_until(measured.exists, "it hangs")
        session.program.send_signal(signal.SIGINT)
        session.wait_until_said("it did not stop within 2 s of Ctrl-C")

        assert f'File "{plugin / "seqd_hello.py"}", line ' in session.said()


def is_pending(pid: int, number: signal.Signals) -> bool:
    """Return True where a process has a signal that it has not taken yet."""
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("ShdPnd"))
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.slow
def test_a_plugin_that_dies_is_loaded_again(plugin):
    with a_session(plugin) as session:
        session.give("die")
        session.wait_until_said("The plugin's process was killed by SIGSEGV")

        assert session.label_of("b") == "hello"


@pytest.mark.slow
def test_a_call_whose_plugin_is_mended_meanwhile_is_made_again(plugin):
    with a_session(plugin) as session:
        session.label_of("a")
        session.give("hang")
        session.wait_until_said("hanging")
        write(plugin, 'text == "hang"', 'text == "never"')

        assert session.program.stdout is not None
        assert json.loads(session.program.stdout.readline())["output"]["label"] == "hello"


@pytest.mark.slow
def test_a_folder_that_vanishes_is_told_and_comes_back(plugin):
    with a_session(plugin) as session:
        session.label_of("a")
        shutil.move(plugin, plugin.with_name("elsewhere"))
        session.wait_until_said(f"error[unknown_plugin]: {plugin} is not there.")
        shutil.move(plugin.with_name("elsewhere"), plugin)
        session.wait_until_said("Loaded in ", times=2)

        assert session.label_of("a") == "hello"


def dev(folder: Path, *arguments: str, stdin: str = "") -> Ended:
    program = subprocess.run(
        [sys.executable, "-m", "seqd", "plugins", "dev", *arguments],
        env=clean_environment(SEQD_DATA_DIR=str(folder / "data")),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
    )
    return Ended(program.returncode, program.stdout, program.stderr)


@pytest.mark.slow
def test_commands_of_a_session(tmp_path, plugin):
    lines = [
        ":params",
        ":set word=7",
        ":set word=bye",
        "a",
        ":set word=",
        "::a",
        ":tsk",
        ":task x",
        ":task train",
        ":help",
    ]

    ended = dev(tmp_path, str(plugin), stdin="\n".join(lines))

    assert ended.status == 0
    printed = ended.out.splitlines()
    assert printed[0] == "word = hello  a text of 0 to 20 characters  The answer."
    assert [json.loads(line)["output"]["label"] for line in printed[1:3]] == ["bye", "hello"]
    assert printed[3] == ":task NAME        go over to another task"
    assert [line for line in ended.err.splitlines() if line.startswith("error")] == [
        "error[invalid_parameters]: hello classify: parameter 'word' is 7; allowed: a text of 0 to "
        "20 characters.",
        "error[invalid_request]: no command ':tsk'. Commands: :task, :set, :params, :bench, "
        ":reload, :help, :quit. Did you mean ':task'? A text that begins with a colon is given "
        "with two.",
        "error[invalid_request]: hello has no task 'x'. Its tasks: classify, train.",
        "error[invalid_request]: train takes a file: seqd plugins try … train --data FILE --out "
        "FOLDER",
    ]


@pytest.mark.slow
def test_items_a_second_are_measured_by_size_of_batch(tmp_path, plugin):
    ended = dev(tmp_path, str(plugin), "--bench")

    assert ended.status == 0, ended.err
    header, *rows = [line.split() for line in ended.out.splitlines()]
    assert header == ["batch", "items", "a", "second", "a", "call"]
    assert [row[0] for row in rows] == ["1", "8", "64", "512"]


@pytest.mark.slow
def test_a_path_that_is_no_plugin_ends_the_command_at_once(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')

    ended = dev(tmp_path, ".")

    assert ended.status == 2
    assert ended.err.startswith(f"error[unknown_plugin]: {tmp_path}/pyproject.toml names no plugin")


class Terminal:
    """A session on a terminal of 80 columns, and what stands there."""

    def __init__(self, plugin: Path) -> None:
        self._ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        environment = clean_environment(SEQD_DATA_DIR=str(plugin.parent), TERM="xterm")
        del environment["COLUMNS"]
        self.screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self.screen)
        self.program = subprocess.Popen(
            [sys.executable, "-m", "seqd", "plugins", "dev", str(plugin)],
            env=environment, stdin=its, stdout=its, stderr=its, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(its)

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def wait_until(self, wanted: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not any(wanted in line for line in self.lines()):
            assert time.monotonic() < deadline, "\n".join(self.lines())
            if select.select([self._ours], [], [], 0.2)[0]:
                read = os.read(self._ours, 65_536)
                self._stream.feed(read)
                if b"\x1b[6n" in read:  # where is the cursor?
                    os.write(self._ours, b"\x1b[1;1R")


@pytest.mark.slow
def test_a_terminal_has_a_prompt_words_for_results_and_keeps_the_line_that_is_typed(plugin):
    terminal = Terminal(plugin)
    try:
        terminal.wait_until("hello classify>")
        terminal.type("a text\r")
        terminal.wait_until("hello      1.000  a text")
        terminal.type("half a li")
        terminal.wait_until("> half a li")
        write(plugin, 'default="hello"', 'default="hallo"')
        terminal.wait_until("after seqd_hello.py changed")
        terminal.type("ne\r")
        terminal.wait_until("hallo      1.000  half a line")
        terminal.type(":quit\r")

        assert terminal.program.wait(DEADLINE_S) == 0
    finally:
        terminal.program.kill()
        terminal.program.wait()


@pytest.mark.slow
@pytest.mark.timeout(300)  # it starts a daemon, its worker twice, and six commands
def test_jobs_of_other_programs_get_the_changed_plugin(plugin):
    said = plugin.parent / "said.txt"
    with said.open("w") as output:
        serving = subprocess.Popen(
            [sys.executable, "-m", "seqd", "plugins", "dev", str(plugin), "--serve"],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until_written(said, "Served. In another shell: ", serving)
        (folder,) = re.findall(r"export SEQD_DATA_DIR=(\S+);", said.read_text())
        before = classified(folder)
        write(plugin, "class Hello(Model):", "class Hello(Model:")
        wait_until_written(said, "What loaded before goes on being served.", serving)
        meanwhile = classified(folder)
        write(plugin, 'default="hello"', 'default="hallo"')
        wait_until_written(said, "Served anew after ", serving)

        assert [before, meanwhile, classified(folder)] == ["hello", "hello", "hallo"]
    finally:
        serving.send_signal(signal.SIGTERM)
        serving.wait(60)
    assert not Path(folder).exists()


@pytest.mark.slow
def test_a_file_of_an_installed_plugin_is_served_in_its_place(tmp_path):
    install_plugin(tmp_path / "site", "hello", PLUGIN)
    said = tmp_path / "said.txt"
    with said.open("w") as output:
        serving = subprocess.Popen(
            [sys.executable, "-m", "seqd", "plugins", "dev", "site/seqd_hello.py", "--serve"],
            env=clean_environment(PYTHONPATH=python_path(tmp_path / "site")),
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until_written(said, "Served. In another shell: ", serving)

        assert "Rename the entry point" not in said.read_text()
        assert "broken" not in said.read_text()
    finally:
        serving.send_signal(signal.SIGTERM)
        serving.wait(60)


def wait_until_written(file: Path, words: str, program: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 2 * DEADLINE_S
    while words not in file.read_text():
        assert program.poll() is None, file.read_text()
        assert time.monotonic() < deadline, f"{words!r} never came: {file.read_text()}"
        time.sleep(0.05)


def classified(folder: str) -> object:
    ended = subprocess.run(
        [sys.executable, "-m", "seqd", "classify", "--model", "hello", "--text", "a"],
        env=clean_environment(SEQD_DATA_DIR=folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)["output"]["label"]
