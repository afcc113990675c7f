"""The plugin's own tests: weights that are made here are served as they were fitted."""

import json
from pathlib import Path

import pytest

from seqd.testing import CPU
from seqd_onnx import Onnx

for library in ("onnx", "onnxruntime", "sklearn"):
    pytest.importorskip(
        library, reason=f"{library} is not installed: pip install 'seqd-onnx[weights]'"
    )


@pytest.mark.parametrize("classes", [["cold", "warm"], ["cold", "mild", "warm"]])
def test_a_text_gets_the_class_whose_words_it_has(tmp_path: Path, classes: list[str]) -> None:
    from seqd_onnx_weights import make_weights

    data = tmp_path / "data.jsonl"
    records = [{"text": f"a {label} film", "label": label} for label in classes * 10]
    data.write_text("\n".join(map(json.dumps, records)))

    make_weights(data, tmp_path / "weights")
    labels = Onnx.load(tmp_path / "weights", CPU).classify(["warm, so warm", "Cold!", "new words"])

    assert [label.label for label in labels[:2]] == ["warm", "cold"]
    assert labels[2].probabilities is None
    assert labels[2].score == pytest.approx(1 / len(classes), abs=0.01)
