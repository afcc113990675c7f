"""A sweep's combinations: all of them, each with a name of its own, and the best told rightly."""

import json
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from builders import a_sweep_job
from seqd.analysis.sweeps import (
    best_of,
    better_of,
    combinations_of,
    deciding_figure,
    is_less_better,
    shown,
    training_of,
)
from seqd_schemas import Item, SweepJob

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1_000, 1_000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
)
VALUES = SCALARS | st.lists(SCALARS, max_size=3)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
GRIDS = st.dictionaries(
    NAMES, st.lists(VALUES, min_size=1, max_size=4, unique_by=json.dumps), min_size=1, max_size=3
)


@given(GRIDS)
def test_each_combination_has_a_name_of_its_own_and_comes_back_from_its_item_and_the_wire(grid):
    job = a_sweep_job(grid=grid)

    items = [combination.item() for combination in combinations_of(job)]
    read = SweepJob.model_validate_json(job.model_dump_json())

    assert len({item.custom_id for item in items}) == len(items)
    assert len(items) == prod(len(values) for values in grid.values())
    assert all(Item.model_validate_json(item.model_dump_json()) == item for item in items)
    assert [json.loads(item.text) for item in items] == [
        combination.values for combination in combinations_of(job)
    ]
    assert [one.name for one in combinations_of(read)] == [one.name for one in combinations_of(job)]
    assert json.dumps(read.grid) == json.dumps(job.grid)


def test_the_last_parameter_changes_fastest():
    job = a_sweep_job(grid={"embedding_dim": [8, 16], "dropout": [0.0, 0.5]})

    assert [combination.name for combination in combinations_of(job)] == [
        "embedding_dim=8,dropout=0.0",
        "embedding_dim=8,dropout=0.5",
        "embedding_dim=16,dropout=0.0",
        "embedding_dim=16,dropout=0.5",
    ]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (8, "8"),
        ("8", '"8"'),
        (True, "true"),
        (None, "null"),
        ("adam", "adam"),
        ("a,b", '"a,b"'),
        ("", '""'),
        ("NaN", '"NaN"'),
        ([64, 32], "[64, 32]"),
        ("naïve", '"na\\u00efve"'),
    ],
)
def test_a_value_is_shown_as_set_takes_it(value, name):
    assert shown(value) == name


def test_a_name_that_is_too_long_ends_in_its_number():
    job = a_sweep_job(grid={"text": ["x" * 200, "x" * 201]})

    first, second = [combination.name for combination in combinations_of(job)]

    assert (len(first), first[-2:], second[-2:]) == (128, "…0", "…1")


def test_a_combination_overrides_what_is_fixed_and_a_preset_comes_first():
    job = a_sweep_job(grid={"a": [1, 2]}, parameters={"b": 3}, preset="tutorial")

    trainings = [training_of(job, combination) for combination in combinations_of(job)]

    assert [training.parameters for training in trainings] == [{"b": 3, "a": 1}, {"b": 3, "a": 2}]
    assert {training.preset for training in trainings} == {"tutorial"}
    assert {training.source for training in trainings} == {job.source}


def test_a_retry_has_the_combinations_that_it_names():
    job = a_sweep_job(grid={"a": [1, 2, 3]}, only=("a=3", "a=1"))

    assert [combination.name for combination in combinations_of(job)] == ["a=1", "a=3"]


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ({}, "at least 1 item"),
        ({"a": []}, "at least 1 item"),
        ({"a": [1, 1]}, "a value of 'a' is given twice"),
        ({"a": list(range(20)), "b": list(range(13))}, "it has 260 combinations; allowed: 256"),
        ({f"p{n}": [1] for n in range(9)}, "at most 8 items"),
    ],
)
def test_a_grid_that_no_sweep_can_have_is_refused(grid, said):
    with pytest.raises(ValidationError, match=said):
        a_sweep_job(grid=grid)


@pytest.mark.parametrize(("asked", "best"), [(None, 5), ("loss", 4), ("validation_loss", None)])
def test_the_highest_accuracy_and_the_lowest_loss_are_best(asked, best):
    figures = {
        4: {"validation_accuracy": 0.80, "loss": 0.1},
        5: {"validation_accuracy": 0.85, "loss": 0.2},  # of equals the first
        6: {"validation_accuracy": 0.85, "loss": 0.3},
    }

    assert best_of(asked, figures) == best
    assert best_of(asked, {}) is None


def test_a_figure_decides_that_all_versions_have():
    both = {"loss": 0.5, "validation_loss": 0.6}

    assert deciding_figure(None, [both, both]) == "validation_loss"
    assert deciding_figure(None, [both, {"loss": 0.4}]) == "loss"
    assert deciding_figure(None, [both, {"states": 4.0}]) is None
    assert deciding_figure("states", [both, {"states": 4.0}]) is None


def test_of_which_figures_less_is_better_is_told_by_their_names():
    less = ("validation_loss", "bits_per_char", "error_rate", "perplexity")

    assert all(map(is_less_better, less))
    assert not any(map(is_less_better, ("validation_accuracy", "macro_f1")))
    assert [better_of(name, 0.2, 0.3) for name in ("loss", "f1_macro", "records")] == [0, 1, None]
    assert better_of("loss", 0.2, 0.2) is None
