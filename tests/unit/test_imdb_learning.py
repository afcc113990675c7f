"""What a training of `imdb_lstm` learns from, in which order, and which weights it keeps."""

import numpy as np
import pytest

from seqd.errors import CheckpointDamaged, InvalidParameters, Stopped
from seqd.hookspecs import Device
from seqd.testing import MemoryCheckpoints
from seqd_imdb_lstm import TrainParameters
from seqd_imdb_lstm.artifact import Version, VersionConfig, Weights
from seqd_imdb_lstm.batches import Batches
from seqd_imdb_lstm.data import LabelledReviews
from seqd_imdb_lstm.learner import learner_for
from seqd_imdb_lstm.learning import Learning, validation_figures
from seqd_imdb_lstm.vocabulary import UNKNOWN_ID, Vocabulary
from seqd_modelkit.optimizers import ExponentialMovingAverage

CPU = Device(slot="cpu:0", kind="cpu")
CONFIG = VersionConfig(
    vocabulary_size=20,
    max_tokens=12,
    padding="masked",
    pooling="mean_max",
    embedding_dim=4,
    units=5,
    labels=("neg", "pos"),
    class_counts=(1, 1),
)
MASKED = {"padding": "masked", "pooling": "mean_max"}
#: All that has a state of its own is switched on.
FULL = {
    **MASKED,
    "window_tokens": 6,
    "clipnorm": 1.0,
    "word_dropout": 0.2,
    "embedding_dropout": 0.1,
    "dropout": 0.2,
    "schedule": "cosine",
    "ema_momentum": 0.9,
    "patience": 2,
    "class_weight": "balanced",
}


def some_reviews(count: int, seed: int = 0) -> LabelledReviews:
    """Reviews of one class in three; the second class's have the word 9 in them."""
    random = np.random.default_rng(seed)
    targets = (np.arange(count) % 3 == 0).astype(np.int32)
    reviews = []
    for target in targets:
        ids = random.integers(10, 20, random.integers(2, 12)).astype(np.int32)
        ids[0], ids[1] = 1, 9 if target else 8
        reviews.append(ids)
    return LabelledReviews(reviews, targets)


class Context:
    """A training job in memory that stops after so many steps."""

    device = CPU

    def __init__(self, stop_after: int = 10**9, checkpoints: MemoryCheckpoints | None = None):
        self.checkpoints = checkpoints or MemoryCheckpoints()
        self.stop_after = stop_after
        self.steps = 0
        self.told: list[dict[str, float]] = []

    def stop_requested(self) -> bool:
        return self.steps >= self.stop_after

    def step(self, done: int, total: int, **metrics: float) -> None:
        self.steps += 1

    def epoch(self, epoch: int, epochs: int, seconds: float, **metrics: float) -> None:
        self.told.append(metrics)


def a_learning(context: Context, **changes: object) -> Learning:
    parameters = TrainParameters(
        **{"batch_size": 8, "epochs": 4, "learning_rate": 0.05, "seed": 3, **changes}
    )
    return Learning(
        learner_for(CONFIG, parameters, CPU),
        lambda weights: Version(CONFIG, Vocabulary([]), weights),
        Batches(some_reviews(40), CONFIG, parameters),
        parameters,
        context,
    )


def as_bytes(weights: Weights) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in weights.arrays().items()}


def batches_of(count: int = 50, **changes: object) -> Batches:
    return Batches(some_reviews(count), CONFIG, TrainParameters(batch_size=8, **changes))


@pytest.mark.parametrize("batching", ["by_length", "shuffled"])
def test_an_epoch_goes_through_every_review_once_in_an_order_of_its_own(batching):
    batches = batches_of(batching=batching)

    epochs = [
        [ids.tobytes() for batch in batches.of_epoch(epoch, 0) for ids in batch.reviews]
        for epoch in (1, 2)
    ]

    everything = sorted(ids.tobytes() for ids in some_reviews(50).reviews)
    assert [sorted(epoch) for epoch in epochs] == [everything, everything]
    assert epochs[0] != epochs[1]
    assert len(batches) == 7


def test_batches_by_length_hold_reviews_of_like_length():
    def spread(batching: str) -> float:
        batches = list(batches_of(400, batching=batching).of_epoch(1, 0))
        return float(np.mean([np.ptp([len(ids) for ids in batch.reviews]) for batch in batches]))

    assert spread("by_length") < 0.5 * spread("shuffled")


