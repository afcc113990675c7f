"""The examples of the model kit's README run in their order, and its table has every module."""

import re

import numpy as np
import pytest

from readme_blocks import ROOT, blocks_of


def test_the_examples_run():
    blocks = blocks_of(ROOT / "plugins" / "seqd_modelkit" / "README.md", "python")
    names: dict = {"__name__": "readme"}

    for block in blocks:
        exec(block.text, names)

    assert names["probabilities"].sum() == pytest.approx(1)
    assert names["bits"] == pytest.approx(0.60, abs=0.005)
    assert np.array_equal(names["twice"].counts, 2 * names["counts"].counts)
    assert sum(names["pruned"].ngrams) < sum(names["model"].ngrams)
    assert names["again"].states == names["model"].states


def test_its_table_says_of_each_module_whether_it_is_stable():
    kit = ROOT / "plugins" / "seqd_modelkit"
    page = (kit / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+?) \| .* \| (0\.[23]|no) \|$", page, re.M)
    told = sorted(name for cell, _ in rows for name in re.findall(r"`(\w+)`", cell))

    modules = {path.stem for path in kit.glob("*.py")} - {"__init__"}
    packages = {path.parent.name for path in kit.glob("*/__init__.py")}

    assert told == sorted(modules | packages)
