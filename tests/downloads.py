"""Downloads what a program in another language needs; a test is skipped where that cannot be."""

import subprocess
from pathlib import Path

import pytest

from deploy_files import tool

#: Seconds for a download or a compiler.
TOOL_S = 180.0


def download(command: list[str], folder: Path) -> None:
    """Run a command that downloads; skips the test where its registry cannot be reached."""
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=TOOL_S, check=False
    )
    if ended.returncode != 0:
        name = Path(command[0]).name
        pytest.skip(f"{name} could not download what the program needs: {ended.stderr[-500:]}")


def install_for_node(folder: Path, *packages: str) -> None:
    """Make a folder one in which Node finds packages."""
    (folder / "package.json").write_text('{"private": true}')
    download([tool("npm", "npm"), "install", "--no-audit", "--no-fund", *packages], folder)
