"""The front page's picture is what a real daemon shows, and is drawn by one command."""

import subprocess
import sys
from pathlib import Path

import pytest

from picture import COMMANDS
from readme_blocks import ROOT

PICTURE = ROOT / "daemon" / "terminal.svg"
TOP_PICTURE = ROOT / "docker" / "top.svg"


def text_of(picture: Path) -> str:
    return picture.read_text(encoding="utf-8").replace("&#160;", " ").replace("&quot;", '"')


@pytest.mark.processes
@pytest.mark.slow
def test_the_picture_is_drawn_from_a_real_run(tmp_path: Path):
    drawn = tmp_path / "terminal.svg"

    subprocess.run([sys.executable, ROOT / "tests" / "picture.py", drawn], check=True, timeout=120)

    assert "10,000 results, in input order" in text_of(drawn)
    assert "there is nothing so concealed in the proper" in text_of(drawn)


def test_the_picture_of_top_is_of_a_fleet_under_load_and_fetches_nothing():
    text = text_of(TOP_PICTURE)

    assert TOP_PICTURE.stat().st_size < 60_000
    assert "url(http" not in text
    for shown in ("errors/min", "imdb_lstm", "moving", "heard of", "q quit"):
        assert shown in text


def test_the_picture_is_small_fetches_nothing_and_shows_the_commands():
    text = text_of(PICTURE)

    assert PICTURE.stat().st_size < 20_000
    assert "url(http" not in text
    assert all(command in text for command in COMMANDS)
