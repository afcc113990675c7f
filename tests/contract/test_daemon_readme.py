"""The map and the ways through the code in daemon/README.md are held against the code."""

import ast
import re
from pathlib import Path

import pytest

#: Most hops from `seqd classify` to a line of the results file.
MOST_HOPS = 12

HOP = re.compile(r"^\| (\d+) \| `([^`]+)` \| `([^`]+)` \| (.+) \|$")
MAP_ROW = re.compile(r"^\| `([^`]+)`(?:, `([^`]+)`)* \|")


@pytest.fixture(scope="module")
def guide(root: Path) -> str:
    return (root / "daemon" / "README.md").read_text(encoding="utf-8")


def section(guide: str, heading: str) -> list[str]:
    assert f"## {heading}\n" in guide, f"daemon/README.md has no section {heading!r}"
    return guide.partition(f"## {heading}\n")[2].partition("\n## ")[0].splitlines()


def hops(guide: str, heading: str) -> list[tuple[str, ...]]:
    return [found.groups() for line in section(guide, heading) if (found := HOP.match(line))]


def names_in(path: Path) -> set[str]:
    """Every function and class of a module, methods as `Class.method`; of Lua, its file's name."""
    if path.suffix == ".lua":
        return {path.name}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            names |= {node.name} | {
                f"{node.name}.{part.name}"
                for part in node.body
                if isinstance(part, ast.FunctionDef)
            }
        elif isinstance(node, ast.FunctionDef):
            names.add(node.name)
    return names


@pytest.mark.parametrize(
    "heading", ["The way of a review", "The way of a training", "Where a thing is done"]
)
def test_each_hop_names_a_file_and_a_function_that_are_there(root: Path, guide: str, heading: str):
    found = hops(guide, heading)

    assert [int(hop[0]) for hop in found] == list(range(1, len(found) + 1))
    assert len(found) >= 5
    for _, file, name, _ in found:
        path = root / file
        assert path.is_file(), f"{heading}: there is no {file}"
        assert name in names_in(path), f"{heading}: {file} has no {name}"


def test_a_review_takes_few_hops(guide: str):
    assert len(hops(guide, "The way of a review")) <= MOST_HOPS


def test_the_map_has_every_package_and_module_of_the_daemon(root: Path, guide: str):
    source = root / "daemon" / "seqd"
    there = {f"seqd/{path.name}/" for path in source.iterdir() if (path / "__init__.py").exists()}
    there |= {f"seqd/{path.name}" for path in source.glob("[a-z]*.py")}
    rows = [line for line in section(guide, "Map") if MAP_ROW.match(line)]

    on_the_map = {name for row in rows for name in re.findall(r"`(seqd/[^`]+)`", row.split("|")[1])}

    assert on_the_map == there
