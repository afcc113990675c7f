"""Reads what modules offer: public names, their parameters, fields and defaults, and their texts.

Types are read as they are written in the source, so that they are the same on each Python; defaults
are read from what is running, so that a changed constant shows.
"""

import ast
import dataclasses
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field

#: What has no default.
_NOTHING = object()


@dataclass(frozen=True)
class Parameter:
    """One parameter, or one field of a class."""

    name: str
    #: Its type and its default, such as `int = 512`.
    text: str
    has_default: bool
    #: `*`, `**`, `keyword` or nothing.
    form: str = ""
    comment: str = ""

    @property
    def written(self) -> str:
        """As it stands in a signature."""
        prefix = self.form if self.form in ("*", "**") else ""
        return f"{prefix}{self.name}" + (f": {self.text}" if self.text else "")


@dataclass(frozen=True)
class Name:
    """One public name: of a module, or a method of a class."""

    name: str
    #: `class`, `function`, `property`, `abstract` or `value`.
    kind: str
    parameters: tuple[Parameter, ...] = ()
    returns: str = ""
    text: str = ""
    bases: tuple[str, ...] = ()
    fields: tuple[Parameter, ...] = ()
    members: tuple["Name", ...] = field(default=())

    @property
    def signature(self) -> str:
        """The definition as one line."""
        if self.kind == "property":
            return f"{self.name}: {self.returns}"
        return f"{self.name}({', '.join(self._written())})" + (
            f" -> {self.returns}" if self.returns else ""
        )

    def _written(self) -> Iterator[str]:
        has_star = False
        for one in self.parameters:
            if one.form == "keyword" and not has_star:
                yield "*"
            has_star |= one.form in ("*", "keyword")
            yield one.written


def names_of(module: str) -> list[Name]:
    """Return all that a module offers by `__all__`, sorted by name."""
    loaded = importlib.import_module(module)
    return [_name_of(name, getattr(loaded, name)) for name in sorted(loaded.__all__)]


def _name_of(name: str, thing: object) -> Name:
    if inspect.isclass(thing):
        return _class_of(name, thing)
    if inspect.isfunction(thing):
        return _function_of(name, thing, _tree_of(thing))
    return Name(name, "value", text=type(thing).__name__)


def _tree_of(thing: object) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]  # type: ignore[arg-type]


def _function_of(name: str, function: object, tree: ast.AST, *, is_method: bool = False) -> Name:
    assert isinstance(tree, ast.FunctionDef)
    defaults = {
        one.name: _NOTHING if one.default is one.empty else one.default
        for one in inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    }
    arguments = tree.args
    plain = [*arguments.posonlyargs, *arguments.args][1 if is_method else 0 :]
    forms = [(one, "") for one in plain]
    forms += [(one, "*") for one in [arguments.vararg] if one is not None]
    forms += [(one, "keyword") for one in arguments.kwonlyargs]
    forms += [(one, "**") for one in [arguments.kwarg] if one is not None]
    parameters = tuple(
        _parameter(one.arg, one.annotation, defaults.get(one.arg, _NOTHING), form)
        for one, form in forms
    )
    returns = "" if tree.returns is None else _written(tree.returns)
    return Name(name, "function", parameters, returns, inspect.getdoc(function) or "")


def _parameter(
    name: str, annotation: ast.expr | None, default: object, form: str = "", comment: str = ""
) -> Parameter:
    typed = "" if annotation is None else _written(annotation)
    said = "" if default is _NOTHING else f" = {_value(default)}"
    return Parameter(name, f"{typed}{said}", default is not _NOTHING, form, comment)


def _written(annotation: ast.expr) -> str:
    return ast.unparse(annotation).replace("'", "").replace('"', "")


def _value(default: object) -> str:
    said = repr(default)
    return re.sub(r" at 0x[0-9a-f]+", "", said).replace("mappingproxy", "")


def _class_of(name: str, kind: type) -> Name:
    if not kind.__module__.startswith("seqd."):
        # Of the wire contract, whose own tests hold it.
        return Name(name, "class", text=inspect.getdoc(kind) or "")
    tree = _tree_of(kind)
    assert isinstance(tree, ast.ClassDef)
    source = textwrap.dedent(inspect.getsource(kind)).splitlines()
    fields, members = [], []
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            fields.append(_field_of(kind, node, source))
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            members.append(_member_of(kind, node))
    bases = tuple(ast.unparse(base) for base in tree.bases)
    return Name(
        name,
        "class",
        text=inspect.getdoc(kind) or "",
        bases=bases,
        fields=tuple(one for one in fields if not one.name.startswith("_")),
        members=tuple(members),
    )


def _field_of(kind: type, node: ast.AnnAssign, source: list[str]) -> Parameter:
    assert isinstance(node.target, ast.Name)
    name = node.target.id
    found = getattr(kind, "__dataclass_fields__", {}).get(name)
    if found is None:
        default = vars(kind).get(name, _NOTHING)
    elif found.default_factory is not dataclasses.MISSING:
        default = found.default_factory()
    else:
        default = _NOTHING if found.default is dataclasses.MISSING else found.default
    return _parameter(name, node.annotation, default, comment=_comment_above(source, node.lineno))


def _comment_above(source: list[str], line: int) -> str:
    said: list[str] = []
    for text in reversed(source[: line - 1]):
        if not text.strip().startswith("#:"):
            break
        said.insert(0, text.strip().removeprefix("#:").strip())
    return " ".join(said)


def _member_of(kind: type, node: ast.FunctionDef) -> Name:
    found = inspect.getattr_static(kind, node.name)
    if isinstance(found, property):
        made = _function_of(node.name, found.fget, node, is_method=True)
        return dataclasses.replace(made, kind="property", text=inspect.getdoc(found) or "")
    made = _function_of(node.name, getattr(found, "__func__", found), node, is_method=True)
    is_abstract = getattr(found, "__isabstractmethod__", False)
    return dataclasses.replace(made, kind="abstract" if is_abstract else "function")


def paragraph(text: str) -> str:
    """Return the first paragraph of a docstring, as one line."""
    return " ".join(text.split("\n\n")[0].split())
