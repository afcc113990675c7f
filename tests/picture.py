"""Picture of a terminal for the front page: a real daemon's answers, drawn as SVG by rich.

`make picture` writes `daemon/terminal.svg`. It starts `seqd up` in a folder that is removed
afterwards, runs each command in a pseudo-terminal, and draws what a terminal would show.
"""

import json
import os
import pty
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

from checkout import use_checkout
from seqd.cli.demo.sample_data import compose_reviews

ROWS, COLUMNS = 40, 100
REVIEWS = 10_000
COMMANDS = (
    "seqd classify reviews.jsonl --out results.jsonl",
    'seqd generate char_lstm "there is nothing so " --length 160 --temperature 0.5 --seed 1',
    "seqd jobs list",
)


def main() -> None:
    """Draw the picture into the file that the first argument names."""
    use_checkout()
    out = Path(sys.argv[1])
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"))  # noqa: SIM115
    with tempfile.TemporaryDirectory(prefix="seqd-picture-") as name, daemon(Path(name)) as env:
        write_reviews(Path(name) / "reviews.jsonl")
        for command in COMMANDS:
            console.print(Text(f"$ {command}", style="bold"))
            for line in shown(command, Path(name), env):
                console.print(line)
            console.print()
    svg = console.export_svg(title="seqd", font_aspect_ratio=0.61)
    out.write_text(without_remote_fonts(svg), encoding="utf-8")


def write_reviews(path: Path) -> None:
    """Write the labelled reviews that the demo classifies, as JSON Lines."""
    with path.open("w", encoding="utf-8") as file:
        for review in compose_reviews(REVIEWS):
            file.write(json.dumps(review._asdict()) + "\n")


@contextmanager
def daemon(folder: Path) -> Iterator[dict[str, str]]:
    """Run `seqd up` with two workers; yield the environment by which commands find it."""
    tools = str(Path(sys.executable).parent)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SEQD_")}
    env = {
        **kept,
        "PATH": f"{tools}{os.pathsep}{kept['PATH']}",
        "SEQD_DATA_DIR": str(folder / "data"),
        "TERM": "xterm-256color",
        "COLUMNS": str(COLUMNS),
        "LINES": str(ROWS),
    }
    up = subprocess.Popen(
        [sys.executable, "-m", "seqd", "up", "--slots", "cpu:0,train@cpu"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert up.stdout is not None
        for line in up.stdout:
            if line.startswith("Ready"):
                break
        else:
            raise SystemExit("`seqd up` ended before its workers were ready")
        yield env
    finally:
        up.terminate()
        up.communicate(timeout=120)


def shown(command: str, folder: Path, env: dict[str, str]) -> list[Text]:
    """Return the lines that a terminal shows once the command has ended."""
    parent, child = pty.openpty()
    running = subprocess.Popen(
        shlex.split(command), cwd=folder, env=env, stdin=child, stdout=child, stderr=child
    )
    os.close(child)
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    while data := _read(parent):
        stream.feed(data)
    os.close(parent)
    if running.wait() != 0:
        raise SystemExit(f"{command} ended with status {running.returncode}")
    lines = [line_of(screen, row) for row in range(ROWS)]
    while lines and not lines[-1].plain.strip():
        lines.pop()
    return lines


def _read(parent: int) -> bytes:
    try:
        return os.read(parent, 65_536)
    except OSError:  # Linux says EIO when the last writer has gone
        return b""


def line_of(screen: pyte.Screen, row: int) -> Text:
    """Return a line of a terminal's screen, with its colours."""
    cells = [screen.buffer[row][column] for column in range(screen.columns)]
    line = Text()
    for style, run in groupby(cells, _style):
        line.append("".join(cell.data for cell in run), style)
    line.rstrip()
    return line


def _style(cell: pyte.screens.Char) -> Style:
    color = {"default": None, "brown": "yellow"}.get(cell.fg, cell.fg)
    is_hex = color is not None and len(color) == 6 and set(color) <= set("0123456789abcdef")
    color = f"#{color}" if is_hex else color
    return Style(color=color, bold=cell.bold, reverse=cell.reverse)


def without_remote_fonts(svg: str) -> str:
    """Return the picture with the reader's own monospaced font: nothing is fetched for it."""
    before, _, rest = svg.partition("@font-face")
    while "@font-face" in rest:
        _, _, rest = rest.partition("@font-face")
    return before + rest.partition("}")[2].replace("Fira Code", "ui-monospace")


if __name__ == "__main__":
    main()
