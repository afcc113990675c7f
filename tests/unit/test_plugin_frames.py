"""Where in a plugin an error arose: the innermost call of the plugin's own code."""

from pathlib import Path

import pytest

from seqd.local.child import log_place
from seqd.models.plugin_frames import (
    place_of,
    raised_by_plugin,
    with_place,
)
from seqd.settings import Settings

#: A plugin that is a package, with a library that it calls and one that calls it.
PACKAGE = {
    "seqd_made/__init__.py": "from seqd_made.inner import deep\n\n\ndef classify(text):\n"
    "    return deep(text)\n",
    "seqd_made/inner.py": "import a_library\n\n\ndef deep(text):\n"
    "    return a_library.parse(text)\n",
    "a_library.py": "def parse(text):\n    raise ValueError(f'no {text}')\n\n\n"
    "def called(function):\n    return function('b')\n",
    "seqd_modelkit.py": "def call(function):\n    return function('b')\n",
}


@pytest.fixture
def run(tmp_path):
    """Run code with the packages at hand, as the daemon's; return what it raised."""
    for name, content in PACKAGE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)

    def run(code: str) -> Exception:
        found: dict[str, object] = {}
        daemon = compile(code, "<daemon>", "exec")
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(tmp_path)
            for name in PACKAGE:
                patch.delitem(__import__("sys").modules, name.partition("/")[0][:-3], raising=False)
            try:
                exec(daemon, found)
            except Exception as error:  # noqa: BLE001  what the plugin raised
                assert error.__traceback__ is not None
                return error.with_traceback(error.__traceback__.tb_next)  # without this file
        raise AssertionError("it raised nothing")

    return run


def test_the_place_is_the_innermost_line_of_the_plugin_and_none_of_a_library_that_it_calls(run):
    error = run("import seqd_made\nseqd_made.classify('b')")

    assert str(place_of(error)) == "seqd_made/inner.py, line 5, in deep"
    assert raised_by_plugin(error) == (
        "The model plugin raised ValueError: no b (seqd_made/inner.py, line 5, in deep)"
    )


def test_a_plugin_that_is_named_is_found_behind_a_library_that_calls_it(run):
    error = run("import a_library, seqd_made\na_library.called(seqd_made.classify)")

    assert str(place_of(error, "seqd_made")) == "seqd_made/inner.py, line 5, in deep"
    assert str(place_of(error)) == "a_library.py, line 2, in parse"


def test_an_error_that_no_call_of_a_plugin_led_to_has_no_place():
    assert place_of(ValueError("made, not raised")) is None
    assert with_place("it failed", ValueError("made")) == "it failed"


def test_an_endless_recursion_has_a_place(run):
    error = run(
        "import seqd_made\nseqd_made.inner.a_library.parse = lambda text: seqd_made."
        "classify(text)\nseqd_made.classify('b')"
    )

    place = str(place_of(error))

    assert place.startswith("seqd_made/")


def test_the_log_of_a_worker_of_up_is_its_file_and_that_of_another_its_output():
    supervised = Settings(data_dir=Path("/data"), supervised=True)

    assert log_place(supervised, "train@cpu", "h1") == (
        "the log logs/train-cpu.log in SEQD_DATA_DIR on h1"
    )
    assert log_place(Settings(), "train@cpu", "h1") == "the worker's output"
