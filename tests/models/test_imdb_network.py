"""A training of `imdb_lstm`, its events and its end; and Keras against the kernel that serves."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqd.errors import InvalidData, Stopped
from seqd.hookspecs import Artifact, Device, LabelledRecord, TrainedModel, WorkItem
from seqd.testing import MemoryCheckpoints, MemoryRunContext
from seqd_imdb_lstm import ClassifyParameters, ImdbLstm, TrainParameters
from seqd_imdb_lstm.artifact import Version, VersionConfig, Weights, read_version, shapes_of
from seqd_imdb_lstm.engine import Engine, engine_for
from seqd_imdb_lstm.vocabulary import Vocabulary
from seqd_schemas import DataFingerprint, FileDigest, ModelManifest

pytestmark = pytest.mark.network

TINY = {
    "vocabulary_size": 30,
    "max_tokens": 8,
    "embedding_dim": 4,
    "units": 6,
    "batch_size": 8,
    "epochs": 2,
    "learning_rate": 0.05,
}
CPU = Device(slot="cpu:0", kind="cpu")
GOOD = "a good film and a fine one"
BAD = "a bad film and a dull one"


class Reviews:
    """A data set in memory: `count` reviews, good and bad in turn."""

    description = "reviews.jsonl"

    def __init__(self, count: int = 40, named: str | None = None, label: str | None = None) -> None:
        self.count = count
        self.named = named
        self.label = label
        self.readings = 0

    def records(self) -> Iterator[LabelledRecord]:
        self.readings += 1
        for number in range(self.count):
            text, label = ((BAD, "neg"), (GOOD, "pos"))[number % 2]
            yield LabelledRecord(f"{text} {'word' * (number % 3)}", self.label or label)

    def text(self) -> str:
        raise AssertionError("a classifier learns from records")


class Training:
    """A training job in memory that can be asked to stop after so many steps."""

    device = CPU

    def __init__(self, folder: Path, data: Reviews | None = None, **changes: object) -> None:
        self.folder = folder
        self.checkpoints = MemoryCheckpoints()
        self.data = data or Reviews()
        self.held_out: Reviews | None = changes.pop("held_out", None)
        self.stop_after_steps: int = changes.pop("stop_after_steps", 10**9)
        self.parameters = TrainParameters(**{**TINY, **changes})
        self.steps: list[tuple[int, int, dict[str, float]]] = []
        self.epochs: list[tuple[int, int, dict[str, float]]] = []
        self.logs: list[str] = []
        self.fingerprints: list[tuple[int, str]] = []
        self.trained = TrainedModel({})

    def run(self) -> TrainedModel:
        return ImdbLstm().train(self.parameters, self)

    def stop_requested(self) -> bool:
        return len(self.steps) >= self.stop_after_steps

    def step(self, done: int, total: int, **metrics: float) -> None:
        self.steps.append((done, total, metrics))

    def epoch(self, epoch: int, epochs: int, seconds: float, **metrics: float) -> None:
        assert seconds > 0.0
        self.epochs.append((epoch, epochs, metrics))

    def log(self, message: str) -> None:
        self.logs.append(message)

    def fingerprint(
        self, records: int, sha256: str, classes: Mapping[str, int] | None = None
    ) -> None:
        self.fingerprints.append((records, sha256))


def network() -> ModuleType:
    """The one module that imports Keras; not at this file's head, so that collecting is quick."""
    from seqd_imdb_lstm import network

    return network


def an_artifact(folder: Path) -> Artifact:
    files = {file.name: FileDigest(sha256="0" * 64, size_bytes=1) for file in folder.iterdir()}
    manifest = ModelManifest(
        model="imdb_lstm",
        version=1,
        plugin_version="0",
        parameters={},
        metrics={},
        data=DataFingerprint(description="reviews.jsonl", records=200, sha256="0" * 64),
        libraries={},
        created_at_ms=0,
        files=files,
    )
    return Artifact(folder, manifest)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Training:
    """A training that has run to its end: 200 reviews, 40 of them held out, 8 epochs, seed 7."""
    training = a_long_training(tmp_path_factory.mktemp("finished"), seed=7)
    training.trained = training.run()
    return training


def a_long_training(folder: Path, seed: int) -> Training:
    return Training(folder, Reviews(200), epochs=8, validation_split=0.2, seed=seed)


def test_a_training_publishes_its_steps_and_epochs(finished: Training):
    # 200 reviews less 40 held out, 8 a step, 8 epochs
    assert [step[:2] for step in finished.steps] == [(done, 160) for done in range(1, 161)]
    assert all(step[2].keys() == {"loss", "accuracy"} for step in finished.steps)
    assert [epoch[:2] for epoch in finished.epochs] == [(epoch, 8) for epoch in range(1, 9)]
    for *_, figures in finished.epochs:
        assert figures.keys() == {"loss", "accuracy", "validation_loss", "validation_accuracy"}
    assert finished.logs == [
        "Records with the words and the label of an earlier one: 194. They are learnt from like "
        "others; one that is held out may also be trained on.",
        "Training on 160 reviews, 80 'neg', 80 'pos', with 10 known words; validating on 40.",
    ]


