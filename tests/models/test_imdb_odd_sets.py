"""Training sets at the edge of what can be learnt from: each gives a version that classifies."""

import random
from pathlib import Path

import pytest

from seqd.hookspecs import LabelledRecord, WorkItem
from seqd.inputs.datasets import ListDataset
from seqd.testing import CPU, MemoryRunContext, train_to_artifact
from seqd_imdb_lstm import ClassifyParameters, ImdbLstm, TrainParameters
from seqd_imdb_lstm.artifact import VersionConfig
from seqd_schemas import Classification

SMALL = {
    "vocabulary_size": 200,
    "max_tokens": 12,
    "embedding_dim": 8,
    "units": 8,
    "batch_size": 8,
    "epochs": 1,
    "learning_rate": 0.02,
}


def trained(folder: Path, records: list[tuple[str, str]], **changes: object):
    """Train and load; returns the loaded version and the configuration that it has."""
    data = ListDataset([LabelledRecord(text=text, label=label) for text, label in records], "set")
    parameters = TrainParameters.model_validate({**SMALL, **changes})
    artifact = train_to_artifact(ImdbLstm(), parameters, data, folder)
    return ImdbLstm().load(artifact, CPU), VersionConfig.read(artifact.folder)


def classified(loaded, *texts: str) -> list[Classification]:
    items = [WorkItem(index, text) for index, text in enumerate(texts)]
    parameters = ClassifyParameters(probabilities=True)
    return list(loaded.classify(items, parameters, MemoryRunContext()))


@pytest.mark.parametrize(
    ("records", "changes"),
    [
        ([("gut", "a"), ("schlecht", "b")], {}),
        ([("gleich", "a"), ("gleich", "b")] * 10, {}),
        ([("gut", "a"), ("schlecht", "b")] * 10, {"vocabulary_size": 5}),
        ([("gut so", "a"), ("na ja", "b")] * 10 + [("nie", "c")], {"class_weight": "balanced"}),
        ([("gut", "a"), ("schlecht", "b")] * 10, {"max_tokens": 1}),
    ],
    ids=["two records", "equal texts", "one word", "a class seen once", "one id"],
)
def test_an_odd_set_gives_a_version_that_answers(tmp_path: Path, records, changes):
    loaded, config = trained(tmp_path, records, **changes)

    (outcome,) = classified(loaded, records[0][0])

    assert config.labels == tuple(sorted({label for _, label in records}))
    assert outcome.label in config.labels
    assert set(outcome.probabilities) == set(config.labels)
    assert sum(outcome.probabilities.values()) == pytest.approx(1.0, abs=2e-5)


def test_three_classes_of_chinese_are_told_apart_by_their_characters(tmp_path: Path):
    signs = {"快递": "包裹送货到了没有", "发票": "金额账单付款退税", "技术": "屏幕电池机器坏了"}
    drawn = random.Random(5)
    records = [
        (f"你好，{''.join(drawn.sample(letters, 3))}，谢谢。", label)
        for label, letters in list(signs.items()) * 60
    ]
    loaded, config = trained(tmp_path, records, tokenizer="unicode-1", epochs=6)

    outcomes = classified(
        loaded, "你好，包到裹，谢谢。", "你好，退付金，谢谢。", "你好，屏坏池，谢谢。"
    )

    assert config.class_counts == (57, 57, 57)
    assert [outcome.label for outcome in outcomes] == ["快递", "发票", "技术"]
    assert all(outcome.unknown_share == 0.0 for outcome in outcomes)


def test_weighed_classes_are_not_overlooked_however_rare(tmp_path: Path):
    drawn = random.Random(1)
    records = [
        (f"{'selten ' * (label == 'b')}{drawn.choice(['eins', 'zwei', 'drei'])}", label)
        for label in ["a"] * 300 + ["b"] * 6
    ]
    # The sign of the rare class stands in the frequent one too, in one record of ten.
    records += [("selten eins", "a")] * 20

    plain, config = trained(tmp_path / "plain", records, epochs=3, validation_split=0.0)
    weighed, _ = trained(
        tmp_path / "weighed", records, epochs=3, validation_split=0.0, class_weight="balanced"
    )

    assert config.class_counts == (320, 6)
    assert classified(plain, "selten eins")[0].label == "a"
    assert classified(weighed, "selten zwei")[0].label == "b"