def test_an_epoch_that_is_gone_on_with_has_the_batches_that_are_left():
    batches = batches_of(word_dropout=0.3)

    whole, rest = list(batches.of_epoch(2, 0)), list(batches.of_epoch(2, 4))

    for expected, found in zip(whole[4:], rest, strict=True):
        assert [ids.tolist() for ids in found.reviews] == [ids.tolist() for ids in expected.reviews]
        assert (found.targets == expected.targets).all()


def test_words_are_hidden_as_often_as_asked_and_never_the_start():
    batches = batches_of(3_000, word_dropout=0.25)

    ids = [ids for batch in batches.of_epoch(1, 0) for ids in batch.reviews]

    words = np.concatenate([review[1:] for review in ids])
    assert np.mean(words == UNKNOWN_ID) == pytest.approx(0.25, abs=0.02)
    assert {int(review[0]) for review in ids} == {1}


def test_words_that_the_network_has_no_row_for_are_unknown():
    config = CONFIG.model_copy(update={"lstm_vocabulary_size": 12})
    batches = Batches(some_reviews(50), config, TrainParameters())

    ids = np.concatenate([ids for batch in batches.of_epoch(1, 0) for ids in batch.reviews])

    assert set(ids.tolist()) == {1, UNKNOWN_ID, 8, 9, 10, 11}


def test_a_window_is_cut_out_of_a_long_review_another_one_at_each_epoch():
    batches = batches_of(50, window_tokens=4, batching="shuffled", **MASKED)

    epochs = [
        [tuple(ids.tolist()) for batch in batches.of_epoch(epoch, 0) for ids in batch.reviews]
        for epoch in (1, 2)
    ]

    whole = [tuple(ids.tolist()) for ids in some_reviews(50).reviews]
    for windows in epochs:
        assert max(map(len, windows)) == 4
        for window in windows:
            assert any(
                window == review[start : start + 4]
                for review in whole
                for start in range(max(1, len(review) - 3))
            )
    assert set(epochs[0]) != set(epochs[1])


def test_a_clipped_gradient_has_the_length_that_is_asked_for():
    def first_change(clipnorm: float) -> float:
        parameters = TrainParameters(clipnorm=clipnorm, **MASKED)
        learner = learner_for(CONFIG, parameters, CPU)
        batch = next(batches_of().of_epoch(1, 0))
        learner.step(batch, 0.01)
        # After its first step Adam's first moment is a tenth of the gradient.
        means = {n: a for n, a in learner.state().items() if n.startswith("first_moment.")}
        return 10.0 * float(np.sqrt(sum((array**2).sum() for array in means.values())))

    free = first_change(0.0)
    assert free > 0.02
    assert first_change(0.01) == pytest.approx(0.01, rel=1e-4)
    assert first_change(2.0 * free) == pytest.approx(free, rel=1e-5)


def test_the_step_size_rises_and_then_falls_to_nothing():
    class Recorded:
        """A learner that keeps the sizes of its steps."""

        def __init__(self, learner):
            self.weights, self.state = learner.weights, learner.state
            self.sizes: list[float] = []

        def step(self, batch, learning_rate):
            self.sizes.append(learning_rate)
            return 0.5, 0.5

    def sizes(schedule: str) -> list[float]:
        parameters = TrainParameters(batch_size=1, epochs=10, learning_rate=0.4, schedule=schedule)
        recorded = Recorded(learner_for(CONFIG, parameters, CPU))
        batches = Batches(some_reviews(40), CONFIG, parameters)
        learning = Learning(
            recorded,
            lambda weights: Version(CONFIG, Vocabulary([]), weights),
            batches,
            parameters,
            Context(),
        )
        learning.run(LabelledReviews([], np.zeros(0, np.int32)))
        return recorded.sizes

    falling = sizes("cosine")

    assert sizes("constant") == [0.4] * 400
    assert falling[20] == max(falling) == pytest.approx(0.4)
    assert falling[:21] == sorted(falling[:21]) and falling[0] > 0.0
    assert falling[20:] == sorted(falling[20:], reverse=True)
    assert falling[-1] < 1e-4


def test_balanced_classes_count_the_same_all_together():
    batches = list(batches_of(60, class_weight="balanced").of_epoch(1, 0))

    targets = np.concatenate([batch.targets for batch in batches])
    shares = np.concatenate([batch.sample_weight for batch in batches])

    # a third of the reviews is of the second class
    assert shares[targets == 1] == pytest.approx(1.5)
    assert shares[targets == 0] == pytest.approx(0.75)


