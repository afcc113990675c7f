"""`seqd plugins new` without a daemon: what it writes, and what it says of bad input."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from checkout import python_path
from cli_builders import Ended, here
from seqd.cli.plugins.new_distribution import STYLES, TASKS, Distribution

#: Each task with each style that it has a template for.
VARIATIONS = [(task, style) for task in TASKS for style in STYLES if task in STYLES[style].tasks]


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path / "data"))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield
    folder.chmod(0o755)


def new(capsys: pytest.CaptureFixture[str], *arguments: str) -> Ended:
    return here(capsys, "plugins", "new", *arguments)


def written() -> list[str]:
    """Return all files and folders below the working folder."""
    return sorted(str(path.relative_to(Path.cwd())) for path in Path.cwd().rglob("*"))


def test_a_new_plugin_passes_its_own_test_and_its_module_is_imported(capsys):
    ended = new(capsys, "hello")

    tested = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests",
         "--ignore", "tests/test_checks.py"],
        cwd="seqd-hello",
        env=os.environ | {
            "PYTHONPATH": python_path(Path.cwd() / "seqd-hello"),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    assert ended.status == 0, ended.err
    assert "3 passed" in tested.stdout, tested.stdout + tested.stderr


def test_the_next_commands_are_printed_to_be_copied(capsys):
    of_a_function = new(capsys, "hello")
    of_a_learner = new(capsys, "tone", "--style", "class", "--out", "my tone")

    assert of_a_function.out == (
        "Wrote seqd-hello: the plugin hello, a function, which needs no training. Next:\n"
        "\n"
        "  cd seqd-hello\n"
        "  pip install -e '.[dev]'\n"
        '  seqd plugins try hello classify "hello there"\n'
        "  seqd plugins dev .\n"
    )
    assert of_a_learner.out == (
        "Wrote my tone: the plugin tone, a class that learns, without a library. Next:\n"
        "\n"
        "  cd 'my tone'\n"
        "  pip install -e '.[dev]'\n"
        "  seqd plugins try tone train --data examples.jsonl --out version\n"
        '  seqd plugins try tone classify "hello there" --version version\n'
        "  seqd plugins dev .\n"
    )


@pytest.mark.parametrize(("task", "style"), VARIATIONS, ids=map(" ".join, VARIATIONS))
def test_all_files_of_a_variation_are_complete(task, style):
    files = Distribution("two_words", task, style).files()

    project = tomllib.loads(files["pyproject.toml"])
    assert project["project"]["entry-points"]["seqd"] == {"two_words": "seqd_two_words"}
    assert project["project"]["name"] == "seqd-two-words"
    assert {"README.md", ".gitignore", "seqd_two_words/__init__.py", "seqd_two_words/py.typed",
            "tests/test_checks.py"} < set(files)  # fmt: skip
    assert ("examples.jsonl" in files or "examples.txt" in files) == STYLES[style].learns
    for path, content in files.items():
        assert content == "" or content.endswith("\n"), path
        assert not content.endswith("\n\n"), path
        if path.endswith(".py"):
            compile(content, path, "exec")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "My-Model",
            "The name is 'My-Model'. Allowed: 1 to 40 lower-case letters, digits and underscores, "
            "a letter first, such as my_model.",
        ),
        (
            "…",
            "The name is '…'. Allowed: 1 to 40 lower-case letters, digits and underscores, a "
            "letter first, such as hello.",
        ),
        (
            "class",
            "The name 'class' is a keyword of Python. Give another one, such as class_texts.",
        ),
        (
            "seqd_hello",
            "The name is 'seqd_hello', and the package gets `seqd_` in front. Give hello.",
        ),
        (
            "markov",
            "The name 'markov' is taken: it is a plugin of seqd. Give another one, such as "
            "my_markov.",
        ),
        (
            "schemas",
            "The name 'schemas' is taken: this Python has a package seqd_schemas. Give another "
            "one, such as my_schemas.",
        ),
    ],
    ids=lambda value: value if len(value) < 15 else "",
)
def test_a_name_that_cannot_be_is_refused_with_one_that_can(capsys, name, said):
    ended = new(capsys, name)

    assert (ended.status, ended.out) == (2, "")
    assert ended.err.replace("\\u2026", "…") == f"error[invalid_request]: {said}\n"
    assert written() == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--task", "clasify"),
            "--task is 'clasify'; allowed: classify, generate, run. Did you mean 'classify'?",
        ),
        (
            ("--style", "pytorch"),
            "--style is 'pytorch'; allowed: function, class, keras, torch, sklearn. Did you mean "
            "'torch'?",
        ),
        (
            ("--task", "generate", "--style", "sklearn"),
            "There is no plugin of --style sklearn for --task generate. Styles for it: function, "
            "class, keras, torch. Tasks of sklearn: classify, run.",
        ),
    ],
    ids=["task", "style", "both"],
)
def test_a_task_or_style_that_there_is_not_is_refused_with_those_there_are(capsys, options, said):
    ended = new(capsys, "hello", *options)

    assert (ended.status, ended.err) == (2, f"error[invalid_request]: {said}\n")
    assert written() == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write_gets_nothing(capsys):
    Path.cwd().chmod(0o555)

    ended = new(capsys, "hello")

    assert ended.err == (
        f"error[output_unwritable]: {Path.cwd()}/seqd-hello cannot be written: Permission denied. "
        "Give another folder with --out.\n"
    )
    assert written() == []


def test_without_jinja_it_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)

    ended = new(capsys, "hello")

    assert ended.status == 2
    assert ended.err == (
        "error[no_library]: `seqd plugins new` needs Jinja, which cannot be imported (import of "
        "jinja2 halted; None in sys.modules). Install it: pip install 'seqd[author]'\n"
    )
    assert written() == []


@pytest.mark.parametrize(
    ("out", "code", "said"),
    [
        ("mine", "output_exists", "{here}/mine is not empty. Give another folder"),
        ("file", "output_exists", "{here}/file is a file. Give another folder"),
        ("none/hello", "output_unwritable", "There is no folder {here}/none. Make it"),
        # It takes no files, not even of root.
        ("/proc/seqd-hello", "output_unwritable", "/proc/seqd-hello cannot be written: "),
    ],
)
def test_a_place_that_cannot_be_written_is_left_alone_and_named(capsys, out, code, said):
    Path("mine").mkdir()
    Path("mine/mine.txt").write_text("mine")
    Path("file").write_text("mine")
    before = written()

    ended = new(capsys, "hello", "--out", out)

    assert ended.status == 2
    assert ended.err.startswith(f"error[{code}]: {said.format(here=Path.cwd())}"), ended.err
    assert "--out" in ended.err
    assert written() == before


def test_an_empty_folder_is_filled(capsys):
    ended = new(capsys, "hello", "--out", ".")

    assert ended.status == 0, ended.err
    assert "pyproject.toml" in written()
    assert [name for name in written() if name.startswith(".seqd")] == []
