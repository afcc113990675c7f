"""The example of the n-gram library's README runs, and says what it says."""

import numpy as np
import pytest

from readme_blocks import ROOT, blocks_of


def test_the_example_runs():
    (block,) = blocks_of(ROOT / "plugins" / "seqd_modelkit" / "README.md", "python")
    names: dict = {}

    exec(block.text, names)

    assert names["probabilities"].sum() == pytest.approx(1)
    assert names["bits"] == pytest.approx(0.60, abs=0.005)
    assert np.array_equal(names["twice"].counts, 2 * names["counts"].counts)
    assert sum(names["pruned"].ngrams) < sum(names["model"].ngrams)
    assert names["again"].states == names["model"].states
