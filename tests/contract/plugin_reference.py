"""The reference for authors, `plugins/reference.md`, as the code makes it."""

import inspect
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import seqd.hookspecs.model
from contract.public_names import Name, Parameter, names_of, paragraph
from seqd.hookspecs import PLUGIN_API_VERSION, SeqdHooks

PAGE = Path(__file__).parents[2] / "plugins" / "reference.md"

#: Names of `seqd.testing` that are for tests of services, and not for authors.
FOR_SERVICES = frozenset(
    {"Held", "RunningServices", "ServerForTests", "StubModel", "running_services"}
    | {"server_for_tests"}
)

_OPENING = """# Reference for authors

Written by `make reference` from the code, version {version} of the contract. What a name is for
stands in [`README.md`](README.md), [`how-to.md`](how-to.md) and [`contract.md`](contract.md).
"""


def page() -> str:
    """Return the page."""
    major, minor = PLUGIN_API_VERSION
    parts = [_OPENING.format(version=f"{major}.{minor}"), *_clauses(), *_hooks()]
    own, others = _own_and_others("seqd.plugin")
    parts += _section("seqd.plugin", "Decorators, and what their functions take and give.", own)
    parts.append(f"Also here, from `seqd.hookspecs`, `seqd.errors` and `seqd_schemas`: {others}.\n")
    parts += _section("seqd.hookspecs", "The whole contract.", _public("seqd.hookspecs"))
    parts += _section("seqd.testing", "For tests of plugins.", _public("seqd.testing"))
    return "\n".join(parts)


def _clauses() -> Iterator[str]:
    yield "## Clauses\n"
    yield (
        "What the daemon relies on. `seqd plugins check` checks all but O1. What breaks O1 or "
        "O3 is not loaded.\n"
    )
    said = inspect.getdoc(seqd.hookspecs.model) or ""
    rows = re.findall(r"^    ([A-Z]\d)  (.+(?:\n        .+)*)", said, re.MULTILINE)
    table = [f"| {clause} | {' '.join(text.split())} |" for clause, text in rows]
    yield "\n".join(["| clause | what holds |", "| --- | --- |", *table]) + "\n"


def _hooks() -> Iterator[str]:
    yield "## Hooks\n"
    yield "Functions of a plugin's module under `@hookimpl`; arguments may be left out.\n"
    (hooks,) = [one for one in names_of("seqd.hookspecs") if one.name == SeqdHooks.__name__]
    yield "\n".join(_member(hook) for hook in hooks.members) + "\n"


def _own_and_others(module: str) -> tuple[list[Name], str]:
    elsewhere = {one.name for one in names_of("seqd.hookspecs")}
    names = names_of(module)
    own = [one for one in names if one.name not in elsewhere and _is_described(one)]
    others = [one.name for one in names if one not in own]
    return own, ", ".join(f"`{name}`" for name in others)


def _is_described(name: Name) -> bool:
    return bool(
        name.fields or name.members or name.parameters or name.name in ("BadItem", "Random")
    )


def _public(module: str) -> list[Name]:
    left_out = {SeqdHooks.__name__} | (FOR_SERVICES if module == "seqd.testing" else set())
    return [one for one in names_of(module) if one.name not in left_out]


def _section(module: str, opening: str, names: Sequence[Name]) -> Iterator[str]:
    yield f"## {module}\n\n{opening}\n"
    ordered = sorted(names, key=lambda one: one.name.lower())
    for name in ordered:
        if not _is_small(name):
            yield "\n".join(_entry(name))
    if small := [_small_entry(name) for name in ordered if _is_small(name)]:
        yield "### Records and values\n\n" + "\n".join(small) + "\n"


def _is_small(name: Name) -> bool:
    """Return True for a value, and for a record of which no field has more to say than its name."""
    is_record = name.fields and not (name.members or name.bases)
    return name.kind == "value" or bool(is_record and not any(one.comment for one in name.fields))


def _small_entry(name: Name) -> str:
    if name.kind == "value":
        return f"- `{name.name}`: a value of type `{name.text}`."
    fields = ", ".join(one.written for one in name.fields)
    return f"- `{name.name}({fields})`: {paragraph(name.text)}"


def _entry(name: Name) -> Iterator[str]:
    yield f"### {name.name}\n"
    if name.kind == "function":
        yield f"```text\n{_definition(name)}\n```\n"
        yield "\n".join(f"{paragraph(one)}\n" for one in name.text.split("\n\n"))
        return
    if name.bases:
        yield f"A class, of {', '.join(f'`{base}`' for base in name.bases)}.\n"
    yield paragraph(name.text) + "\n"
    lines = [*_fields(name.fields), *map(_member, name.members)]
    if lines:
        yield "\n".join(lines) + "\n"


def _definition(name: Name) -> str:
    """Return a signature, broken between parameters where it is long."""
    parts = re.split(r", (?=\*|\w+: )", name.signature)
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) > 98:
            lines[-1] += ","
            lines.append(f"    {part}")
        else:
            lines[-1] += f", {part}"
    return "\n".join(lines)


def _fields(fields: Sequence[Parameter]) -> Iterator[str]:
    """Yield a line for each field of which something is said, and one for those between them."""
    for is_told, told in groupby(fields, lambda one: bool(one.comment)):
        if is_told:
            yield from (f"- `{one.written}`: {one.comment}" for one in told)
        else:
            yield "- " + ", ".join(f"`{one.written}`" for one in told)


def _member(one: Name) -> str:
    return f"- `{one.signature}`: {paragraph(one.text)}"
