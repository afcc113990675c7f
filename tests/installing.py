"""Stands in for `pip install -e .` where there is no network: notes a folder's entry points.

What is installed so is found by a Python that has the folder on its path.
"""

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from example_plugin import write_metadata

if __name__ == "__main__":
    assert sys.argv[1:] == ["-e", "."], f"a guide says pip install -e . and not {sys.argv[1:]}"
    for old in Path().glob("*.dist-info"):
        shutil.rmtree(old)
    write_metadata(Path("pyproject.toml"), Path())
