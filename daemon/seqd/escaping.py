"""Makes text from outside harmless where people read it: on terminals and in logs.

A label, a job's id or a plugin's message may hold anything. As it is, a newline would write a line
of its own, an escape sequence would move a terminal's cursor, and a bidirectional control would
show text in another order than it has. Such characters are shown as Python writes them.
"""

import re

#: Controls of C0 and C1 but tab and newline; line and paragraph separators; what turns a text's
#: direction; interlinear annotations; and halves of characters, which no stream can encode.
_CONTROLS = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb"
    r"\ud800-\udfff"
)
_UNPRINTABLE = re.compile(f"[{_CONTROLS}]")
_UNPRINTABLE_IN_LINE = re.compile(f"[\n{_CONTROLS}]")

#: Characters of a text that `one_line` keeps, unless told otherwise.
MAX_LINE_CHARS = 4_000


def printable(text: str) -> str:
    """Return a text with every control character but newline and tab escaped."""
    return _UNPRINTABLE.sub(_escaped, text)


def one_line(text: str, max_chars: int = MAX_LINE_CHARS) -> str:
    """Return a text as one line, newlines escaped; a longer text is cut, which is said."""
    left_out = len(text) - max_chars
    if left_out > 0:
        text = text[:max_chars]
    line = _UNPRINTABLE_IN_LINE.sub(_escaped, text)
    return line if left_out <= 0 else f"{line}… ({left_out:,} more characters)"


def printable_json(json: str) -> str:
    r"""Return JSON of the same value, what a terminal would obey or no stream takes as `\uXXXX`.

    In JSON such characters stand inside strings only.
    """
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", json)


def _escaped(match: re.Match[str]) -> str:
    return ascii(match[0])[1:-1]