def test_a_training_leaves_its_last_figures_and_the_versions_of_its_libraries(finished: Training):
    assert finished.trained.metrics == finished.epochs[-1][2]
    assert finished.trained.libraries.keys() == {"numpy", "numba"}


def test_what_tells_the_classes_apart_is_learnt(finished: Training):
    assert finished.trained.metrics["validation_accuracy"] == 1.0
    assert finished.trained.metrics["validation_loss"] < 0.1


@pytest.mark.smoke
def test_a_trained_version_classifies_as_it_has_learnt(finished: Training):
    loaded = ImdbLstm().load(an_artifact(finished.folder), CPU)
    items = [WorkItem(0, GOOD), WorkItem(1, ""), WorkItem(2, BAD)]

    good, empty, bad = loaded.classify(items, ClassifyParameters(), MemoryRunContext())

    assert (good.label, empty.code, bad.label) == ("pos", "invalid_input", "neg")
    assert min(good.score, bad.score) > 0.9


def test_the_same_seed_gives_the_same_weights_bit_for_bit(finished: Training, tmp_path: Path):
    again = a_long_training(tmp_path, seed=7)

    again.run()

    assert again.epochs == finished.epochs
    for file in ("weights.safetensors", "vocabulary.json", "config.json"):
        assert (again.folder / file).read_bytes() == (finished.folder / file).read_bytes()


def test_another_seed_gives_other_weights(finished: Training, tmp_path: Path):
    other = a_long_training(tmp_path, seed=8)

    other.run()

    assert other.epochs != finished.epochs


def test_held_out_data_is_validated_on_and_all_of_the_data_is_trained_on(tmp_path: Path):
    data, held_out = Reviews(40), Reviews(12)
    training = Training(tmp_path, data, held_out=held_out)

    training.run()

    assert training.logs[-1].startswith("Training on 40 reviews, ")
    assert training.logs[-1].endswith("validating on 12.")
    assert (data.readings, held_out.readings) == (1, 1)


def test_without_anything_held_out_there_are_no_validation_figures(tmp_path: Path):
    training = Training(tmp_path, validation_split=0.0)

    training.run()

    assert training.epochs[-1][2].keys() == {"loss", "accuracy"}


def test_a_stop_is_honoured_within_one_step_and_leaves_no_version(tmp_path: Path):
    training = Training(tmp_path, stop_after_steps=3)

    with pytest.raises(
        Stopped, match=r"^The training was stopped after step 3 of \d+; it made no version\.$"
    ):
        training.run()

    assert len(training.steps) == 3
    assert training.epochs == []
    assert list(tmp_path.iterdir()) == []


def test_a_stop_is_honoured_while_the_data_is_read(tmp_path: Path):
    training = Training(tmp_path, stop_after_steps=0)

    with pytest.raises(Stopped, match=r"^The training was asked to stop while it read its data\.$"):
        training.run()

    assert training.logs == []


def test_a_stop_is_honoured_before_the_validation(tmp_path: Path):
    class StoppedAtTheEpochsEnd(Training):
        """Asked once while reading, before each of 5 steps, then before the validation."""

        looks = 0

        def stop_requested(self) -> bool:
            self.looks += 1
            return self.looks > 6

    training = StoppedAtTheEpochsEnd(tmp_path, Reviews(40), validation_split=0.1)

    with pytest.raises(
        Stopped, match=r"^The training was stopped after step 5 of 10; it made no version\.$"
    ):
        training.run()

    assert (len(training.steps), training.epochs) == (5, [])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            Reviews(0),
            "reviews.jsonl holds no reviews with words in them; imdb_lstm learns from "
            "labelled reviews of two classes or more.",
        ),
        (
            Reviews(4, label="pos"),
            "reviews.jsonl has one class only, 'pos'; imdb_lstm tells two or more apart. Is "
            "label_field (--label-field) the field that holds the class?",
        ),
        (
            Reviews(named="keras:reuters"),
            "imdb_lstm knows no data set named 'keras:reuters'; it knows 'keras:imdb'.",
        ),
    ],
)
def test_data_that_cannot_be_learnt_from_is_refused(tmp_path: Path, data: Reviews, message: str):
    with pytest.raises(InvalidData) as refused:
        Training(tmp_path, data).run()

    assert str(refused.value) == message


def a_random_version(units: int, max_tokens: int, scale: float) -> Version:
    config = VersionConfig(
        vocabulary_size=50,
        max_tokens=max_tokens,
        embedding_dim=8,
        units=units,
        labels=("neg", "pos"),
        class_counts=(1, 1),
    )
    random = np.random.default_rng(units)
    arrays = {
        name: random.normal(scale=scale, size=shape).astype(np.float32)
        for name, shape in shapes_of(config).items()
    }
    return Version(config, Vocabulary([]), Weights(**arrays))


