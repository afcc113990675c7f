"""`seqd plugins try`: a plugin's one call without a daemon, and what an author is told by it."""

import json
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import seqd
from authoring_builders import PLUGIN, write_plugin
from cli_builders import Ended, clean_environment, here, here_in
from worker_fixtures import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    return write_plugin(tmp_path / "seqd-hello")


Tried = Callable[..., Ended]


@pytest.fixture
def tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Tried:
    """Return the command, which runs in this process, in the test's folder."""
    seqd = here_in(tmp_path, capsys, monkeypatch)

    def run(*arguments: str, stdin: str = "") -> Ended:
        return seqd("plugins", "try", *arguments, stdin=stdin)

    return run


def results_of(ended: Ended) -> list[dict[str, object]]:
    return [json.loads(line) for line in ended.out.splitlines()]


def test_texts_of_the_command_line_and_of_stdin_are_computed_without_a_daemon_beside_an_error(
    tmp_path, tried, plugin
):
    ended = tried(str(plugin), "classify", "a", "boom", "-", "-p", "word=bye", stdin="b\nc\n")

    assert ended.status == 2
    (first, failed, *others) = results_of(ended)
    assert [(one["custom_id"], one["output"]["label"]) for one in (first, *others)] == [
        ("row-1", "bye"),
        ("row-3", "bye"),
        ("row-4", "bye"),
    ]
    assert failed["error"]["code"] == "plugin_error"
    # Its own calls, and none of seqd's.
    line = 1 + PLUGIN.splitlines().index('                raise ValueError("no boom")')
    assert f'  File "{plugin / "seqd_hello.py"}", line {line}, in classify\n' in ended.err
    assert "seqd/worker" not in ended.err
    assert "ms by hello@0, plugin hello of seqd-hello 0.1\n" in ended.err
    assert not (tmp_path / "data").exists()


def test_faults_of_a_plugin_are_told_as_a_worker_finds_them_and_with_their_place(tried, plugin):
    module = plugin / "seqd_hello.py"

    too_few = tried(str(plugin), "classify", "a", "fewer", "b")
    wrong = tried(str(plugin), "classify", "wrong")
    dead = tried(str(plugin), "classify", "die")
    module.write_text(
        PLUGIN.replace("memory_bytes = 1", 'memory_bytes, classes = 1, ("hello", "bye")')
    )
    strange = tried(str(plugin), "classify", "a", "-p", "word=howdy")
    module.write_text("import seqd_nothing_here\n")
    broken = tried(str(plugin), "classify", "a")

    assert "1 outcomes for 3 items; its contract (B1) is one each, in order" in too_few.err
    assert "str as an outcome; its contract (B1)" in results_of(wrong)[0]["error"]["message"]
    assert dead.status == 1
    assert "Fatal Python error: Segmentation fault" in dead.err
    assert f'File "{module}", line ' in dead.err
    assert dead.err.splitlines()[-1] == (
        "error[plugin_ended]: The plugin's process was killed by SIGSEGV in the middle of a call. "
        "What it printed last is above; a worker would lose its units, too."
    )
    assert (strange.status, results_of(strange)[0]["error"]["message"]) == (
        2,
        "The model plugin gave the label 'howdy'; its contract (B1) allows those that it names in "
        "LoadedModel.classes: 'bye', 'hello'. Name this one, too, or give one of these.",
    )
    assert broken.status == 1
    assert f'  File "{module}", line 1, in <module>\n' in broken.err
    assert broken.err.splitlines()[-1] == (
        "error[plugin_fault]: the plugin 'hello' is broken: ModuleNotFoundError: No module named "
        "'seqd_nothing_here' (seqd_hello.py, line 1, in <module>). Install seqd_nothing_here here; "
        "a daemon does without the plugin by SEQD_DISABLED_PLUGINS=hello."
    )


