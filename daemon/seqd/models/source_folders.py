"""Where a plugin is: a folder with a `pyproject.toml`, one file, a module, or what is installed.

So a plugin can be loaded before it is installed, beside others that may have its names, and by a
process of its own. Nothing of it is imported to find it.
"""

import re
import sys
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import cast

from seqd.errors import InvalidInput, InvalidRequest, UnknownPlugin
from seqd.hookspecs.model import PROJECT
from seqd.models.loading import UNPACKAGED, PluginSource
from seqd.models.registry import Registry
from seqd.validation import did_you_mean, listed

_PYPROJECT = "pyproject.toml"
_GROUP = f"[project.entry-points.{PROJECT}]"


def source_of(plugin: object) -> PluginSource:
    """Return a module, or an object that stands in a module under a name of its own.

    Raises InvalidInput for what no other process could find.
    """
    if isinstance(plugin, ModuleType):
        return _source_of_module(plugin, "")
    home = sys.modules.get(getattr(plugin, "__module__", ""))
    for module in (home, *tuple(sys.modules.values())):
        if isinstance(module, ModuleType):
            for name, value in tuple(vars(module).items()):
                if value is plugin:
                    return _source_of_module(module, name)
    raise InvalidInput(
        f"the plugin {plugin!r:.80} has no name in a module, so that no other process can load it. "
        "Give the module, or an object that the module defines."
    )


def _source_of_module(module: ModuleType, attribute: str) -> PluginSource:
    name, file = module.__name__, getattr(module, "__file__", None)
    # The folder that has to be on `sys.path` for a module of this file and name.
    depth = name.count(".") + hasattr(module, "__path__")
    folders = () if file is None else (str(Path(file).resolve().parents[depth]),)
    return PluginSource(
        name=attribute or name.rpartition(".")[2].removeprefix(f"{PROJECT}_"),
        address=f"{name}:{attribute}" if attribute else name,
        import_folders=folders,
    )


def chosen(sources: Sequence[PluginSource], name: str = "") -> PluginSource:
    """Return the plugin of a folder or file that is meant; the only one needs no name.

    Raises InvalidRequest where there are several and none is named, UnknownPlugin.
    """
    if not name and len(sources) == 1:
        return sources[0]
    found, folder = {source.name: source for source in sources}, sources[0].path
    if not name:
        raise InvalidRequest(
            f"{folder} has the plugins {listed(found)}. Say which one: --plugin {min(found)}."
        )
    if name not in found:
        raise UnknownPlugin(
            f"{folder} has no plugin named {name!r}. Its plugins: {listed(found)}."
            f"{did_you_mean(name, found)}"
        )
    return found[name]


def read_source(path: Path) -> list[PluginSource]:
    """Return the plugins of a folder with a `pyproject.toml`, or that of a file, by their names.

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


def _of_file(path: Path) -> list[PluginSource]:
    """Return a file as a plugin with the name of its module, without `seqd_` in front."""
    module = path.stem
    if not module.isidentifier():
        raise UnknownPlugin(
            f"{path.name} cannot be imported: {module!r} is no name of a module. Rename it to "
            "letters, digits and underscores, such as seqd_hello.py."
        )
    name = module.removeprefix(f"{PROJECT}_") or module
    folders = (str(path.parent),)
    return [PluginSource(name=name, address=module, import_folders=folders, path=str(path))]


def _of_folder(folder: Path) -> list[PluginSource]:
    project = _table(_read_pyproject(folder / _PYPROJECT), "project")
    entries = _entries(folder, project)
    places = [_place_of(folder, name, address) for name, address in entries.items()]
    folders = tuple(dict.fromkeys(str(place.parent) for place in places))
    return [
        PluginSource(
            name=name,
            address=address,
            import_folders=folders,
            distribution=str(project.get("name") or UNPACKAGED),
            version=str(project.get("version") or ""),
            path=str(folder),
        )
        for name, address in entries.items()
    ]


def _read_pyproject(path: Path) -> Mapping[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        files = sorted(path.parent.glob(f"{PROJECT}_*.py"))
        raise UnknownPlugin(
            f"{path.parent} has no {_PYPROJECT}. `seqd plugins new NAME` writes a plugin with one; "
            f"a plugin in one file is given by that file.{f' Such as: {files[0]}' if files else ''}"
        ) from None
    except (OSError, ValueError) as error:
        raise UnknownPlugin(f"{path} cannot be read: {error}. Mend it.") from None


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
    top = module.partition(".")[0]
    for path in (place / name for place in places for name in (top, f"{top}.py")):
        if top and _is_module(path):
            return path
    beside = (path for place in places if place.is_dir() for path in place.iterdir())
    there = [path.stem for path in beside if _is_module(path)]
    raise UnknownPlugin(
        f'{folder / _PYPROJECT} says {name} = "{address}", and there is no module {module!r} in '
        f"{folder}. Correct the name, or write {module}.py.{did_you_mean(module, there)}"
    )


def _is_module(path: Path) -> bool:
    if path.suffix == ".py":
        return path.is_file() and path.name not in ("setup.py", "conftest.py")
    return path.name.isidentifier() and path.is_dir() and any(path.glob("*.py"))


def _table(content: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = content.get(name)
    return cast("Mapping[str, object]", found) if isinstance(found, dict) else {}


def taken_names(
    mine: PluginSource, models: Collection[str], installed: Sequence[PluginSource]
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
    registry = Registry.alone(others)
    for name in sorted(set(models) & registry.models.keys()):
        owner = registry.plugin_of(name)
        origin = f"{owner.distribution} {owner.version}".strip()
        said = f"the model name {name!r} is taken by the plugin {owner.name!r} of {origin}"
        found[said] = "Rename it: beside the other one, this plugin is not loaded."
    return found


def _is_same(one: PluginSource, mine: PluginSource) -> bool:
    """Return True for the plugin itself, where it is installed, too, and for those beside it."""
    return one.package == mine.package or _plain(one.distribution) == _plain(mine.distribution)


def _plain(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
