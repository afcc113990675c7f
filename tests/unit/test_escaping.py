"""What of a text from outside reaches a log or a terminal."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.escaping import one_line, printable, printable_json

ANYTHING = st.text(st.characters(exclude_categories=()))

#: Categories of what draws nothing and is obeyed: controls, halves of characters, separators.
OBEYED = ("Cc", "Cs", "Zl", "Zp")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u2028b\u2029c\x85d\x0be\rf", "a\\u2028b\\u2029c\\x85d\\x0be\\rf"),
        ("evil\u202etxt.exe\u2066\u200f\u061c", "evil\\u202etxt.exe\\u2066\\u200f\\u061c"),
        ("half \ud800", "half \\ud800"),
        ("tab\tand 中文 é 😀", "tab\tand 中文 é 😀"),
    ],
)
def test_a_line_has_each_control_character_as_python_writes_it(text, shown):
    assert one_line(text) == shown


@given(ANYTHING)
def test_no_text_ends_a_line_moves_a_cursor_or_fails_to_be_written(text):
    line = one_line(text)

    assert len(line.splitlines()) <= 1
    assert not [c for c in line if unicodedata.category(c) in OBEYED and c != "\t"]
    line.encode()


def test_a_long_text_is_cut_and_says_so():
    assert one_line("x" * 5_000_000, 10) == "xxxxxxxxxx… (4,999,990 more characters)"


def test_a_screen_keeps_the_lines_of_a_text():
    assert printable("two\nlines\x1b[m") == "two\nlines\\x1b[m"


@given(st.dictionaries(ANYTHING, ANYTHING))
def test_json_for_a_terminal_is_the_same_value(value):
    written = printable_json(json.dumps(value, ensure_ascii=False))

    assert json.loads(written) == value
    assert not [c for c in written if unicodedata.category(c) in OBEYED]
    written.encode()
