"""Where a plugin is to be found, written so that a process of its own can load it."""

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel, ConfigDict

from seqd.errors import InvalidInput, UnknownPlugin
from seqd.models.loading import UNPACKAGED, Candidate, discover
from seqd.models.source_folders import read_source
from seqd.validation import did_you_mean, listed


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

    def holds(self, file: str) -> bool:
        """Return True for a file of the plugin: its module's name is in the path."""
        top, path = self.module.partition(".")[0], Path(file)
        return path.stem == top or top in path.parts

    def candidate(self) -> Candidate:
        """Return it as the daemon's loader takes it."""
        return Candidate(
            name=self.name,
            load=self.load,
            distribution=self.distribution,
            version=self.version,
            address=self.address,
            import_folders=self.path,
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

    Raises UnknownPlugin where there is none.
    """
    found = read_source(path)
    return [
        PluginSource(
            name=name,
            address=address,
            path=tuple(map(str, found.import_folders)),
            file=str(path.resolve()) if path.suffix == ".py" else None,
            distribution=found.distribution,
            version=found.version,
        )
        for name, address in found.entries.items()
    ]


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
