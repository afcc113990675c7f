"""Picture of `seqd top` for its page: a real daemon under load, drawn as SVG by rich.

`make picture` writes `docker/top.svg`: the overview, and below it the workers.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from checkout import use_checkout
from picture import daemon, line_of, without_remote_fonts
from seqd.cli.demo.sample_data import compose_reviews
from top_builders import Terminal, top_on_a_terminal

COLUMNS, ROWS = 100, 20
REVIEWS = 60_000

#: Seconds for which it runs before it is drawn, so that there are rates to be seen.
_WATCHED_S = 40.0

#: What is handed in: two large jobs, items that have errors, texts, and a training.
JOBS = (
    "classify reviews.jsonl --priority bulk --detach",
    "classify reviews.jsonl --tenant acme --detach",
    "generate char_lstm --prompts prompts.txt --length 200 --detach",
    "train markov --data reviews.jsonl --detach",
)


def main() -> None:
    """Draw the picture into the file that the first argument names."""
    use_checkout()
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"))  # noqa: SIM115
    with folder() as name, daemon(Path(name)) as env:
        write_inputs(Path(name))
        for job in JOBS:
            command = [sys.executable, "-m", "seqd", *job.split()]
            subprocess.run(command, cwd=name, env=env, check=True, stdout=subprocess.DEVNULL)
        variables = {"SEQD_DATA_DIR": env["SEQD_DATA_DIR"]}
        with top_on_a_terminal(variables, columns=COLUMNS, rows=ROWS) as terminal:
            terminal.until_shown("items/s")
            terminal.read_for(_WATCHED_S)
            draw(console, terminal)
            terminal.press("3")
            terminal.until_shown("sort: trouble")  # the last line, which is drawn last
            draw(console, terminal)
            terminal.press("q")
            terminal.end()
    svg = console.export_svg(title="seqd top", font_aspect_ratio=0.61)
    Path(sys.argv[1]).write_text(without_remote_fonts(svg), encoding="utf-8")


@contextmanager
def folder() -> Iterator[str]:
    """Make a folder with a short name, which the picture shows; it is removed with the block."""
    path = Path(tempfile.gettempdir(), "seqd")
    path.mkdir()
    try:
        yield str(path)
    finally:
        shutil.rmtree(path)


def write_inputs(folder: Path) -> None:
    """Write reviews, an item in a thousand without a text, and prompts."""
    with (folder / "reviews.jsonl").open("w", encoding="utf-8") as file:
        for number, review in enumerate(compose_reviews(REVIEWS)):
            record = review._asdict() | ({} if number % 1_000 else {"text": ""})
            file.write(json.dumps(record) + "\n")
    (folder / "prompts.txt").write_text("there is nothing so \n" * 2_000, encoding="utf-8")


def draw(console: Console, terminal: Terminal) -> None:
    """Print what stands on the terminal."""
    for row in range(ROWS):
        console.print(line_of(terminal.screen, row))
    console.print(Text(""))


if __name__ == "__main__":
    main()
