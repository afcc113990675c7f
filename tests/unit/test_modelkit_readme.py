"""The examples of the model kit's README run in their order, and say what it says."""

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
