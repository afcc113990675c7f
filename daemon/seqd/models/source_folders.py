"""Reads where a plugin's source is: a folder with a `pyproject.toml`, or one file.

So a plugin can be loaded before it is installed, beside others that may have its names. Nothing of
it is imported here.
"""

import re
import sys
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import cast

from seqd.errors import InvalidRequest, UnknownPlugin
from seqd.hookspecs.hooks import PROJECT
from seqd.models.loading import UNPACKAGED, Candidate
from seqd.models.registry import Registry
from seqd.settings import load_settings
from seqd.validation import did_you_mean, listed

_PYPROJECT = "pyproject.toml"
_GROUP = f"[project.entry-points.{PROJECT}]"


@dataclass(frozen=True, slots=True)
class SourcePlugin:
    """A distribution's plugins, as its source says: `entries` has their addresses by name."""

    #: The folder of `pyproject.toml`, or of the one file.
    folder: Path
    distribution: str
    version: str
    #: Such as `{"hello": "seqd_hello:hello"}`.
    entries: Mapping[str, str]
    #: Folders that are to stand first on `sys.path`.
    import_folders: tuple[Path, ...]

    def chosen(self, name: str = "") -> str:
        """Return the name of the plugin that is meant; the only one needs no name.

        Raises InvalidRequest where there are several and none is named, UnknownPlugin.
        """
        if not name and len(self.entries) == 1:
            return next(iter(self.entries))
        if not name:
            raise InvalidRequest(
                f"{self.folder} has the plugins {listed(self.entries)}. Say which one: "
                f"--plugin {min(self.entries)}."
            )
        if name not in self.entries:
            raise UnknownPlugin(
                f"{self.folder} has no plugin named {name!r}. Its plugins: {listed(self.entries)}."
                f"{did_you_mean(name, self.entries)}"
            )
        return name

    def candidate(self, name: str = "") -> Candidate:
        """Return what the plugin host loads; loading puts `import_folders` first on `sys.path`.

        Raises what `chosen` does.
        """
        name = self.chosen(name)
        address = self.entries[name]
        return Candidate(
            name=name,
            load=partial(_load, name, address, self.import_folders),
            distribution=self.distribution,
            version=self.version,
            address=address,
            import_folders=self.import_folders,
        )

    def module_path(self, name: str = "") -> Path:
        """Return the file, or the package's folder, of the module that an entry point names."""
        module = self.entries[self.chosen(name)].partition(":")[0].strip()
        return next(_places_of(module, self.import_folders), self.folder)


def read_source(path: Path) -> SourcePlugin:
    """Return what a folder with a `pyproject.toml`, or a file with a plugin in it, brings.

    Raises UnknownPlugin, which says what is missing and which line to add.
    """
    path = path.expanduser().absolute()
    if path.is_file() and path.name == _PYPROJECT:
        path = path.parent
    if path.is_dir():
        return _of_folder(path)
    if path.is_file() and path.suffix == ".py":
        return _of_file(path)
    if path.exists():
        raise UnknownPlugin(
            f"{path} is no plugin; allowed: a folder with a {_PYPROJECT}, or a file of Python."
        )
    raise UnknownPlugin(
        f"{path} is not there. Give a folder with a {_PYPROJECT}, or a file of Python."
    )


def _of_file(path: Path) -> SourcePlugin:
    """Return a file as a plugin with the name of its module, without `seqd_` in front."""
    module = path.stem
    if not module.isidentifier():
        raise UnknownPlugin(
            f"{path.name} cannot be imported: {module!r} is no name of a module. Rename it to "
            "letters, digits and underscores, such as seqd_hello.py."
        )
    name = module.removeprefix(f"{PROJECT}_") or module
    return SourcePlugin(path.parent, UNPACKAGED, "", {name: module}, (path.parent,))


def _of_folder(folder: Path) -> SourcePlugin:
    content = _read_pyproject(folder / _PYPROJECT)
    project = _table(content, "project")
    entries = _entries(folder, project)
    found = {_place_of(folder, name, address).parent: None for name, address in entries.items()}
    return SourcePlugin(
        folder=folder,
        distribution=str(project.get("name") or UNPACKAGED),
        version=str(project.get("version") or ""),
        entries=entries,
        import_folders=tuple(found),
    )


