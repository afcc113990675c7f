"""Where a plugin's source is, what authors are told of mistakes, and which names others have."""

from pathlib import Path

import pytest

from seqd.errors import InvalidRequest, UnknownPlugin
from seqd.models.loading import PluginSource, discover
from seqd.models.source_folders import chosen, read_source, taken_names

PROJECT = '[project]\nname = "seqd-hello"\nversion = "0.3"\n'
ENTRY = '[project.entry-points.seqd]\nhello = "seqd_hello:plugin"\n'
PLUGIN = "plugin = object()\n"


def write(folder: Path, **files: str) -> Path:
    """Write files, `src__seqd_hello` for `src/seqd_hello.py`, beside a pyproject.toml."""
    for name, text in files.items():
        path = folder / ("pyproject.toml" if name == "pyproject" else f"{name}.py")
        path = folder / Path(*path.relative_to(folder).as_posix().split("__"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_flat_and_a_src_layout_are_found(tmp_path):
    (flat,) = read_source(write(tmp_path / "flat", pyproject=PROJECT + ENTRY, seqd_hello=PLUGIN))
    (src,) = read_source(write(tmp_path / "src", pyproject=PROJECT + ENTRY, src__seqd_hello=PLUGIN))

    assert flat == PluginSource(
        name="hello",
        address="seqd_hello:plugin",
        import_folders=(str(tmp_path / "flat"),),
        distribution="seqd-hello",
        version="0.3",
        path=str(tmp_path / "flat"),
    )
    assert src.import_folders == (str(tmp_path / "src" / "src"),)


def test_a_package_is_found_in_any_folder_of_the_project(tmp_path):
    folder = write(tmp_path, pyproject=PROJECT + ENTRY, lib__seqd_hello__records=PLUGIN)

    assert read_source(folder)[0].import_folders == (str(tmp_path / "lib"),)


def test_one_file_is_a_plugin_with_the_name_of_its_module(tmp_path):
    (found,) = read_source(write(tmp_path, seqd_hello=PLUGIN) / "seqd_hello.py")

    assert (found.name, found.address) == ("hello", "seqd_hello")
    assert found.origin == "(none)"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"pyproject": PROJECT, "seqd_bonjour": PLUGIN},
            "FOLDER/pyproject.toml names no plugin. Add the lines\n"
            '    [project.entry-points.seqd]\n    bonjour = "seqd_bonjour"\n'
            "which give the plugin its name and its module.",
        ),
        (
            {"seqd_hello": PLUGIN},
            "FOLDER has no pyproject.toml. `seqd plugins new NAME` writes a plugin with one; a "
            "plugin in one file is given by that file. Such as: FOLDER/seqd_hello.py",
        ),
        (
            {"pyproject": PROJECT + ENTRY, "seqd_helo": PLUGIN},
            'FOLDER/pyproject.toml says hello = "seqd_hello:plugin", and there is no module '
            "'seqd_hello' in FOLDER. Correct the name, or write seqd_hello.py. Did you mean "
            "'seqd_helo'?",
        ),
    ],
)
def test_a_folder_of_no_plugin_is_told_what_to_add(tmp_path, files, said):
    with pytest.raises(UnknownPlugin) as raised:
        read_source(write(tmp_path, **files))

    assert str(raised.value) == said.replace("FOLDER", str(tmp_path))


def test_of_two_plugins_one_is_named(tmp_path):
    source = read_source(
        write(tmp_path, pyproject=PROJECT + ENTRY + 'bye = "seqd_hello:bye"\n', seqd_hello=PLUGIN)
    )

    with pytest.raises(InvalidRequest) as unnamed:
        chosen(source)
    with pytest.raises(UnknownPlugin) as unknown:
        chosen(source, "hallo")

    assert chosen(source, "bye").address == "seqd_hello:bye"
    assert str(unnamed.value) == (
        f"{tmp_path} has the plugins bye, hello. Say which one: --plugin bye."
    )
    assert str(unknown.value) == (
        f"{tmp_path} has no plugin named 'hallo'. Its plugins: bye, hello. Did you mean 'hello'?"
    )


def test_what_is_no_source_is_told(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "my-plugin.py").write_text(PLUGIN)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "pyproject.toml").write_text("[project\n")

    said = {}
    for name in ("gone", "notes.txt", "my-plugin.py", "broken"):
        with pytest.raises(UnknownPlugin) as raised:
            read_source(tmp_path / name)
        said[name] = str(raised.value)

    assert said["gone"].startswith(f"{tmp_path / 'gone'} is not there. Give a folder")
    assert "is no plugin; allowed: a folder with a pyproject.toml" in said["notes.txt"]
    assert "'my-plugin' is no name of a module" in said["my-plugin.py"]
    assert said["broken"].startswith(f"{tmp_path / 'broken' / 'pyproject.toml'} cannot be read: ")


def mine(name: str, distribution: str = "seqd-mine", module: str = "seqd_mine") -> PluginSource:
    return PluginSource(name=name, distribution=distribution, version="1", address=module)


def test_a_plugin_and_a_model_that_ship_with_seqd_are_taken():
    taken = taken_names(mine("markov"), {"markov_words", "hello"}, discover())

    assert [one.partition(" is taken by ")[0] for one in taken] == [
        "the plugin name 'markov'",
        "the model name 'markov_words'",
    ]


def test_a_plugin_that_is_installed_too_takes_no_name_of_its_own():
    installed = mine("hello", "Seqd_Mine")
    moved = mine("hello", "acme", "seqd_mine.plugin")

    assert taken_names(mine("hello"), {"hello"}, [installed, moved]) == {}