@pytest.mark.parametrize("stop_after", [1, 5, 9, 13])
def test_a_training_that_goes_on_ends_as_an_undisturbed_one_to_the_last_bit(stop_after):
    held_out = some_reviews(30, seed=1)
    undisturbed = a_learning(whole := Context(), **FULL)
    expected = undisturbed.run(held_out)
    stopped = Context(stop_after)

    with pytest.raises(Stopped):
        a_learning(stopped, **FULL).run(held_out)
    resumed = a_learning(rest := Context(checkpoints=stopped.checkpoints), **FULL)
    found = resumed.run(held_out)

    assert found == expected
    assert [*stopped.told, *rest.told] == whole.told
    assert as_bytes(resumed.kept_weights()) == as_bytes(undisturbed.kept_weights())


def test_without_patience_the_last_epochs_weights_and_figures_are_kept():
    context = Context()
    learning = a_learning(context)

    figures = learning.run(some_reviews(30, seed=1))

    assert len(context.told) == 4
    assert figures == context.told[-1]


def test_patience_ends_a_training_that_gets_worse_and_keeps_the_best_epoch():
    context = Context()
    # Steps so large that what was learnt is lost again.
    learning = a_learning(context, epochs=30, learning_rate=0.3, patience=2)

    figures = learning.run(some_reviews(30, seed=1))

    losses = [told["validation_loss"] for told in context.told]
    best = losses.index(min(losses))
    assert len(losses) == best + 3 < 30
    assert figures == context.told[best]


def test_patience_keeps_the_weights_that_the_best_epoch_had():
    figures = (learning := a_learning(context := Context(), epochs=30, patience=1)).run(
        some_reviews(30, seed=1)
    )
    best = context.told.index(figures) + 1
    until_then = a_learning(Context(), epochs=best)

    until_then.run(some_reviews(30, seed=1))

    assert as_bytes(learning.kept_weights()) == as_bytes(until_then.kept_weights())


def test_nothing_held_out_means_no_epoch_is_the_best():
    context = Context()

    figures = a_learning(context, patience=1).run(LabelledReviews([], np.zeros(0, np.int32)))

    assert len(context.told) == 4
    assert figures.keys() == {"loss", "accuracy"}


def test_a_moving_average_begins_with_the_first_steps_and_then_keeps_its_momentum():
    mean = ExponentialMovingAverage(0.5)
    values = [4.0, 8.0, 2.0]

    for step, value in zip((1, 2, 1_000), values, strict=True):
        mean.add({"one": np.array([value], dtype=np.float32)}, step)

    # 4; then 2/11 of it and 9/11 of 8; then a half of each
    expected = 0.5 * (4.0 * 2 / 11 + 8.0 * 9 / 11) + 0.5 * 2.0
    assert mean.arrays["one"] == pytest.approx(expected, rel=1e-6)


def test_a_checkpoint_without_the_best_epochs_weights_is_refused():
    checkpoints = MemoryCheckpoints()
    with pytest.raises(Stopped):
        a_learning(Context(8, checkpoints), **FULL).run(some_reviews(30, seed=1))
    saved = checkpoints.load()
    assert saved is not None
    kept = {name: array for name, array in saved.arrays.items() if not name.startswith("best.")}
    damaged = MemoryCheckpoints()
    damaged.save(kept, saved.progress)

    with pytest.raises(CheckpointDamaged, match=r"^The checkpoint has arrays of the shapes \{\};"):
        a_learning(Context(checkpoints=damaged), **FULL).run(some_reviews(30, seed=1))


def test_a_lost_loss_says_what_to_do():
    class Lost:
        """Learns nothing."""

        def __init__(self, learner):
            self.weights, self.state = learner.weights, learner.state

        def step(self, batch, learning_rate):
            return float("nan"), 0.5

    parameters = TrainParameters(batch_size=8, learning_rate=0.5)
    learning = Learning(
        Lost(learner_for(CONFIG, parameters, CPU)),
        lambda weights: Version(CONFIG, Vocabulary([]), weights),
        Batches(some_reviews(40), CONFIG, parameters),
        parameters,
        Context(),
    )

    with pytest.raises(InvalidParameters) as refused:
        learning.run(some_reviews(30))

    assert str(refused.value) == (
        "The loss became nan in epoch 1 with learning_rate 0.5. Train with a lower one."
    )


def test_figures_are_those_of_the_right_class():
    probabilities = np.array([[0.9, 0.1, 0.0], [0.25, 0.25, 0.5], [0.6, 0.4, 0.0]], np.float32)
    reviews = LabelledReviews([[1]] * 3, np.array([0, 2, 1], dtype=np.int32))

    figures = validation_figures(probabilities, reviews)

    assert figures["validation_accuracy"] == pytest.approx(2 / 3)
    assert figures["validation_loss"] == pytest.approx(-np.log([0.9, 0.5, 0.4]).mean(), rel=1e-6)