VERSION = a_random_version(units=20, max_tokens=40, scale=0.4)
REVIEWS = st.lists(st.lists(st.integers(0, 49), max_size=40), min_size=1, max_size=20)


@pytest.fixture(scope="module")
def keras_engine() -> Engine:
    return engine_for(VERSION, Device(slot="gpu:0", kind="gpu"))


@pytest.mark.slow
@settings(deadline=None, max_examples=20)
@given(REVIEWS)
def test_the_packed_kernel_and_keras_agree_to_1e_5(keras_engine, reviews: list[list[int]]):
    ids = [np.array(review, dtype=np.int32) for review in reviews]

    packed = engine_for(VERSION, CPU).probabilities(ids)

    assert packed == pytest.approx(keras_engine.probabilities(ids), abs=1e-5)


def test_the_tutorials_sizes_agree_to_1e_5_too():
    # Weights as small as trained ones: larger ones make a chaos that no two kernels share.
    version = a_random_version(units=100, max_tokens=500, scale=0.1)
    random = np.random.default_rng(5)
    ids = [random.integers(0, 50, length).astype(np.int32) for length in (0, 1, 37, 250, 500)]

    packed = engine_for(version, CPU).probabilities(ids)

    assert packed == pytest.approx(network().KerasEngine(version).probabilities(ids), abs=1e-5)


def test_the_keras_engine_gives_what_predict_gives_on_padded_reviews(keras_engine):
    keras_network = network().build_network(VERSION.config)
    for name, variable in network().weight_variables(keras_network, VERSION.config).items():
        variable.assign(VERSION.weights.arrays()[name])
    random = np.random.default_rng(5)
    lengths = random.integers(0, 41, 300)
    reviews = [random.integers(0, 50, length).astype(np.int32) for length in lengths]

    got = keras_engine.probabilities(reviews)

    padded = np.array([[0] * (40 - len(ids)) + ids.tolist() for ids in reviews])
    predicted = keras_network.predict(padded, batch_size=256, verbose=0)[:, 0]
    assert got[:, 1] == pytest.approx(predicted, abs=1e-6)
    assert got[:, 0] == pytest.approx(1.0 - predicted, abs=1e-6)


def test_the_keras_engines_memory_counts_weights_and_states(keras_engine):
    # 50×8 + 8×80 + 20×80 + 80 + 20 + 1 weights, and 256 × 40 × 20 states
    assert keras_engine.memory_bytes == 4 * (400 + 640 + 1_600 + 80 + 20 + 1) + 4 * 256 * 40 * 20


class SmallBuiltinSet:
    """A built-in set as Keras hands it over, without the download."""

    def load_data(self, *, index_from: int):
        one = index_from + 1
        training = ([[1, one, one + 1], [1, one + 1]], [1, 0])
        return training, ([[1, one]], [0])

    def get_word_index(self):
        return {"good": 1, "bad": 2}


class NoInternet(SmallBuiltinSet):
    def load_data(self, *, index_from: int):
        raise Exception("URL fetch failure on https://example.org/imdb.npz: None -- timed out")


def test_the_built_in_set_comes_as_words_and_labels():
    training, test = (list(network().builtin_imdb(half, SmallBuiltinSet())) for half in (0, 1))

    assert training == [([b"good", b"bad"], "positive"), ([b"bad"], "negative")]
    assert test == [([b"good"], "negative")]


def test_a_built_in_set_that_cannot_be_downloaded_says_what_to_do():
    with pytest.raises(InvalidData) as refused:
        list(network().builtin_imdb(0, NoInternet()))

    assert str(refused.value) == (
        "Keras could not download its IMDB set (URL fetch failure on "
        "https://example.org/imdb.npz: None -- timed out). It needs internet access once, and "
        "keeps the files under ~/.keras/datasets. Without it, train from a file: JSONL or CSV "
        "with a text and a label, or an aclImdb folder."
    )


def test_training_on_the_built_in_set_states_its_fingerprint_and_validates_on_its_test_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import keras

    monkeypatch.setattr(keras.datasets.imdb, "load_data", SmallBuiltinSet().load_data)
    monkeypatch.setattr(keras.datasets.imdb, "get_word_index", SmallBuiltinSet().get_word_index)
    builtin = Reviews(named="keras:imdb")
    training = Training(tmp_path, builtin, held_out=builtin)

    training.run()

    digest = hashlib.sha256(b"good bad\npositive\nbad\nnegative\n").hexdigest()
    assert training.fingerprints == [(2, digest)]
    assert training.logs[-1].startswith("Training on 2 reviews, 1 'negative', 1 'positive', with")
    assert training.logs[-1].endswith("validating on 1.")
    assert read_version(tmp_path).vocabulary.words == ("bad", "good")
