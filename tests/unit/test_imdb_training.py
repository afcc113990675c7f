"""What is refused before `imdb_lstm` trains: nothing of a version is made, no Keras is imported."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from seqd.errors import InvalidData, InvalidParameters
from seqd.hookspecs import LabelledRecord
from seqd.inputs.datasets import ListDataset, NamedDataset
from seqd.testing import MemoryTrainContext
from seqd.worker.training.train import train_parameters
from seqd_imdb_lstm import ImdbLstm, TrainParameters
from seqd_imdb_lstm.training import train_version
from seqd_schemas import NamedSource, TrainJob


def a_set(*texts_and_labels: tuple[str, str], name: str = "train.jsonl") -> ListDataset:
    records = [LabelledRecord(text=text, label=label) for text, label in texts_and_labels]
    return ListDataset(records, name)


TWO = a_set(("gut", "a"), ("schlecht", "b"))


def test_held_out_data_with_an_unknown_class_is_refused(tmp_path: Path):
    held_out = a_set(("gut", "a"), ("gut", "c"), name="test.jsonl")
    context = MemoryTrainContext(tmp_path, TWO, held_out)

    with pytest.raises(InvalidData) as refused:
        train_version(TrainParameters(), context)

    assert str(refused.value) == (
        "Record 2 of test.jsonl has the class 'c', and the training data has 'a', 'b'. Held-out "
        "data must have the same classes."
    )
    assert list(tmp_path.iterdir()) == []


def test_to_wait_for_a_validation_loss_that_never_comes_is_refused(tmp_path: Path):
    with pytest.raises(InvalidParameters) as refused:
        train_version(TrainParameters(patience=2), MemoryTrainContext(tmp_path, TWO))

    assert str(refused.value) == (
        "patience is 2, and there is nothing to validate on: no class of the data has "
        "enough records to hold one out. Give held-out data, raise validation_split, or leave "
        "patience at 0."
    )


def test_parameters_that_do_not_go_together_are_refused_before_the_data_is_read():
    source = NamedSource(name="keras:imdb")
    job = TrainJob(model="imdb_lstm", source=source, parameters={"pooling": "mean_max"})

    with pytest.raises(InvalidParameters) as refused:
        train_parameters(ImdbLstm(), job)

    assert str(refused.value) == (
        "imdb_lstm train: pooling 'mean_max' would take in the states after each pad; with it "
        "padding must be 'masked'."
    )


@pytest.mark.parametrize("half", ["data", "held_out"])
def test_the_built_in_set_cannot_be_split_by_another_rule(tmp_path: Path, half: str):
    sets: dict[str, Sequence[object]] = {"data": TWO, "held_out": TWO}
    context = MemoryTrainContext(tmp_path, **{**sets, half: NamedDataset("keras:imdb")})

    with pytest.raises(InvalidParameters) as refused:
        train_version(TrainParameters(tokenizer="unicode-1"), context)

    assert str(refused.value) == (
        "keras:imdb holds words, not texts: keras-legacy-1 split them, so tokenizer cannot be "
        "'unicode-1'. Leave it at 'keras-legacy-1', or train from the raw reviews."
    )
