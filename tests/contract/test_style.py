"""How the files look: an opening paragraph, and functions that fit a page."""

import ast
import re

MAX_FUNCTION_LINES = 60


def functions(source):
    for node in source.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines_of(function):
    """Count a function's lines without its docstring."""
    body = function.body
    has_docstring = ast.get_docstring(function) is not None
    docstring = body[0].end_lineno - body[0].lineno + 1 if has_docstring else 0
    return function.end_lineno - function.lineno + 1 - docstring


def test_every_file_opens_with_a_paragraph(sources, sources_of_tests):
    opening = re.compile(r'(#.*\n)*r?""".{30,}?"""', re.DOTALL)
    silent = [
        source.where(1)
        for source in (*sources, *sources_of_tests)
        if not opening.match(source.text)
    ]

    assert not silent, f"Open with what the file is, what it is not, who calls it: {silent}"


def test_no_function_is_longer_than_a_page_and_nine_of_ten_have_at_most_25_lines(sources):
    lengths = {
        f"{source.where(function.lineno)} {function.name}": lines_of(function)
        for source in sources
        for function in functions(source)
    }

    long = [where for where, lines in lengths.items() if lines > MAX_FUNCTION_LINES]
    assert not long, f"Name the steps and make them functions: {long}"
    assert len(lengths) > 200
    assert sorted(lengths.values())[len(lengths) * 9 // 10] <= 25


def test_names_say_what_a_thing_is(sources):
    vague = {"utils", "util", "helpers", "helper", "manager", "handler", "common", "misc"}

    found = [source.module for source in sources if vague & set(source.module.split("."))]

    assert not found, f"Name the thing, not the drawer: {found}"
