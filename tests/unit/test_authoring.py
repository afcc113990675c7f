"""What the commands for authors watch, and the tracebacks that they show."""

import importlib.util
import os
import threading

from seqd.authoring.child import authors_traceback
from seqd.authoring.reloading import Watch, Watched
from seqd.plugin.calls import PluginCall


def names(watched):
    return sorted(os.path.relpath(name, watched.path) for name in watched.seen())


def test_the_source_is_watched_and_not_what_is_made_of_it(tmp_path):
    for name in (
        "pyproject.toml", "src/seqd_hello/__init__.py", "src/seqd_hello/starter/w.json",
        "src/seqd_hello/__pycache__/x.py", ".git/HEAD", "build/lib/x.py", "venv/pyvenv.cfg",
        "venv/lib/x.py", "x.egg-info/PKG-INFO", "a.py~", ".a.py.swp",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")

    assert names(Watched(tmp_path)) == [
        "pyproject.toml",
        "src/seqd_hello/__init__.py",
        "src/seqd_hello/starter/w.json",
    ]
    assert names(Watched(tmp_path, is_recursive=False)) == ["pyproject.toml"]


def test_a_change_is_seen_also_of_the_same_length_and_names_the_files(tmp_path):
    for name in ("a.py", "b.py", "gone.py"):
        (tmp_path / name).write_text("one")
    watch = Watch(Watched(tmp_path))

    threading.Timer(0.1, change, [tmp_path]).start()

    assert watch.changed() == [str(tmp_path / "a.py"), str(tmp_path / "gone.py")]


def change(folder):
    (folder / "a.py").write_text("two")
    (folder / "gone.py").unlink()


def test_a_traceback_has_the_plugins_own_calls_and_those_of_its_causes(tmp_path):
    path = tmp_path / "seqd_hello.py"
    path.write_text(
        "def inner():\n    raise KeyError('a')\n\n"
        "def outer():\n    try:\n        inner()\n    except KeyError as error:\n"
        "        raise ValueError('b') from error\n"
    )
    spec = importlib.util.spec_from_file_location("seqd_hello", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    try:
        with PluginCall():
            module.outer()
    except ValueError as error:
        lines = authors_traceback(error).splitlines()

    places = [line.strip() for line in lines if "File " in line and __file__ not in line]
    assert places == [
        f'File "{path}", line 6, in outer',
        f'File "{path}", line 2, in inner',
        f'File "{path}", line 8, in outer',
    ]
    assert lines[-1] == "ValueError: b"
