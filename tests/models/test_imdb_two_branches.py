"""Versions with an n-gram branch beside the LSTM: trained, written, read, and averaged."""

from pathlib import Path

import numpy as np
import pytest

from imdb_builders import a_config, a_version
from seqd.errors import ArtifactDamaged, Stopped
from seqd.hookspecs import LabelledRecord, WorkItem
from seqd.inputs.datasets import ListDataset
from seqd.testing import CPU, MemoryRunContext, MemoryTrainContext, train_to_artifact
from seqd_imdb_lstm import ClassifyParameters, ImdbLstm, TrainParameters
from seqd_imdb_lstm.artifact import WEIGHTS_FILE, read_version
from seqd_imdb_lstm.engine import CompiledEngine, TwoBranchEngine, engine_for
from seqd_imdb_lstm.ngrams import WeightedReviews, fit_table
from seqd_imdb_lstm.training import train_version

SMALL = {
    "vocabulary_size": 60,
    "max_tokens": 12,
    "padding": "masked",
    "pooling": "mean_max",
    "embedding_dim": 8,
    "units": 8,
    "batch_size": 8,
    "epochs": 2,
    "validation_split": 0.2,
    "ngram_order": 2,
    "ngram_buckets": 1024,
    "ngram_l2": 0.1,
}
TEXTS = {
    "pos": ("good film", "good fun", "good", "not bad film"),
    "neg": ("bad film", "bad fun", "bad", "not good film"),
}


def a_set(repeats: int = 30) -> ListDataset:
    rows = [
        LabelledRecord(text=f"{text} {number % 5}", label=label)
        for number in range(repeats)
        for label, texts in TEXTS.items()
        for text in texts
    ]
    return ListDataset(rows, "films")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory):
    parameters = TrainParameters.model_validate(SMALL)
    return train_to_artifact(ImdbLstm(), parameters, a_set(), tmp_path_factory.mktemp("version"))


def test_a_version_tells_what_pairs_of_words_mean(artifact) -> None:
    loaded = ImdbLstm().load(artifact, CPU)
    items = [WorkItem(index, text) for index, text in enumerate(TEXTS["pos"] + TEXTS["neg"])]

    outcomes = loaded.classify(items, ClassifyParameters(), MemoryRunContext())

    assert [outcome.label for outcome in outcomes] == ["pos"] * 4 + ["neg"] * 4


def test_its_figures_are_those_of_both_and_of_the_lstm_alone(artifact) -> None:
    figures = artifact.manifest.metrics

    assert figures["validation_accuracy"] == 1.0
    assert figures["validation_loss"] < figures["lstm_validation_loss"]
    assert figures["lstm_loss"] > 0.0


def test_probabilities_are_the_weighted_mean_of_the_log_odds() -> None:
    version = a_version(a_config(padding="masked", pooling="mean_max"))
    random = np.random.default_rng(0)
    reviews = [np.array([1, *random.integers(2, 9, 6)], dtype=np.int32) for _ in range(40)]
    targets = random.integers(0, 2, 40).astype(np.int32)
    data = WeightedReviews(reviews, targets, np.ones(40, dtype=np.float32))
    table = fit_table(data, 2, order=2, buckets=256, l2=1.0)
    lstm = CompiledEngine(version)

    averaged = TwoBranchEngine(lstm, table, 0.25).probabilities(reviews)

    of_lstm = lstm.probabilities(reviews).astype(np.float64)
    by_hand = 0.25 * np.log(of_lstm[:, 1] / of_lstm[:, 0]) + 0.75 * table.logits(reviews)[:, 0]
    assert np.log(averaged[:, 1] / averaged[:, 0]) == pytest.approx(by_hand, abs=1e-4)
    assert averaged.sum(axis=1) == pytest.approx(np.ones(40), abs=1e-6)


def test_any_batching_gives_what_one_by_one_gives(artifact) -> None:
    version = read_version(artifact.folder)
    engine = engine_for(version, CPU)
    texts = [text for texts in TEXTS.values() for text in texts]
    reviews = [one.ids for one in version.vocabulary.encode_all(texts, 12)]

    together = engine.probabilities(reviews)

    assert together.tolist() == [engine.probabilities([one])[0].tolist() for one in reviews]


def test_a_version_without_its_table_is_damaged(artifact, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save

    for name in ("config.json", "vocabulary.json"):
        (tmp_path / name).write_bytes((artifact.folder / name).read_bytes())
    arrays = load_file(artifact.folder / WEIGHTS_FILE)
    del arrays["ngram_owners"]
    (tmp_path / WEIGHTS_FILE).write_bytes(save(arrays))

    with pytest.raises(ArtifactDamaged, match=r"needed are .*ngram_owners"):
        read_version(tmp_path)


def test_a_stop_is_honoured_while_the_n_grams_are_fitted(tmp_path: Path) -> None:
    class StopsAtTheTable(MemoryTrainContext):
        epochs_told = 0

        def epoch(self, *figures: float, **named: float) -> None:
            self.epochs_told += 1
            super().epoch(*figures, **named)  # type: ignore[arg-type]

        def stop_requested(self) -> bool:
            return self.epochs_told == SMALL["epochs"]

    context = StopsAtTheTable(tmp_path, a_set())

    with pytest.raises(Stopped, match="while it fitted its n-grams"):
        train_version(TrainParameters.model_validate(SMALL), context)
    assert list(tmp_path.iterdir()) == []
