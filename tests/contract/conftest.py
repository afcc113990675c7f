"""The source tree as data: every Python file of the project, parsed, with its module's name."""

import ast
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGE_ROOTS = ("schemas", "daemon", "plugins")

#: Packages beside the plugins that several of them use.
LIBRARIES = ("seqd_modelkit",)


@dataclass(frozen=True)
class Source:
    """One Python file."""

    path: Path
    #: Dotted name as imported; empty for a test.
    module: str

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        gc.disable()  # There is no garbage, and to look for it takes twice as long as to parse.
        try:
            return ast.parse(self.text)
        finally:
            gc.freeze()  # The tree stays, and nobody need look at it again.
            gc.enable()

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All nodes of the tree. Once: many rules ask, and a walk takes as long as to parse."""
        return tuple(ast.walk(self.tree))

    @property
    def package(self) -> str:
        """The top package, such as `seqd` or `seqd_markov`."""
        return self.module.partition(".")[0]

    def where(self, line: int) -> str:
        """Name a line for a message."""
        return f"{self.path.relative_to(ROOT)}:{line}"

    def is_in(self, *modules: str) -> bool:
        """True when the file is one of the modules or inside one of them."""
        return is_under(self.module, modules)

    def imports(self) -> Iterator[tuple[int, str]]:
        """Yield each import, wherever it stands, as line and full dotted name."""
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self._base_of(node)
                yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)

    def _base_of(self, node: ast.ImportFrom) -> str:
        if node.level == 0:
            return node.module or ""
        is_package = self.path.name == "__init__.py"
        parts = self.module.split(".")
        parts = parts[: len(parts) - node.level + is_package]
        return ".".join([*parts, node.module] if node.module else parts)


def is_under(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def sources() -> tuple[Source, ...]:
    """All files of the three roots, sorted by path."""
    found = [
        Source(path, _module_name(path, ROOT / root))
        for root in PACKAGE_ROOTS
        for path in sorted((ROOT / root).rglob("*.py"))
    ]
    packages = {source.package for source in found}
    assert {"seqd", "seqd_schemas", "seqd_markov", "seqd_char_lstm", "seqd_imdb_lstm"} <= packages
    return tuple(found)


@pytest.fixture(scope="session")
def plugin_packages() -> tuple[str, ...]:
    """Names of the plugins' import packages; what they share is none of them."""
    packages = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/__init__.py"))
    assert set(LIBRARIES) <= set(packages)
    return tuple(package for package in packages if package not in LIBRARIES)


@pytest.fixture(scope="session")
def sources_of_tests() -> tuple[Source, ...]:
    """All test files."""
    return tuple(Source(path, "") for path in sorted((ROOT / "tests").rglob("*.py")))
