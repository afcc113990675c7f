"""A training's learning curve: which epochs are kept, and which figures make the curve."""

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


def test_a_curve_is_of_bits_a_character_where_they_are_told_with_the_held_out_ones():
    epochs = epochs_of(
        {"loss": 2.0, "bits_per_char": 2.9, "validation_bits_per_char": 3.0},
        {"loss": 1.5, "bits_per_char": 2.2},
    )

    assert curve_of(epochs) == Curve("bits_per_char", ((1, 2.9), (2, 2.2)), ((1, 3.0),))


def test_of_a_classifier_the_loss_and_the_accuracy_are_drawn():
    epochs = epochs_of({"accuracy": 0.5, "validation_loss": 0.7, "loss": 0.6})

    assert [curve.figure for curve in curves_of(epochs)] == ["loss", "accuracy"]


def test_any_figure_makes_a_curve_where_no_usual_one_is_told():
    assert curves_of(epochs_of({"validation_reward": 1.0}, {"other": 2.0})) == (
        Curve("reward", (), ((1, 1.0),)),
    )


def test_a_training_without_figures_has_no_curve():
    assert curve_of([]) is None
    assert curve_of(epochs_of({}, {})) is None
    assert curves_of(epochs_of({"loss": 1.0})) == (Curve("loss", ((1, 1.0),), ()),)
