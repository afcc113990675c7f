"""Edits of a Python module, by its syntax tree.

Left alone: docstrings, annotations, defaults of messages, and calls that log, which no test reads.
"""

import ast
import re
from collections.abc import Iterator

from mutation.edits import Edit

_COMPARISONS: dict[type[ast.cmpop], tuple[str, str, str]] = {
    ast.Lt: ("<", "<=", "boundary"),
    ast.LtE: ("<=", "<", "boundary"),
    ast.Gt: (">", ">=", "boundary"),
    ast.GtE: (">=", ">", "boundary"),
    ast.Eq: ("==", "!=", "comparison"),
    ast.NotEq: ("!=", "==", "comparison"),
    ast.Is: ("is", "is not", "comparison"),
    ast.IsNot: ("is not", "is", "comparison"),
    ast.In: ("in", "not in", "comparison"),
    ast.NotIn: ("not in", "in", "comparison"),
}
_ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "+"),
    ast.FloorDiv: ("//", "*"),
    ast.Div: ("/", "*"),
}
_SWAPPED_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
_LOGS = re.compile(r"\s*(log|logger|logging|warnings)\.")


class PythonSource:
    """A module and its edits."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._tree = ast.parse(source)
        self._lines = [0]
        for line in source.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))

    def edits(self) -> list[Edit]:
        """Return every edit, in the order of the source."""
        found = [edit for node in _walk(self._tree) for edit in self._edits_of(node)]
        return sorted(set(found), key=lambda edit: (edit.start, edit.end, edit.new))

    def _edits_of(self, node: ast.AST) -> Iterator[Edit]:
        if isinstance(node, ast.Compare):
            yield from self._compare(node)
        elif isinstance(node, ast.BoolOp):
            word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
            yield from self._between(node.values[0], node.values[1], word, other, "and/or")
        elif isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert):
            yield from self._negated(node.test)
        elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            word, other = _ARITHMETIC[type(node.op)]
            if not isinstance(node.left, ast.Constant) or not isinstance(node.left.value, str):
                yield from self._between(node.left, node.right, word, other, "arithmetic")
        elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add | ast.Sub):
            signs = ("+=", "-=") if isinstance(node.op, ast.Add) else ("-=", "+=")
            yield from self._between(node.target, node.value, *signs, "arithmetic")
        elif isinstance(node, ast.Constant):
            yield from self._constant(node)
        elif isinstance(node, ast.Return) and node.value is not None:
            if not (isinstance(node.value, ast.Constant) and node.value.value is None):
                yield self._edit(node.value, "None", "return value")
        elif isinstance(node, ast.Expr | ast.Raise | ast.Delete):
            yield from self._removed(node)
        elif isinstance(node, ast.Call):
            yield from self._call(node)

    def _compare(self, node: ast.Compare) -> Iterator[Edit]:
        operands = [node.left, *node.comparators]
        for left, right, operator in zip(operands, operands[1:], node.ops, strict=False):
            yield from self._between(left, right, *_COMPARISONS[type(operator)])

    def _negated(self, test: ast.expr) -> Iterator[Edit]:
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            yield self._edit(test, f"({self._text(test.operand)})", "negated condition")
        else:
            yield self._edit(test, f"not ({self._text(test)})", "negated condition")

    def _constant(self, node: ast.Constant) -> Iterator[Edit]:
        if isinstance(node.value, bool):
            yield self._edit(node, str(not node.value), "constant")
        elif isinstance(node.value, int | float):
            yield self._edit(node, repr(node.value + 1), "constant")
            if node.value > 0:
                yield self._edit(node, repr(node.value - 1), "constant")

    def _removed(self, node: ast.Expr | ast.Raise | ast.Delete) -> Iterator[Edit]:
        is_call = not isinstance(node, ast.Expr) or isinstance(node.value, ast.Call)
        if is_call and not _LOGS.match(self._text(node)):
            yield self._edit(node, "pass", "removed statement")

    def _call(self, node: ast.Call) -> Iterator[Edit]:
        if isinstance(node.func, ast.Name) and node.func.id in _SWAPPED_NAMES:
            yield self._edit(node.func, _SWAPPED_NAMES[node.func.id], "function")
        plain = [argument for argument in node.args if isinstance(argument, ast.Name)]
        if len(plain) >= 2 and plain[:2] == node.args[:2] and plain[0].id != plain[1].id:
            whole = Edit(self._start(plain[0]), self._end(plain[1]), b"", "swapped arguments")
            between = self._source[self._end(plain[0]) : self._start(plain[1])]
            new = plain[1].id.encode() + between + plain[0].id.encode()
            yield Edit(whole.start, whole.end, new, whole.rule)
        for keyword in node.keywords:
            if keyword.arg is not None:
                end = self._end(keyword.value)
                more = re.match(rb"\s*,[ ]*", self._source[end:])
                yield Edit(
                    self._at(keyword.lineno, keyword.col_offset),
                    end + (more.end() if more else 0),
                    b"",
                    "dropped argument",
                )

    def _between(
        self, left: ast.expr, right: ast.expr, word: str, other: str, rule: str
    ) -> Iterator[Edit]:
        """Yield the edit of an operator, which stands between two operands and their brackets."""
        start, end = self._end(left), self._start(right)
        at = self._source.find(word.encode(), start, end)
        if at >= 0 and b"#" not in self._source[start:end]:
            yield Edit(at, at + len(word), other.encode(), rule)

    def _edit(self, node: ast.AST, new: str, rule: str) -> Edit:
        return Edit(self._start(node), self._end(node), new.encode(), rule)

    def _text(self, node: ast.AST) -> str:
        return self._source[self._start(node) : self._end(node)].decode()

    def _start(self, node: ast.AST) -> int:
        return self._at(node.lineno, node.col_offset)  # type: ignore[attr-defined]

    def _end(self, node: ast.AST) -> int:
        return self._at(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]

    def _at(self, line: int, column: int) -> int:
        return self._lines[line - 1] + column


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that have a meaning when the program runs, and none of its logging."""
    yield node
    for field, child in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list"):
            continue
        for one in child if isinstance(child, list) else [child]:
            if isinstance(one, ast.AST) and not _is_talk(one):
                yield from _walk(one)


def _is_talk(node: ast.AST) -> bool:
    """Return True for a docstring, and for a call that logs."""
    if not isinstance(node, ast.Expr):
        return False
    return isinstance(node.value, ast.Constant) or (
        isinstance(node.value, ast.Call) and _LOGS.match(ast.unparse(node.value)) is not None
    )
