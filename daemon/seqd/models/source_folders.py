"""Reads where a plugin's source is: a folder with a `pyproject.toml`, or one file.

So a plugin can be loaded before it is installed. Nothing of it is imported here.
"""

import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import cast

from seqd.errors import InvalidRequest, UnknownPlugin
from seqd.hookspecs.hooks import PROJECT
from seqd.models.loading import UNPACKAGED, Candidate
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
    places = _import_folders(folder, content)
    for name, address in entries.items():
        _check_module(folder, name, address, places)
    modules = (address.partition(":")[0].strip() for address in entries.values())
    found = {next(_places_of(module, places)).parent: None for module in modules}
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


def _import_folders(folder: Path, content: Mapping[str, object]) -> list[Path]:
    """Return where modules may be: what the build's settings say, then `src` and the folder."""
    named = list(_named_folders(_table(content, "tool")))
    places = [folder / name for name in [*named, "src", "."]]
    return [*dict.fromkeys(place.resolve() for place in places if place.is_dir())]


def _named_folders(tools: Mapping[str, object]) -> Iterator[str]:
    """Yield the folders of packages that setuptools, hatch, poetry and flit are told of."""
    setuptools = _table(tools, "setuptools")
    packages = setuptools.get("packages")
    where = _table(_table(setuptools, "packages"), "find") if isinstance(packages, dict) else {}
    yield from _texts(where.get("where"))
    yield from _texts(_table(setuptools, "package-dir").get(""))
    wheel = _table(_table(_table(_table(tools, "hatch"), "build"), "targets"), "wheel")
    yield from (str(Path(name).parent) for name in _texts(wheel.get("packages")))
    sources = wheel.get("sources")
    yield from sources if isinstance(sources, dict) else _texts(sources)
    listed_packages = _table(tools, "poetry").get("packages")
    for one in listed_packages if isinstance(listed_packages, list) else []:
        yield from _texts(one.get("from") if isinstance(one, dict) else None)


def _check_module(folder: Path, name: str, address: str, places: list[Path]) -> None:
    """Raise UnknownPlugin where the module of an entry point is in none of the folders."""
    module = address.partition(":")[0].strip()
    if any(_places_of(module, places)):
        return
    there = [path.stem for place in places for path in place.iterdir() if _is_module(path)]
    raise UnknownPlugin(
        f'{folder / _PYPROJECT} says {name} = "{address}", and there is no module {module!r} in '
        f"{listed(str(place) for place in places)}. Correct the name, or write {module}.py."
        f"{did_you_mean(module, there)}"
    )


def _places_of(module: str, places: "list[Path] | tuple[Path, ...]") -> Iterator[Path]:
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


def _texts(value: object) -> list[str]:
    parts = value if isinstance(value, list) else [value]
    return [part for part in parts if isinstance(part, str)]