def test_mistakes_are_told_with_what_to_do(tried, plugin):
    said = {
        "classfy a": "hello has no task 'classfy'. Its tasks: classify, train. Did you mean "
        "'classify'?",
        "classify a -p wrd=1": "hello classify: parameter 'wrd' is unknown. Did you mean 'word'? "
        "Known parameters: word.",
        "classify": "no text is given. Give one or more, or - for the lines of stdin.",
        "classify a --data x.csv": "--data, --held-out and --out are for train, not for classify",
        "classify a --version hello@7": "no version hello@7. Versions of hello: 0",
        "classify a --model halo": "the plugin 'hello' brings no model 'halo'. Its models: hello. "
        "Did you mean 'hello'?",
    }

    for arguments, expected in said.items():
        ended = tried(str(plugin), *arguments.split())
        assert ended.err.splitlines()[-1].partition("]: ")[2] == expected
    assert tried("helo", "classify", "a").err.startswith(
        "error[unknown_plugin]: no plugin or model named 'helo', and no folder or .py file of "
        "that name. Plugins here: "
    )


def test_a_training_makes_a_version_that_is_tried_by_the_command_that_is_printed(
    tmp_path, tried, plugin
):
    two = "class Halo(Hello):\n    name = 'halo'\n\n\n@hookimpl"
    source = PLUGIN.replace("@hookimpl", two).replace("[Hello()]", "[Hello(), Halo()]")
    (plugin / "seqd_hello.py").write_text(source)
    shutil.rmtree(plugin / "starter")
    (tmp_path / "data.csv").write_text("text,label\na,one\nb,two\n")
    train = ("train", "--model", "halo", "--data", "data.csv", "--out", "a version")
    made = tmp_path / "a version"

    trained = tried(str(plugin), *train)
    assert trained.status == 0, trained.err
    again = tried(str(plugin), *train)
    printed = shlex.split(trained.out.splitlines()[-1].removeprefix("Try it: seqd plugins try "))
    computed = tried(*printed)
    of_another = tried(str(plugin), "classify", "a", "--version", "a version")

    assert trained.out.splitlines()[0] == "epoch 1/1  loss 0.5  0.1 s"
    assert printed[1:] == ["--model", "halo", "classify", "TEXT", "--version", str(made)]
    assert computed.status == 0 and "by halo@1, plugin hello" in computed.err
    assert [one.err.splitlines()[-1] for one in (again, of_another)] == [
        f"error[output_exists]: {made} is there already. Give --out a folder that is not there "
        "yet.",
        f"error[invalid_request]: {made} is made with halo, and hello is tried. Say --model halo.",
    ]
    assert [*tmp_path.glob(".a version-*")] == []


def test_the_text_that_ends_the_process_is_named_and_those_before_it_have_results(tried, plugin):
    source = PLUGIN.replace("os.kill(os.getpid(), 11)", "os._exit(1)")
    (plugin / "seqd_hello.py").write_text(source)

    dead = tried(str(plugin), "classify", "a", "die", "b")

    assert dead.status == 1
    assert [one["status"] for one in results_of(dead)] == ["succeeded"]
    assert dead.err.splitlines()[-2:] == [
        "The process has ended. Once more, one text at a time:",
        "error[plugin_ended]: The plugin's process ended with status 1 in the middle of a "
        "call. It printed nothing; a worker would lose its units, too. The text: 'die'",
    ]


def test_a_plugin_in_a_file_that_raises_at_its_import_is_told_with_a_command_that_shows_it(
    tmp_path, tried
):
    file = tmp_path / "my plugins" / "seqd_shout.py"
    file.parent.mkdir()
    file.write_text("raise RuntimeError('no voice')\n")

    ended = tried("my plugins/seqd_shout.py", "classify", "a")
    command = ended.err.splitlines()[-1].partition("Try it alone: ")[2].rstrip(".")
    alone = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=tmp_path)

    assert command == f"PYTHONPATH='{file.parent}' python -c \"import seqd_shout\""
    assert alone.stderr.splitlines()[-1] == "RuntimeError: no voice"


