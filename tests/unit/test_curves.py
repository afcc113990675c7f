"""A training's learning curve: which epochs are kept, and which figures make the curve."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.analysis.curves import Curve, LearningCurve, curve_of, curves_of
from seqd_schemas import MAX_KEPT_EPOCHS, EpochMetrics


def epochs_of(*metrics: dict[str, float]) -> list[EpochMetrics]:
    return [
        EpochMetrics(epoch=number, seconds=1.0, metrics=figures)
        for number, figures in enumerate(metrics, 1)
    ]


def numbers(curve: LearningCurve) -> list[int]:
    return [one.epoch for one in curve.epochs]


def taken(first: int, last: int, curve: LearningCurve | None = None) -> LearningCurve:
    curve = LearningCurve() if curve is None else curve
    for epoch in range(first, last + 1):
        curve.add(epoch, 1.0, {"loss": 1.0 / epoch})
    return curve


def test_all_epochs_are_kept_up_to_the_most_that_a_manifest_holds():
    assert numbers(taken(1, MAX_KEPT_EPOCHS - 1)) == list(range(1, MAX_KEPT_EPOCHS))


def test_of_a_long_training_every_so_many_epochs_are_kept_with_the_first_and_the_last():
    kept = numbers(taken(1, 1_000))

    assert kept[:3] == [1, 5, 9]
    assert kept[-2:] == [997, 1_000]
    assert len(kept) == 251


@given(last=st.integers(1, 700), at=st.integers(0, 700), beyond=st.integers(0, 3))
def test_a_training_that_goes_on_from_a_checkpoint_keeps_what_an_undisturbed_one_does(
    last, at, beyond
):
    at = min(at, last)
    undisturbed = taken(1, last)

    killed = taken(1, at)
    saved = killed.epochs
    taken(at + 1, min(at + beyond, last), killed)
    resumed = taken(at + 1, last, LearningCurve(saved))

    assert resumed.epochs == undisturbed.epochs
    assert len(resumed.epochs) <= MAX_KEPT_EPOCHS


def test_an_epoch_that_is_gone_through_again_is_kept_once():
    curve = taken(1, 3)

    taken(2, 2, curve)

    assert numbers(curve) == [1, 2]


def test_what_json_has_no_number_for_is_left_out():
    curve = LearningCurve()

    curve.add(1, 0.5, {"loss": float("nan"), "accuracy": 0.5})

    assert curve.epochs[0].metrics == {"accuracy": 0.5}


BITS = Curve("bits_per_char", ((1, 2.9), (2, 2.2)), ((1, 3.0),))


@pytest.mark.parametrize(
    ("metrics", "curves"),
    [
        (
            [
                {"loss": 2.0, "bits_per_char": 2.9, "validation_bits_per_char": 3.0},
                {"loss": 1.5, "bits_per_char": 2.2},
            ],
            [BITS],
        ),
        (
            [{"accuracy": 0.5, "validation_loss": 0.7, "loss": 0.6}],
            [Curve("loss", ((1, 0.6),), ((1, 0.7),)), Curve("accuracy", ((1, 0.5),), ())],
        ),
        # Any figure makes one where no usual one is told.
        ([{"validation_reward": 1.0}, {"other": 2.0}], [Curve("reward", (), ((1, 1.0),))]),
        ([], []),
        ([{}, {}], []),
    ],
)
def test_a_training_has_the_curves_of_its_usual_figures(metrics, curves):
    epochs = epochs_of(*metrics)

    assert list(curves_of(epochs)) == curves
    assert curve_of(epochs) == (curves[0] if curves else None)