def _read_pyproject(path: Path) -> Mapping[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnknownPlugin(
            f"{path.parent} has no {_PYPROJECT}. `seqd plugins new NAME` writes a plugin with "
            f"one; a plugin in one file is given by that file.{_files_of(path.parent)}"
        ) from None
    except (OSError, ValueError) as error:
        raise UnknownPlugin(f"{path} cannot be read: {error}. Mend it.") from None


def _files_of(folder: Path) -> str:
    files = sorted(folder.glob(f"{PROJECT}_*.py"))
    return f" Such as: {files[0]}" if files else ""


def _entries(folder: Path, project: Mapping[str, object]) -> dict[str, str]:
    found = _table(_table(project, "entry-points"), PROJECT)
    entries = {name: address for name, address in found.items() if isinstance(address, str)}
    if entries:
        return dict(sorted(entries.items()))
    modules = sorted(
        path.stem for path in folder.rglob(f"{PROJECT}_*") if path.suffix in ("", ".py")
    )
    module = next((name for name in modules if name.isidentifier()), f"{PROJECT}_hello")
    name = module.removeprefix(f"{PROJECT}_")
    raise UnknownPlugin(
        f"{folder / _PYPROJECT} names no plugin. Add the lines\n"
        f'    {_GROUP}\n    {name} = "{module}"\n'
        "which give the plugin its name and its module."
    )


def _place_of(folder: Path, name: str, address: str) -> Path:
    """Return where the module of an entry point is: in `src`, the folder, or a folder in it.

    Raises UnknownPlugin where it is in none of them.
    """
    folder = folder.resolve()
    below = sorted(path for path in folder.iterdir() if path.is_dir() and path.name.isidentifier())
    places = [folder / "src", folder, *below]
    module = address.partition(":")[0].strip()
    for place in _places_of(module, places):
        return place
    beside = (path for place in places if place.is_dir() for path in place.iterdir())
    there = [path.stem for path in beside if _is_module(path)]
    raise UnknownPlugin(
        f'{folder / _PYPROJECT} says {name} = "{address}", and there is no module {module!r} in '
        f"{folder}. Correct the name, or write {module}.py.{did_you_mean(module, there)}"
    )


def _places_of(module: str, places: Iterable[Path]) -> Iterator[Path]:
    """Yield the files and packages of the outermost package of a module."""
    top = module.partition(".")[0]
    for place in places:
        for path in (place / top, place / f"{top}.py"):
            if top and _is_module(path):
                yield path


def _is_module(path: Path) -> bool:
    if path.suffix == ".py":
        return path.is_file() and path.name not in ("setup.py", "conftest.py")
    return path.name.isidentifier() and path.is_dir() and any(path.glob("*.py"))


def _load(name: str, address: str, folders: tuple[Path, ...]) -> object:
    for folder in reversed(folders):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    return EntryPoint(name, address, PROJECT).load()


def _table(content: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = content.get(name)
    return cast("Mapping[str, object]", found) if isinstance(found, dict) else {}


def taken_names(
    mine: Candidate, models: Collection[str], installed: Sequence[Candidate]
) -> dict[str, str]:
    """Return which names of a plugin and its models others have, and what to do about each.

    Such as `the model name 'markov' is taken by the plugin 'markov' of seqd 1.0.0`. Loads the
    others here.
    """
    others = [one for one in installed if not _is_same(one, mine)]
    found = {
        f"the plugin name {mine.name!r} is taken by {one.origin}": "Rename it, by its entry point "
        "or its file: beside the other one, this plugin is not loaded."
        for one in others
        if one.name == mine.name
    }
    settings = load_settings(
        enabled_plugins=None, disabled_plugins=(), required_models=(), required_plugins=()
    )
    registry = Registry(others, settings)
    for name in sorted(set(models) & registry.models.keys()):
        owner = registry.plugin_of(name)
        origin = f"{owner.distribution} {owner.version}".strip()
        said = f"the model name {name!r} is taken by the plugin {owner.name!r} of {origin}"
        found[said] = "Rename it: beside the other one, this plugin is not loaded."
    return found


def _is_same(one: Candidate, mine: Candidate) -> bool:
    """Return True for the plugin itself, where it is installed, too, and for those beside it."""
    return one.package == mine.package or _plain(one.distribution) == _plain(mine.distribution)


def _plain(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
