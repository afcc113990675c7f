"""The published contract of plugins as a flat list, and what may become of it within a major.

Each line is a name, a parameter, a field or a returned type, with its text:

    seqd.hookspecs.TaskSpec.unit_items = "int = 512"
    seqd.plugin.classifier(name) = "str"
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from contract.public_names import Name, Parameter, names_of

MODULES = ("seqd.hookspecs", "seqd.plugin")

#: A snapshot for each version of the API, such as `1.3.json`.
SNAPSHOTS = Path(__file__).parent / "plugin_api"


def published() -> dict[str, str]:
    """Return the contract as it is in this checkout."""
    return {
        path: text
        for module in MODULES
        for name in names_of(module)
        for path, text in _lines(f"{module}.{name.name}", name)
    }


def _lines(path: str, name: Name) -> Iterator[tuple[str, str]]:
    kind = f"{name.kind} {name.text}" if name.kind == "value" else name.kind
    yield path, f"{kind}({', '.join(name.bases)})" if name.bases else kind
    if name.returns:
        yield f"{path} ->", name.returns
    for one in name.parameters:
        yield f"{path}({one.name})", _text(one)
    for one in name.fields:
        yield f"{path}.{one.name}", _text(one)
    for member in name.members:
        yield from _lines(f"{path}.{member.name}", member)


def _text(one: Parameter) -> str:
    return f"{one.form} {one.text}".strip()


def snapshots() -> dict[tuple[int, int], dict[str, str]]:
    """Return what each version of the API has published, the oldest first."""
    found = {}
    for path in SNAPSHOTS.glob("*.json"):
        major, _, minor = path.stem.partition(".")
        found[int(major), int(minor)] = json.loads(path.read_text(encoding="utf-8"))
    return dict(sorted(found.items()))


def write_snapshot(version: tuple[int, int]) -> Path:
    """Write the contract of this checkout as that of a version."""
    path = SNAPSHOTS / f"{version[0]}.{version[1]}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(published(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return path


def breaks(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return, as sentences, what makes plugins fail that were written for `before`."""
    said = []
    for path, text in before.items():
        if path not in after:
            said.append(f"{path} is gone, and was {text!r}. Plugins may use it: restore it.")
        elif after[path] != text and not _is_wider(text, after[path]):
            said.append(f"{path} is {after[path]!r}, and was {text!r}. Plugins rely on it.")
    for path in after.keys() - before.keys():
        owner = path.partition("(")[0] if "(" in path else path.rpartition(".")[0]
        if owner in before and _is_required(path, after[path]):
            said.append(f"{path} is new, and all plugins would have to have it. Give it a default.")
    return sorted(said)


#: Texts of what is no parameter and no field.
_KINDS = ("class", "function", "property", "value")


def _is_required(path: str, text: str) -> bool:
    if path.endswith(" ->") or text.startswith(_KINDS):
        return False
    return " = " not in text and not text.startswith("*")


def _is_wider(before: str, after: str) -> bool:
    """True where a parameter has only got a default."""
    return " = " not in before and after.startswith(f"{before} = ")


def additions(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return the names that `before` has not."""
    return sorted(after.keys() - before.keys())
