"""The tables of plugins/faults.md, whose words the tests hold."""

import re

from readme_blocks import ROOT

PAGE = ROOT / "plugins" / "faults.md"


def rows_below(heading: str) -> dict[str, list[str]]:
    """Return the rows of the table below a heading of the page, by the name in the first column."""
    part = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in part.splitlines() if line.startswith("| `")]
    return {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in rows}


def assert_said(said: str, words: str) -> None:
    """Check that a message has the words of the page, whose `…` stand for what differs."""
    pattern = ".*".join(map(re.escape, words.split("…")))
    assert re.fullmatch(pattern, said), f"said: {said}\npage: {words}"
