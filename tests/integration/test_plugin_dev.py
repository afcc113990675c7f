"""`seqd plugins dev`: changes of a plugin's files are served, and no fault ends a session."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from authoring_builders import PLUGIN, write_plugin
from cli_builders import Ended, clean_environment, here_in
from top_builders import on_a_terminal
from worker_fixtures import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

#: A daemon and its worker start within it.
DEADLINE_S = 120.0

TERMINATED = 128 + signal.SIGTERM


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    return write_plugin(tmp_path / "seqd-hello")


class Session:
    """A session that reads a pipe; what it says to people is in a file."""

    def __init__(self, folder: Path, words: Sequence[str], environment: Mapping[str, str]) -> None:
        self._said = folder / "said.txt"
        self._passed = 0
        with self._said.open("w") as said:
            self.program = subprocess.Popen(
                [sys.executable, "-m", "seqd", "plugins", "dev", *words],
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                bufsize=1,
            )

    def give(self, line: str) -> None:
        """Give a line; what was said before it is passed over from now on."""
        self._passed = len(self._said.read_text())
        assert self.program.stdin is not None
        self.program.stdin.write(f"{line}\n")

    def next_label(self) -> object:
        assert self.program.stdout is not None
        return json.loads(self.program.stdout.readline())["output"]["label"]

    def label_of(self, text: str) -> object:
        self.give(text)
        return self.next_label()

    def said(self) -> str:
        """Return what was said since the last line."""
        return self._said.read_text()[self._passed :]

    def wait_until_said(self, words: str) -> str:
        def is_said() -> bool:
            assert self.program.poll() is None, self.said()
            return words in self.said()

        wait_until(is_said, f"it says {words!r}", DEADLINE_S)
        return self.said()

    def interrupt(self) -> None:
        self.program.send_signal(signal.SIGINT)


@contextmanager
def a_session(
    plugin: Path | str,
    *options: str,
    folder: Path | None = None,
    status: int = 0,
    **variables: str,
) -> Iterator[Session]:
    """Run a session until the block ends; its input then ends, and so does the session."""
    folder = folder or Path(plugin).parent
    variables = {"SEQD_DATA_DIR": str(folder / "data"), **variables}
    session = Session(folder, (str(plugin), *options), clean_environment(**variables))
    try:
        yield session
        session.program.communicate(timeout=DEADLINE_S)
    finally:
        session.program.kill()
        session.program.communicate()
    assert session.program.returncode == status, session.said()


def write(plugin: Path, old: str, new: str) -> None:
    """Write the plugin with a change, at once: half a file may be loaded, too."""
    made = plugin / "seqd_hello.tmp"
    made.write_text(PLUGIN.replace(old, new))
    made.replace(plugin / "seqd_hello.py")


STARTS = "import subprocess; print('beside', subprocess.Popen(['sleep', '60']).pid, flush=True)"


def assert_beside_ends(said: str) -> None:
    """Assert that what the plugin has started, and named, is gone."""
    beside = said.partition("beside ")[2].split()[0]
    wait_until(lambda: not Path(f"/proc/{beside}/exe").exists(), "what the plugin started is gone")


def test_no_fault_of_a_plugin_ends_a_session_and_each_is_told_with_its_place(plugin):
    module = f'File "{plugin / "seqd_hello.py"}", line '
    changed = "after seqd_hello.py changed: hello@0"
    with a_session(plugin, status=TERMINATED) as session:
        assert session.label_of("a") == "hello"

        # It is broken: nothing serves until it is mended.
        write(plugin, "class Hello(Model):", "class Hello(Model:")
        session.wait_until_said("Nothing serves until that is mended")
        assert f"{module}{1 + PLUGIN.splitlines().index('class Hello(Model):')}\n" in session.said()
        assert "SyntaxError: invalid syntax" in session.said()
        session.give("a")
        session.wait_until_said("error[plugin_fault]: the plugin 'hello' is broken")
        write(plugin, 'print("hanging")', 'print(f"hanging in {os.getpid()}.")')
        session.wait_until_said(changed)
        assert session.label_of("a") == "hello"

        # Its process dies: it is loaded again.
        session.give("die")
        session.wait_until_said("The plugin's process was killed by SIGSEGV")
        assert session.label_of("a") == "hello"

        # Ctrl-C ends a call that obeys.
        session.give("wait")
        session.wait_until_said("waiting")
        session.interrupt()
        session.wait_until_said("error[stopped]: The call was stopped.")

        # One that does not obey is killed once it has said where it stands, however long it
        # waits for a processor.
        session.give("hang")
        wait_until(lambda: re.search(r"hanging in \d+\.", session.said()) is not None, "it hangs")
        pid = int(session.said().partition("hanging in ")[2].partition(".")[0])
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        session.interrupt()
        wait_until(lambda: is_pending(pid, signal.SIGUSR2), "it is asked where it stands")
        assert time.monotonic() - began > 1.5
        time.sleep(1.0)  # five times what its lines are waited for once they come
        os.kill(pid, signal.SIGCONT)
        session.wait_until_said("it did not stop within 2 s of Ctrl-C")
        assert module in session.said()
        assert session.label_of("a") == "hello"

        # A call whose plugin is mended meanwhile is made again.
        session.give("hang")
        session.wait_until_said("hanging")
        write(plugin, 'text == "hang"', 'text == "never"')
        assert session.next_label() == "hello"

        # A folder vanishes, and comes back.
        shutil.move(plugin, plugin.with_name("elsewhere"))
        session.wait_until_said(f"error[unknown_plugin]: {plugin} is not there.")
        loads = session.said().count("Loaded in ")
        shutil.move(plugin.with_name("elsewhere"), plugin)
        wait_until(lambda: session.said().count("Loaded in ") > loads, "it is loaded again")
        assert session.label_of("a") == "hello"

        # SIGTERM ends the session, and what the plugin has started.
        write(plugin, "return LoadedHello()", f"{STARTS}; return LoadedHello()")
        # What a plugin prints comes by another pipe than that it is loaded: before it, or after.
        session.wait_until_said("beside ")
        session.wait_until_said("changed: hello@0")
        session.program.send_signal(signal.SIGTERM)

    assert_beside_ends(session.said())


def test_a_load_that_does_not_end_is_stopped_by_ctrl_c_and_by_the_next_change(plugin):
    with a_session(plugin) as session:
        assert session.label_of("a") == "hello"
        write(plugin, "import time", f"import time; {STARTS}; time.sleep(600)")
        session.wait_until_said("beside")
        session.interrupt()
        stopped = session.wait_until_said("Nothing serves until that is mended")
        write(plugin, "import time", "import time; print('hangs', flush=True); time.sleep(600)")
        session.wait_until_said("hangs")
        write(plugin, 'default="hello"', 'default="hallo"')

        assert session.label_of("a") == "hallo"

    assert "error[plugin_ended]: The plugin's process was ended: Ctrl-C stopped its" in stopped


def is_pending(pid: int, number: signal.Signals) -> bool:
    """Return True where a process has a signal that it has not taken yet."""
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("ShdPnd"))
    return bool(int(mask, 16) >> (number - 1) & 1)


Seqd = Callable[..., Ended]


@pytest.fixture
def seqd(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Seqd:
    return here_in(tmp_path, capsys, monkeypatch)


def test_commands_of_a_session(seqd, plugin):
    lines = (":params", ":set word=7", ":set word=bye", "a", ":set word=", "::a", ":tsk", ":task x")

    ended = seqd("plugins", "dev", str(plugin), stdin="\n".join([*lines, ":task train", ":help"]))

    assert ended.status == 0
    printed = ended.out.splitlines()
    assert printed[0] == "word = hello  a text of 0 to 20 characters  The answer."
    assert [json.loads(line)["output"]["label"] for line in printed[1:3]] == ["bye", "hello"]
    assert printed[3] == ":task NAME        go over to another task"
    assert [line for line in ended.err.splitlines() if line.startswith("error")] == [
        "error[invalid_parameters]: hello classify: parameter 'word' is 7; allowed: a text of 0 to "
        "20 characters.",
        "error[invalid_request]: no command ':tsk'. Commands: :task, :set, :params, :reload, "
        ":help, :quit. Did you mean ':task'? A text that begins with a colon is given with two.",
        "error[invalid_request]: hello has no task 'x'. Its tasks: classify, train.",
        "error[invalid_request]: train takes a file: seqd plugins try … train --data FILE --out "
        "FOLDER",
    ]


def test_what_cannot_be_served_ends_the_command_at_once(tmp_path, seqd):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')

    none = seqd("plugins", "dev", ".")

    assert none.status == 2
    assert none.err.startswith(f"error[unknown_plugin]: {tmp_path}/pyproject.toml names no plugin")


def test_a_terminal_has_a_prompt_words_for_results_and_keeps_the_line_that_is_typed(plugin):
    variables = {"SEQD_DATA_DIR": str(plugin.parent)}
    with on_a_terminal(("plugins", "dev", str(plugin)), variables, term="xterm") as terminal:
        terminal.until_shown("hello classify>")
        terminal.press("a text\r")
        terminal.until_shown("hello      1.000  a text")
        terminal.press("half a li")
        terminal.until_shown("> half a li")
        write(plugin, 'default="hello"', 'default="hallo"')
        terminal.until_shown("after seqd_hello.py changed")
        terminal.press("ne\r")
        terminal.until_shown("hallo      1.000  half a line")
        terminal.press(":quit\r")

        assert terminal.end() == 0
