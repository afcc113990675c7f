"""Edits of a Python module, by its syntax tree, and its blocks.

Left alone: docstrings, annotations, defaults of messages, and calls that log, which no test reads.
"""

import ast
import re
from collections.abc import Iterator

from mutation.edits import Block, Edit

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
#: By it Numba compiles a function, and a mark is not in its language.
_COMPILED = re.compile(r"(\w+\.)*(compiled|n?jit)\b")
_LOGS = re.compile(r"\s*(log|logger|logging|warnings)\.")


class PythonSource:
    """A module, its edits and its blocks."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._tree = ast.parse(source)
        self._lines = [0]
        for line in source.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))

    def blocks(self) -> list[Block]:
        """Return the blocks of all functions that can be marked."""
        nodes = list(ast.walk(self._tree))
        functions = [
            one for one in nodes if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        calls = [one for one in nodes if isinstance(one, ast.Call) and one.args]
        named = {ast.unparse(one.args[0]) for one in calls if _compiles(one.func)}
        unmarked = {
            node
            for function in functions
            if function.name in named or any(map(_compiles, function.decorator_list))
            for node in ast.walk(function)
        }
        return [
            self._block(body)
            for function in functions
            for node in ast.walk(function)
            if node not in unmarked
            for body in _bodies(node)
        ]

    def edits(self) -> list[Edit]:
        """Return every edit, in the order of the source."""
        found = [edit for node in _walk(self._tree) for edit in self._edits_of(node)]
        return sorted(set(found), key=lambda edit: (edit.start, edit.end, edit.new))

    def names(self, edit: Edit | None = None) -> list[str]:
        """Return what the module's own statements define: the one that holds an edit, or all."""
        found = list[str]()
        for statement in self._tree.body:
            if edit is None or self._start(statement) <= edit.start < self._end(statement):
                match statement:
                    case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                        found.append(statement.name)
                    case ast.Assign():
                        found += [one.id for one in statement.targets if isinstance(one, ast.Name)]
                    case ast.AnnAssign(target=ast.Name(id=name)):
                        found.append(name)
        return found

    def _block(self, body: list[ast.stmt]) -> Block:
        first, last = body[0], body[-1]
        mark = self._at(first.lineno, first.col_offset)
        if decorators := getattr(first, "decorator_list", []):
            mark = self._at(decorators[0].lineno, decorators[0].col_offset - 1)
        assert last.end_lineno is not None and last.end_col_offset is not None
        return Block(mark, mark, self._at(last.end_lineno, last.end_col_offset))

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


def marked(source: bytes, blocks: dict[Block, int]) -> bytes:
    """Return a module that reports the number of each block when it is entered.

    A statement is put in front of the first one, on its line, so no line changes its number.
    """
    for block in sorted(blocks, key=lambda block: -block.mark):
        is_compound = _is_compound(source, block.mark)
        line = source.rfind(b"\n", 0, block.mark) + 1
        indent = source[line : block.mark]
        new = f"__import__('mutation_hits').hit({blocks[block]})".encode()
        if is_compound and not indent.strip():
            source = source[: block.mark] + new + b"\n" + indent + source[block.mark :]
        elif not is_compound:
            source = source[: block.mark] + new + b"; " + source[block.mark :]
    return source


def _is_compound(source: bytes, mark: int) -> bool:
    """Return True where the statement may not stand behind another one on its line."""
    words = rb"(if|for|while|with|try|def|class|async|match|@)"
    return re.match(words + rb"\b|@", source[mark:]) is not None


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


def _compiles(function: ast.expr) -> bool:
    return _COMPILED.match(ast.unparse(function)) is not None


def _bodies(node: ast.AST) -> list[list[ast.stmt]]:
    """Return the lists of statements of a node, a docstring apart."""
    found = []
    for name in ("body", "orelse", "finalbody"):
        body = getattr(node, name, None)
        if isinstance(body, list) and body and isinstance(body[0], ast.stmt):
            rest = body[1:] if _is_docstring(body[0]) else body
            if rest and not (name == "orelse" and _is_elif(node, rest)):
                found.append(rest)
    return found


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_elif(node: ast.AST, body: list[ast.stmt]) -> bool:
    """Return True for `elif`, whose condition belongs to the block around it."""
    return isinstance(node, ast.If) and len(body) == 1 and isinstance(body[0], ast.If)
