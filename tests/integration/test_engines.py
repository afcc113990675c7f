"""The recipes of schemas/engines.md, each run in its engine as a program of its own.

`make test-engines` has an environment with all of them.
"""

import os
import shutil
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from checkout import python_path
from readme_blocks import ROOT, blocks_of

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]

#: Each row four times: two with an output, two with an error.
TEXTS = ["A wonderful film, moving and acted well.", "Dull, and a waste of two hours.", None, ""]
ROWS = 400

RECIPES = {"ray": "import ray", "dask": "import dask", "pyspark": "from pyspark"}


def recipe_of(library):
    """Return the program of the page that begins with the import of a library."""
    programs = blocks_of(ROOT / "schemas" / "engines.md", "python")
    (text,) = [one.text for one in programs if one.text.startswith(RECIPES[library])]
    return text


@pytest.mark.parametrize("library", RECIPES)
def test_a_recipe_gives_each_row_once_with_its_label_or_its_error(library, tmp_path):
    pytest.importorskip(library, reason=f"{library} is not installed: make test-engines")
    if library == "pyspark" and shutil.which("java") is None:
        pytest.skip("java is not installed: apt-get install default-jre-headless")
    rows = {"id": list(range(ROWS)), "text": TEXTS * (ROWS // len(TEXTS))}
    pq.write_table(pa.table(rows), tmp_path / "reviews.parquet", row_group_size=100)

    # Ray and Spark tell their processes which Python it is; none of them is to be in a clone.
    variables = {"PYTHONPATH": python_path(), "PYSPARK_PYTHON": sys.executable}
    done = subprocess.run(
        [sys.executable, "-c", recipe_of(library)],
        cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False,
        env=os.environ | variables,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-5_000:]
    made = pq.read_table(tmp_path / f"by_{library.removeprefix('py')}").sort_by("id").to_pylist()
    assert [one["id"] for one in made] == list(range(ROWS))
    assert [one["label"] for one in made[:4]] == ["positive", "negative", None, None]
    codes = [one["error_code"] for one in made]
    assert codes == [None, None, "invalid_input", "invalid_input"] * (ROWS // len(TEXTS))
