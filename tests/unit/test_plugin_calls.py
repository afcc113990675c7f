"""What comes out of a call of plugin code."""

import subprocess
import sys

import pytest

from cli_builders import clean_environment
from seqd.plugin.calls import PluginCall


class Unreadable(ValueError):
    def __str__(self) -> str:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SystemExit("usage: plugin FILE"), "usage: plugin FILE"),
        (GeneratorExit(), ""),
        (Unreadable(), "its text cannot be read"),
    ],
)
def test_what_is_none_or_cannot_be_read_becomes_one_of_the_same_name(error, said):
    with pytest.raises(RuntimeError) as raised, PluginCall():
        raise error

    assert type(raised.value).__name__ == type(error).__name__
    assert str(raised.value) == said


def test_an_exception_whose_cause_cannot_be_read_goes_without_it():
    with pytest.raises(RuntimeError) as raised, PluginCall():
        raise ValueError("a bad text") from Unreadable()

    assert str(raised.value) == "a bad text"
    assert raised.value.__cause__ is None


FORKED = (
    "plugin_forked: A plugin forked its process in a call, and came back in the copy too, which "
    "ends here. Start programs by subprocess and processes by multiprocessing; a copy that "
    "os.fork() makes ends by os._exit() within the call."
)

#: Prints what calls make, and what is written to the log: of a program with functions below it.
PROGRAM = """
import logging, multiprocessing, os, subprocess, sys, threading
from pathlib import Path
from typing import Iterator

from seqd.hookspecs import WorkItem
from seqd.local.parent_death import copies_die_with_me
from seqd.models.catalog import built_in_version
from seqd.models.loading import as_plugin
from seqd.plugin.calls import PluginCall
from seqd.plugin import classifier, generator, model, task
from seqd.testing import CPU, MemoryRunContext

logging.basicConfig(format="%(message)s", stream=sys.stdout)
sys.stdout.reconfigure(write_through=True)

def called(name, call):
    with PluginCall():
        made = call()
    sys.stdout.write(f"{name}: {made}\\n")  # at once: copies write, too
    with PluginCall():
        pass
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        sys.stdout.write("nobody is left\\n")
"""


def printed_by(program: str, *arguments: str) -> list[str]:
    """Return the lines that a program prints."""
    ended = subprocess.run(
        [sys.executable, "-c", f"{PROGRAM}\n{program}", *arguments],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert ended.stderr == ""
    return ended.stdout.splitlines()


def test_a_copy_of_the_process_ends_with_the_call_that_made_it_and_is_named():
    lines = printed_by("""
copies_die_with_me()  # as a worker's child does

def copying(in_copy):
    def call():
        if os.fork() == 0:
            return in_copy()
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)  # it has ended, and can be counted
        return "here"
    return call

called("returns", copying(lambda: "copy"))
called("raises", copying(lambda: {}["copy"]))
called("exits", copying(lambda: sys.exit(3)))
""")

    each = [(FORKED, f"{name}: here", "nobody is left") for name in ("returns", "raises", "exits")]
    assert lines == [line for three in each for line in three]


def test_a_copy_ends_with_the_call_of_a_decorated_function_and_takes_no_other_item(tmp_path):
    """Each call, or part, is noted, forks, and comes back.

    Past 60 notes it ends, so that the copies are few where they go on.
    """
    notes = tmp_path / "notes"

    lines = printed_by(
        """
notes = Path(sys.argv[1])

def forked():
    with notes.open("a") as file:
        file.write("called\\n")
    if notes.read_text().count("called") > 60:
        os._exit(0)
    os.fork()
    return "label"

@classifier("one")
def one(text: str) -> str:
    return forked()

@classifier("drawn")
def drawn(texts: list[str]) -> Iterator[str]:
    return (forked() for text in texts)

@generator("parts")
def parts(prompt: str) -> Iterator[str]:
    for _ in range(int(prompt)):
        yield forked()

@model("kind")
class Kind:
    def classify(self, text: str) -> str:
        return forked()

def outcomes_of(decorated, texts):
    (plugin,) = as_plugin(decorated).seqd_register_models()
    loaded = plugin.load(built_in_version(plugin, "1.0"), CPU)
    name = next(iter(plugin.tasks))
    items = [WorkItem(place, text) for place, text in enumerate(texts)]
    given = plugin.tasks[name].parameters(), MemoryRunContext()
    run = getattr(loaded, name, None)
    return len(run(items, *given) if run else loaded.run(name, items, *given))

for decorated in (one, drawn, parts, Kind):
    texts = "123" if decorated is parts else "abcdef"
    called(decorated.__name__, lambda: outcomes_of(decorated, texts))
""",
        str(notes),
    )

    assert len(notes.read_text().splitlines()) == 24
    assert lines.count(FORKED) == 24
    told = [line for line in lines if line not in (FORKED, "nobody is left")]
    assert told == ["one: 6", "drawn: 6", "parts: 3", "Kind: 6"]


def test_programs_and_processes_that_a_plugin_starts_work_as_without_a_worker():
    lines = printed_by("""
copies_die_with_me()  # as a worker's child does

def call():
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        lengths = pool.map(len, ["a", "bc"])
    may_end = context.Event()
    process = context.Process(target=may_end.wait)
    thread = threading.Thread(target=process.start)
    thread.start()
    thread.join()  # it outlives the thread that has started it
    may_end.set()
    process.join()
    program = subprocess.run([sys.executable, "-c", "raise SystemExit(4)"])
    return (lengths, process.exitcode, program.returncode)

called("made", call)
""")

    assert lines == ["made: ([1, 2], 0, 4)", "nobody is left"]
