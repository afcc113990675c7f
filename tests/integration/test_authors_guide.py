"""The authors' guide does what it says: each page is followed as a reader follows it."""

from pathlib import Path

import pytest

from guide_pages import follow, matches
from readme_blocks import ROOT

pytestmark = [pytest.mark.processes]

PAGES = ROOT / "plugins"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", ["README.md", "tutorial.md", "how-to.md"])
def test_a_page_leads_where_it_says(tmp_path: Path, page: str):
    follow(PAGES / page, tmp_path)


def test_output_of_a_page_is_held_against_what_is_printed_line_by_line():
    page = "label  …  text\n…\n2 items in … s\n"

    assert matches("label  1.0  text\nmore\nand more\n2 items in 0.3 s\n", page)
    assert matches("label  0.9  text\n2 items in 0.3 s\n", page)
    assert not matches("label  0.9  text\n3 items in 0.3 s\n", page)
    assert not matches("label  0.9  text\n2 items in 0.3 s\nand a line\n", page)
