"""Where a plugin is to be found, written so that a process of its own can load it."""

import sys
import tomllib
from collections.abc import Mapping
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import cast

from pydantic import BaseModel, ConfigDict

from seqd.errors import InvalidInput, UnknownPlugin
from seqd.hookspecs.hooks import PROJECT
from seqd.models.loading import UNPACKAGED, Candidate, discover
from seqd.validation import did_you_mean, listed

#: File of a distribution's folder that names its plugins.
PROJECT_FILE = "pyproject.toml"

_NO_ENTRY_POINT = (
    "{file} declares no plugin. Add `[project.entry-points.seqd]` with a line such as `hello = "
    '"seqd_hello"`.'
)


class PluginSource(BaseModel):
    """A plugin by its address, and what has to be on `sys.path` for it."""

    model_config = ConfigDict(frozen=True)

    name: str
    #: `module` or `module:attribute`, as in an entry point.
    address: str
    #: Folders for the front of `sys.path`.
    path: tuple[str, ...] = ()
    #: The module's file, where the module cannot be imported by its name.
    file: str | None = None
    distribution: str = UNPACKAGED
    version: str = ""

    @property
    def module(self) -> str:
        """The module part of the address."""
        return self.address.partition(":")[0]

    def candidate(self) -> Candidate:
        """Return it as the daemon's loader takes it."""
        return Candidate(
            name=self.name,
            load=self.load,
            distribution=self.distribution,
            version=self.version,
            address=self.address,
        )

    def load(self) -> object:
        """Import it and return what its address names. May raise anything."""
        sys.path[:0] = [folder for folder in self.path if folder not in sys.path]
        found: object = self._import()
        for attribute in filter(None, self.address.partition(":")[2].split(".")):
            found = getattr(found, attribute)
        return found

    def _import(self) -> ModuleType:
        if self.file is None or self.module in sys.modules:
            return import_module(self.module)
        spec = spec_from_file_location(self.module, self.file)
        if spec is None or spec.loader is None:
            raise ImportError(f"{self.file} is no module of Python")
        module = module_from_spec(spec)
        sys.modules[self.module] = module
        spec.loader.exec_module(module)
        return module


def installed_source(name: str) -> PluginSource:
    """Return an installed plugin by its name, or that of one of its models.

    Raises UnknownPlugin, which lists the plugins. To find a model, all plugins are loaded here.
    """
    candidates = discover()
    plugin: str | None = name
    if all(candidate.name != name for candidate in candidates):
        plugin = _plugin_of_model(name)
    for candidate in candidates:
        if candidate.name == plugin:
            return PluginSource(
                name=candidate.name,
                address=candidate.address,
                distribution=candidate.distribution,
                version=candidate.version,
            )
    known = sorted(candidate.name for candidate in candidates)
    raise UnknownPlugin(
        f"no plugin or model named {name!r}, and no folder or .py file of that name. Plugins "
        f"here: {listed(known)}.{did_you_mean(name, known)}"
    )


def _plugin_of_model(name: str) -> str | None:
    from seqd.models.registry import Registry
    from seqd.settings import load_settings

    registry = Registry.load(load_settings())
    return registry.plugin_of(name).name if name in registry.models else None


def sources_in(path: Path) -> list[PluginSource]:
    """Return the plugins of a distribution's folder, or that of a `.py` file.

    Raises InvalidInput where there is none, or `pyproject.toml` cannot be read.
    """
    if path.is_file():
        return [_source_of_file(path)]
    if not path.exists():
        raise InvalidInput(
            f"there is no {path}. Give the folder of a distribution, a .py file, or the name of an "
            "installed plugin."
        )
    file = path / PROJECT_FILE
    if not file.is_file():
        raise InvalidInput(
            f"{path} has no {PROJECT_FILE}. Give the folder of a distribution, or a .py file."
        )
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}. Correct it.") from None
    points = _table(content, "project", "entry-points", PROJECT)
    if not points:
        raise InvalidInput(_NO_ENTRY_POINT.format(file=file))
    return [_declared(path, content, name, str(address)) for name, address in points.items()]


def _table(content: Mapping[str, object], *names: str) -> Mapping[str, object]:
    """Return the table under some names; an empty one where there is none."""
    for name in names:
        found = content.get(name)
        content = cast("Mapping[str, object]", found) if isinstance(found, Mapping) else {}
    return content


def _declared(folder: Path, content: Mapping[str, object], name: str, address: str) -> PluginSource:
    top = address.partition(":")[0].partition(".")[0]
    places = _source_folders(folder, content)
    home = next((place for place in places if _has_module(place, top)), None)
    if home is None:
        raise InvalidInput(
            f"{folder / PROJECT_FILE}: the entry point {name!r} names the module {top!r}, and "
            f"there is neither {top}/__init__.py nor {top}.py in {listed(map(str, places))}."
        )
    project = _table(content, "project")
    return PluginSource(
        name=name,
        address=address,
        path=(str(home.resolve()),),
        distribution=str(project.get("name", UNPACKAGED)),
        version=str(project.get("version", "")),
    )


def _source_folders(folder: Path, content: Mapping[str, object]) -> list[Path]:
    """Return where a distribution's modules may be: as setuptools is told, `src`, the folder."""
    setuptools = _table(content, "tool", "setuptools")
    where = _table(setuptools, "packages", "find").get("where", [])
    named = [one for one in where if isinstance(one, str)] if isinstance(where, list) else []
    if isinstance(root := _table(setuptools, "package-dir").get(""), str):
        named.append(root)
    return [folder / name for name in dict.fromkeys([*named, "src", "."])]


def _has_module(folder: Path, name: str) -> bool:
    return (folder / name / "__init__.py").is_file() or (folder / f"{name}.py").is_file()


def _source_of_file(path: Path) -> PluginSource:
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise InvalidInput(
            f"{path} is no module of Python: its name must end in .py, and be letters, digits and "
            "underscores before that."
        )
    resolved = path.resolve()
    return PluginSource(
        name=path.stem, address=path.stem, path=(str(resolved.parent),), file=str(resolved)
    )


def source_of(plugin: object) -> PluginSource:
    """Return a module, or an object that stands in a module under a name of its own.

    Raises InvalidInput for what no other process could find.
    """
    if isinstance(plugin, ModuleType):
        return _source_of_module(plugin, "")
    home = sys.modules.get(getattr(plugin, "__module__", ""))
    for module in (home, *tuple(sys.modules.values())):
        if isinstance(module, ModuleType) and (name := _name_in(module, plugin)):
            return _source_of_module(module, name)
    raise InvalidInput(
        f"the plugin {plugin!r:.80} has no name in a module, so that no other process can load it. "
        "Give the module, or an object that the module defines."
    )


def _name_in(module: ModuleType, plugin: object) -> str | None:
    return next((name for name, value in tuple(vars(module).items()) if value is plugin), None)


def _source_of_module(module: ModuleType, attribute: str) -> PluginSource:
    name = module.__name__
    address = f"{name}:{attribute}" if attribute else name
    plugin = name.rpartition(".")[2].removeprefix("seqd_")
    file = getattr(module, "__file__", None)
    is_package = hasattr(module, "__path__")
    return PluginSource(
        name=attribute or plugin,
        address=address,
        path=() if file is None else (str(_root_of(Path(file), name, is_package=is_package)),),
        file=None if file is None or is_package else str(Path(file).resolve()),
    )


def _root_of(file: Path, name: str, *, is_package: bool) -> Path:
    """Return the folder that has to be on `sys.path` for a module of this file and name."""
    return file.resolve().parents[name.count(".") + is_package]
