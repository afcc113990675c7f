"""The plugin guide's own plugin, taken out of `plugins/contract.md` as installing it would put it.

For the tests that run what the guide shows, and for the conformance tests, which hold its model
to the clauses that the guide names.
"""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from example_plugin import write_metadata
from readme_blocks import ROOT, blocks_of

GUIDE = ROOT / "plugins" / "contract.md"


def write_plugin(folder: Path) -> None:
    """Write the guide's files into a folder, with the metadata that installing them would."""
    for language in ("python", "toml"):
        for block in blocks_of(GUIDE, language):
            (folder / block.file).write_text(block.text, encoding="utf-8")
    write_metadata(folder / "pyproject.toml", folder)


@cache
def installed_plugin() -> Path:
    """Return a folder for `sys.path` with the plugin in it, made once, gone with this process."""
    folder = Path(tempfile.mkdtemp(prefix="seqd-guide-"))
    atexit.register(shutil.rmtree, folder)
    write_plugin(folder)
    return folder
