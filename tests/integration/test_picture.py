"""Pictures of pages: the front page's is what a real daemon shows, and is drawn by one command."""

import subprocess
import sys
from pathlib import Path

import pytest

from picture import COMMANDS
from readme_blocks import ROOT


def text_of(picture: Path) -> str:
    return picture.read_text(encoding="utf-8").replace("&#160;", " ").replace("&quot;", '"')


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.long
def test_the_picture_is_drawn_from_a_real_run(tmp_path: Path):
    drawn = tmp_path / "terminal.svg"

    subprocess.run([sys.executable, ROOT / "tests" / "picture.py", drawn], check=True, timeout=120)

    assert "10,000 results, in input order" in text_of(drawn)
    assert "there is nothing so concealed in the proper" in text_of(drawn)


#: What stands on each picture of a page.
SHOWN = {
    "daemon/terminal.svg": COMMANDS,
    "docker/top.svg": ("errors/min", "imdb_lstm", "moving", "heard of", "q quit"),
    "docker/monitoring/dashboard.png": (),
    **{f"docker/console/{page}.png": () for page in ("now", "job", "training", "model", "try")},
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_picture_is_small_fetches_nothing_and_shows_what_it_is_for(name: str):
    picture = ROOT / name
    text = "" if picture.suffix == ".png" else text_of(picture)

    assert picture.stat().st_size < (200_000 if picture.suffix == ".png" else 60_000)
    assert "url(http" not in text
    assert [one for one in SHOWN[name] if one not in text] == []