STUBBORN = """
import subprocess
import time
from pathlib import Path
from typing import Self

from seqd.plugin import Label, LabelledRecord, model


@model("stubborn", summary="Never ends.")
class Stubborn:
    @classmethod
    def train(cls, records: list[LabelledRecord]) -> Self:
        print("training beside", subprocess.Popen(["sleep", "60"]).pid, flush=True)
        while True:
            time.sleep(0.1)

    def save(self, folder: Path) -> None: ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls()

    def classify(self, text: str) -> Label:
        return Label("x")
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 1), (signal.SIGTERM, 143)])
def test_a_training_that_does_not_stop_leaves_no_folder_and_no_process(tmp_path, number, status):
    (tmp_path / "seqd_stubborn.py").write_text(STUBBORN)
    (tmp_path / "data.csv").write_text("text,label\na,one\nb,two\n")
    command = ["try", "./seqd_stubborn.py", "train", "--data", "data.csv", "--out", "made/v"]
    with subprocess.Popen(
        [sys.executable, "-m", "seqd", "plugins", *command],
        env=clean_environment(SEQD_DATA_DIR=str(tmp_path / "data"), TMPDIR=str(tmp_path)),
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as program:
        beside = int(next(line for line in program.stderr if "beside" in line).split()[-1])
        program.send_signal(number)
        program.wait(120)

    assert program.returncode == status
    assert list((tmp_path / "made").iterdir()) == []
    # Of a process that has ended and that nobody waits for this link is gone.
    wait_until(lambda: not Path(f"/proc/{beside}/exe").exists(), "what the plugin started is gone")


WAITING = """
import time
from pathlib import Path
while not Path({may_end!r}).exists():
    time.sleep(0.01)
"""


def test_a_plugin_that_does_not_end_to_load_is_told_with_where_it_stands(tmp_path, plugin):
    may_end, module = tmp_path / "may_end", plugin / "seqd_hello.py"
    module.write_text(f"{WAITING.format(may_end=str(may_end))}\n{PLUGIN.lstrip()}")
    lines = []
    with subprocess.Popen(
        [sys.executable, "-m", "seqd", "plugins", "try", str(plugin), "classify", "a"],
        env=clean_environment(SEQD_DATA_DIR=str(tmp_path / "data")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        for line in program.stderr:
            lines.append(line)
            if str(module) in line:
                may_end.touch()
        results = program.stdout.read()

    said = "The import of the plugin hello has not ended after 5 s"
    assert lines[0] == f"{said}, and goes on; Ctrl-C ends it. It stands here:\n"
    # The last call may be one of Python's own, which looks for the file.
    assert any(f'  File "{module}", line ' in line for line in lines[2:])
    assert json.loads(results)["output"]["label"] == "hello"


def test_an_installed_plugin_is_tried_by_its_name_before_a_folder_and_by_that_of_its_model(
    tmp_path, tried
):
    write_plugin(tmp_path / "markov")

    named = tried("markov", "generate", "the", "-p", "length=10")
    model = tried("markov_words", "generate", "the", "-p", "length=10")

    assert named.status == model.status == 0, named.err + model.err
    assert named.err.startswith("markov is the installed plugin. The folder is ./markov\n")
    assert "by markov_words@0, plugin markov of seqd" in model.err


def test_names_that_another_plugin_has_are_told(tmp_path, tried, capsys):
    """The name of the plugin, and that of its model, ship with seqd."""
    (tmp_path / "markov.py").write_text(
        "from seqd.plugin import classifier\n"
        "@classifier('char_lstm', summary='Another one.')\n"
        "def namesake(text: str) -> str:\n    return 'one'\n"
    )
    taken = f"the plugin name 'markov' is taken by seqd {seqd.__version__}"
    rename = (
        "Rename it, by its entry point or its file: beside the other one, this plugin is not "
        "loaded.\n"
    )

    ended = tried("markov.py", "classify", "a")
    checked = here(capsys, "plugins", "check", "markov.py")

    assert ended.status == 0
    assert ended.err.startswith(
        f"warning: {taken}. {rename}"
        "warning: the model name 'char_lstm' is taken by the plugin 'char_lstm' of seqd "
        f"{seqd.__version__}. Rename it: beside the other one, this plugin is not loaded.\n"
    )
    assert checked.status == 1
    assert checked.out.startswith(
        "L2  markov (description): No other installed plugin has the plugin's name or that of a "
        f"model.\n  seen: {taken}\n  do:   {rename}"
    )
